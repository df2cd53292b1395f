//! A Redis server for one test.

use crate::skip::skipped;
use crate::{Issued, Result, eventually};
use anyhow::{Context, bail, ensure};
use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Debian's package has this name, too.
const PROGRAM: &str = "redis-server";

/// A server on a loopback port of its own, ended with the test. It keeps nothing on the disk.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    /// Where it speaks TLS; none where it does not.
    secure: Option<u16>,
    child: Child,
    _folder: TempDir,
}

impl RedisServer {
    /// Starts a server that wants this password, or none, and waits until it answers.
    ///
    /// Returns `None` where the program is not installed, after saying so; with `BOBBIN_REQUIRE_REDIS=1` that is a
    /// failure.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start(password: Option<&str>) -> Result<Option<Self>> {
        Self::start_at(free_port()?, password).await
    }

    /// As [`RedisServer::start`], at this port.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_at(port: u16, password: Option<&str>) -> Result<Option<Self>> {
        Self::start_with(port, password, None).await
    }

    /// As [`RedisServer::start`] without a password, and with TLS on another port besides.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_secured(issued: &Issued) -> Result<Option<Self>> {
        Self::start_with(free_port()?, None, Some(issued)).await
    }

    async fn start_with(port: u16, password: Option<&str>, issued: Option<&Issued>) -> Result<Option<Self>> {
        let folder = TempDir::new()?;
        let mut command = Command::new(PROGRAM);
        command.args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--dir").arg(folder.path()).args(["--daemonize", "no"]);
        if let Some(password) = password {
            command.args(["--requirepass", password]);
        }
        let mut secure = None;
        if let Some(issued) = issued {
            let [certificate, key] = issued.write(folder.path(), "server")?;
            let port = *secure.insert(free_port()?);
            command.args(["--tls-port", &port.to_string(), "--tls-auth-clients", "no"]);
            // It wants to know an authority even where it asks nobody for a certificate.
            command.arg("--tls-ca-cert-file").arg(&certificate);
            command.arg("--tls-cert-file").arg(&certificate).arg("--tls-key-file").arg(&key);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(absent()),
            Err(error) => return Err(error).context(PROGRAM),
        };
        let server = Self { port, secure, child, _folder: folder };
        eventually(async || Ok(server.ask("PING").await.ok().filter(|answer| !answer.is_empty()))).await?;
        Ok(Some(server))
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
        self.secure.context("the server speaks no TLS")
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// What it answers to one line.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ask(&self, line: &str) -> Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        stream.write_all(format!("{line}\r\nQUIT\r\n").as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    /// Waits until so many connections have subscribed to a channel.
    ///
    /// # Errors
    /// When they never do.
    pub async fn subscribed(&self, channel: &str, connections: u64) -> Result {
        let wanted = format!(":{connections}\r\n");
        let ask = format!("PUBSUB NUMSUB {channel}");
        let subscribed = eventually(async || Ok(self.ask(&ask).await?.contains(&wanted).then_some(())));
        subscribed.await.with_context(|| format!("{connections} connections for {channel}"))
    }

    /// Publishes a message, whatever its bytes are.
    ///
    /// # Errors
    /// When nobody has subscribed to the channel.
    pub async fn publish(&self, channel: &str, message: impl AsRef<[u8]>) -> Result {
        let answer = self.command(&[b"PUBLISH", channel.as_bytes(), message.as_ref()]).await?;
        ensure!(!answer.starts_with(b":0"), "nobody has subscribed to {channel}");
        Ok(())
    }

    /// What is in a list, once there are so many things in it.
    ///
    /// # Errors
    /// When there never are.
    pub async fn list(&self, key: &str, count: usize) -> Result<Vec<Vec<u8>>> {
        let mut last = Vec::new();
        let listed = eventually(async || {
            last = items(&self.command(&[b"LRANGE", key.as_bytes(), b"0", b"-1"]).await?)?;
            Ok((last.len() >= count).then(|| last.clone()))
        });
        let listed = listed.await;
        listed.with_context(|| format!("{count} things in {key}: {:?}", last.len()))
    }

    /// The same as texts.
    ///
    /// # Errors
    /// The same.
    pub async fn texts(&self, key: &str, count: usize) -> Result<Vec<String>> {
        let items = self.list(key, count).await?;
        Ok(items.iter().map(|item| String::from_utf8_lossy(item).into_owned()).collect())
    }

    async fn command(&self, words: &[&[u8]]) -> Result<Vec<u8>> {
        let mut asked = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            asked.extend(format!("${}\r\n", word.len()).into_bytes());
            asked.extend_from_slice(word);
            asked.extend(b"\r\n");
        }
        asked.extend(b"QUIT\r\n");
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        stream.write_all(&asked).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(answer)
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

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// The texts of a list that the server has answered with.
fn items(answer: &[u8]) -> Result<Vec<Vec<u8>>> {
    let (mut items, mut rest) = (Vec::new(), answer);
    let (b'*', count) = head(&mut rest)? else { bail!("it is no list: {}", String::from_utf8_lossy(answer)) };
    for _ in 0..count {
        let (_, length) = head(&mut rest)?;
        let (item, after) = rest.split_at_checked(length).context("a text is cut")?;
        items.push(item.to_vec());
        rest = after.strip_prefix(b"\r\n").context("a text does not end")?;
    }
    Ok(items)
}

/// The sign and the number of the first line, which is taken away.
fn head(rest: &mut &[u8]) -> Result<(u8, usize)> {
    let length = rest.windows(2).position(|end| end == b"\r\n").context("a line does not end")?;
    let (line, after) = rest.split_at_checked(length).context("a line does not end")?;
    *rest = after.get(2..).unwrap_or_default();
    let (sign, number) = line.split_first().context("a line is empty")?;
    Ok((*sign, std::str::from_utf8(number)?.parse()?))
}

fn absent() -> Option<RedisServer> {
    skipped("BOBBIN_REQUIRE_REDIS", &format!("there is no {PROGRAM}"))
}
