//! Another server to measure beside ours, built elsewhere.

use crate::Result;
use anyhow::{Context, ensure};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};

const START: Duration = Duration::from_secs(120);

/// It ends when this is dropped.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    address: SocketAddr,
}

impl Peer {
    /// An address that is free when this looks, and that nobody else on this machine is expected to take.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn address_to_listen_on() -> Result<SocketAddr> {
        Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
    }

    /// Starts a server that listens on this address, and waits until it answers a GET of `path` with success.
    ///
    /// # Errors
    /// When it cannot be started, or does not answer in time.
    pub async fn start(mut command: Command, address: SocketAddr, path: &str) -> Result<Self> {
        let program = command.as_std().get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().with_context(|| format!("{program} cannot be started"))?;
        let (begun, url) = (Instant::now(), format!("http://{address}{path}"));
        let client = crate::http().build()?;
        while client.get(&url).send().await.and_then(reqwest::Response::error_for_status).is_err() {
            if let Some(status) = child.try_wait()? {
                anyhow::bail!("{program} ended before it was up: {status}");
            }
            ensure!(begun.elapsed() < START, "{program} does not answer {path} after {} s", START.as_secs());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(Self { child, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    ///
    /// # Errors
    /// When it has ended.
    pub fn pid(&self) -> Result<u32> {
        self.child.id().context("the peer has ended")
    }
}
