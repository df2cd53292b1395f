//! Components that talk to MySQL servers, in every version of the interface.

mod bounds;
mod connections;
mod statements;

use bobbin_tests::{Result, TestApp, TestHost};
use serde_json::{Value, json};

const INTERFACES: [&str; 3] = ["/s5/mysql/v1", "/s5/mysql/v2", NEW];
const NEW: &str = "/s7/mysql";

async fn on(port: u16) -> Result<(TestApp, TestHost)> {
    let app = TestApp::databases(&[&format!("mysql://127.0.0.1:{port}"), &format!("mysql://localhost:{port}")])?;
    let host = TestHost::of(&app.manifest()).log_filter("debug").start().await?;
    Ok((app, host))
}

async fn ask(host: &TestHost, path: &str, address: &str, calls: Value) -> Result<Value> {
    host.ask(path, json!({ "address": address, "calls": calls }).to_string()).await
}

fn error(answer: &Value) -> &str {
    answer["error"].as_str().unwrap_or_default()
}

/// Whether the error is the one that begins like this, and says that.
fn fails(answer: &Value, kind: &str, told: &str) -> bool {
    error(answer).contains(kind) && error(answer).contains(told)
}
