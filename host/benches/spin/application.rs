//! The application under test, and who serves it.

use anyhow::Result;
use bobbin_tests::{Peer, RedisServer, TestApp, TestHost, benched_component};
use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use tokio::process::Command;

/// Components by the interface that they are linked to.
pub(crate) const LINKED: [&str; 10] =
    ["http", "key_value", "llm", "mqtt", "postgres", "redis", "sqlite", "variables", "wasi_nn", "all"];
/// The one that is linked to none.
pub(crate) const NONE: &str = "none";
/// What only this host has.
const OURS: [&str; 2] = ["wasi_nn", "all"];

/// Who serves the application.
pub(crate) struct Servers {
    pub(crate) ours: TestHost,
    pub(crate) spin: Option<Peer>,
    _app: TestApp,
}

impl Servers {
    pub(crate) async fn start(redis: Option<&RedisServer>, spin: Option<&Path>) -> Result<Self> {
        let app = TestApp::new(&manifest(redis.is_some(), &LINKED))?;
        let config = app.path().join("runtime-config.toml");
        let store = |redis: &RedisServer| {
            format!("[key_value_store.redis]\ntype = \"redis\"\nurl = \"redis://127.0.0.1:{}\"\n", redis.port())
        };
        fs::write(&config, redis.map(store).unwrap_or_default())?;
        let ours = TestHost::of(&app.manifest()).arg("--runtime-config-file").arg(&config.display().to_string());
        let ours = ours.log_filter("info,bobbin::access=warn").start().await?;
        let spin = match spin {
            Some(program) => Some(serve(program, app.path(), &config, redis.is_some()).await?),
            None => None,
        };
        Ok(Self { ours, spin, _app: app })
    }

    /// Ends this host; what it computed counts for this process then.
    pub(crate) async fn stop(self) -> Result<()> {
        bobbin_tests::stop(self.ours).await
    }

    /// This host, and the other one where there is one that can serve this.
    pub(crate) fn addresses(&self, linked: &str) -> (SocketAddr, Option<SocketAddr>) {
        let spin = self.spin.as_ref().filter(|_| !OURS.contains(&linked));
        (self.ours.app_addr(), spin.map(Peer::address))
    }
}

/// `spin up` with the components that it can link.
async fn serve(program: &Path, folder: &Path, config: &Path, redis: bool) -> Result<Peer> {
    let linked: Vec<&str> = LINKED.into_iter().filter(|linked| !OURS.contains(linked)).collect();
    let manifest_file = folder.join("for-spin.toml");
    fs::write(&manifest_file, manifest(redis, &linked))?;
    let address = Peer::address_to_listen_on()?;
    let mut command = Command::new(program);
    command.args(["up", "--listen", &address.to_string(), "--file"]).arg(&manifest_file);
    command.arg("--state-dir").arg(folder.join("state-of-spin")).arg("--runtime-config-file").arg(config);
    Peer::start(command, address, "/operations/hello").await
}

fn manifest(redis: bool, linked: &[&str]) -> String {
    let mut text =
        String::from("spin_manifest_version = 2\n\n[application]\nname = \"spin-bench\"\nversion = \"0.1.0\"\n");
    let stores = if redis { "[\"default\", \"redis\"]" } else { "[\"default\"]" };
    let grants = format!("key_value_stores = {stores}\nallowed_outbound_hosts = [\"http://127.0.0.1:*\"]\n");
    add(&mut text, "operations", "operations", &grants);
    for name in linked.iter().chain([&NONE]) {
        add(&mut text, name, &format!("linked_{name}"), "");
    }
    text
}

fn add(text: &mut String, name: &str, file: &str, grants: &str) {
    let (id, source) = (name.replace('_', "-"), benched_component(file).display().to_string());
    // Writing into a text does not fail.
    let _ = write!(
        text,
        "\n[[trigger.http]]\nroute = \"/{name}/...\"\ncomponent = \"{id}\"\n\n[component.{id}]\nsource = {source:?}\n{grants}"
    );
}
