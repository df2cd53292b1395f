//! Components that take messages from channels of a real Redis server.

mod delivery;
mod failures;
mod manifests;
mod servers;

use bobbin_tests::{RedisServer, Result, TestApp, TestHost};

/// Both components, each by its channel and its list, which have the same name.
const BOTH: [&str; 2] = ["s7", "s5"];

/// A release for both components' model.
const STORY: &str = "\n[application.trigger.bobbin.releases]\nstory = \"storyteller@1.0.0\"\n";

/// Limits such as `request_seconds = 1`, one a line.
fn limits(manifest: &str, limits: &str) -> String {
    format!("{manifest}\n[application.trigger.bobbin.limits]\n{limits}\n")
}

/// A host that has subscribed to all channels of [`TestApp::subscribers`].
async fn up(server: &RedisServer, edit: impl FnOnce(String) -> String) -> Result<(TestApp, TestHost)> {
    let app = TestApp::subscribers(server, edit)?;
    let host = TestHost::of(&app.manifest()).start().await?;
    listening(server).await?;
    Ok((app, host))
}

async fn listening(server: &RedisServer) -> Result {
    for channel in ["s7", "s5", "both"] {
        server.subscribed(channel, 1).await?;
    }
    Ok(())
}
