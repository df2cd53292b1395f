//! An MQTT broker for one test, and somebody who listens to it.

use crate::skip::skipped;
use crate::{Issued, Result, eventually};
use anyhow::{Context, bail};
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Debian's package has this name, too, and puts it where only root looks.
const PROGRAM: &str = "mosquitto";
const FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/usr/bin"];

/// A broker on a loopback port of its own, ended with the test. It keeps nothing on the disk.
#[derive(Debug)]
pub struct MqttBroker {
    port: u16,
    /// Where it speaks TLS; none where it does not.
    secure: Option<u16>,
    child: Child,
    _folder: TempDir,
}

impl MqttBroker {
    /// Starts a broker that takes messages from everybody, or from nobody, and waits until it answers.
    ///
    /// Returns `None` where the program is not installed, after saying so; with `BOBBIN_REQUIRE_MOSQUITTO=1` that is a
    /// failure.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(everybody: bool) -> Result<Option<Self>> {
        Self::start_at(free_port()?, everybody).await
    }

    /// As [`MqttBroker::start`], at this port.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_at(port: u16, everybody: bool) -> Result<Option<Self>> {
        Self::start_with(port, everybody, None).await
    }

    /// As [`MqttBroker::start`] for everybody, and with TLS on another port besides.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_secured(issued: &Issued) -> Result<Option<Self>> {
        Self::start_with(free_port()?, true, Some(issued)).await
    }

    async fn start_with(port: u16, everybody: bool, issued: Option<&Issued>) -> Result<Option<Self>> {
        let Some(program) = program() else { return Ok(absent()) };
        let folder = TempDir::new()?;
        let settings = folder.path().join("mosquitto.conf");
        let mut text = format!("listener {port} 127.0.0.1\nallow_anonymous {everybody}\npersistence false\n");
        let mut secure = None;
        if let Some(issued) = issued {
            let [certificate, key] = issued.write(folder.path(), "server")?;
            let port = *secure.insert(free_port()?);
            // Whoever starts it as root would otherwise have it look at the files as somebody who may not.
            let user = if rustix::process::geteuid().is_root() { "user root\n" } else { "" };
            let (certificate, key) = (certificate.display(), key.display());
            text += &format!("{user}listener {port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\n");
        }
        std::fs::write(&settings, text)?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&settings).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.kill_on_drop(true).spawn().context(PROGRAM)?;
        for port in [Some(port), secure].into_iter().flatten() {
            eventually(async || Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok())).await?;
        }
        Ok(Some(Self { port, secure, child, _folder: folder }))
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port where it speaks TLS.
    ///
    /// # Errors
    /// When it does not.
    pub fn secure_port(&self) -> Result<u16> {
        self.secure.context("the broker speaks no TLS")
    }

    /// Ends it, as a crash does, and returns its port.
    ///
    /// # Errors
    /// When it has ended already.
    pub async fn kill(mut self) -> Result<u16> {
        self.child.kill().await?;
        Ok(self.port)
    }
}

/// Somebody who hears every message.
pub struct Subscriber {
    events: EventLoop,
    _client: AsyncClient,
}

impl Subscriber {
    /// Listens to all topics of a broker.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn to(broker: &MqttBroker) -> Result<Self> {
        let mut options = MqttOptions::new("listener", "127.0.0.1", broker.port);
        options.set_max_packet_size(1 << 20, 1 << 20);
        let (client, events) = AsyncClient::new(options, 16);
        client.subscribe("#", QoS::ExactlyOnce).await?;
        let mut subscriber = Self { events, _client: client };
        while !matches!(subscriber.events.poll().await?, Event::Incoming(Packet::SubAck(_))) {}
        Ok(subscriber)
    }

    /// The next message: its topic, and its text.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn next(&mut self) -> Result<(String, String)> {
        loop {
            match self.events.poll().await? {
                Event::Incoming(Packet::Publish(message)) => {
                    return Ok((message.topic, String::from_utf8(message.payload.to_vec())?));
                }
                Event::Incoming(Packet::Disconnect) => bail!("the broker is gone"),
                _ => {}
            }
        }
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join(PROGRAM)).find(|program| program.is_file())
}

fn absent() -> Option<MqttBroker> {
    skipped("BOBBIN_REQUIRE_MOSQUITTO", &format!("there is no {PROGRAM}"))
}
