//! A registry in the test's own process that has one image, and does not always give it.

use crate::{Result, SpinImage};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What it does with one blob, or with all that it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lie {
    /// Nothing: it is honest.
    None,
    /// Sends other bytes, as many as there should be.
    OtherBytes(String),
    /// Sends so many bytes from the one that it is asked from on, and breaks the connection.
    Cut(String, usize),
    /// As `Cut`, and always from the first byte on.
    CutWithoutRanges(String, usize),
    /// Has only so many bytes of it, and never more.
    Short(String, usize),
    /// Sends more than there should be, without end.
    Endless(String),
    /// Does not have it.
    Missing(String),
    /// Names the manifest by a digest that it does not have.
    ManifestDigest,
    /// Sends a manifest without end.
    EndlessManifest,
    /// Wants a token, which it gives for this user and password in base64.
    Token(String),
    /// Fails, with this status.
    Status(u16),
}

/// The registry. It ends when this is dropped.
#[derive(Debug)]
pub struct Liar {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

struct State {
    image: SpinImage,
    lie: Lie,
    asked: Arc<Mutex<Vec<String>>>,
    address: SocketAddr,
}

/// The token of [`Lie::Token`].
const TOKEN: &str = "the-token";

impl Liar {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When it cannot listen.
    pub async fn start(image: &SpinImage, lie: Lie) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let asked = Arc::new(Mutex::new(Vec::new()));
        let state = Arc::new(State { image: image.clone(), lie, asked: Arc::clone(&asked), address });
        let serving = tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let state = Arc::clone(&state);
                // A client that leaves has seen enough.
                tokio::spawn(async move { drop(state.serve(connection).await) });
            }
        });
        Ok(Self { address, asked, serving })
    }

    /// The image's reference.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}/team/app:1.0.0", self.address)
    }

    /// The heads of all requests, in lower case.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl State {
    /// One request of a connection.
    async fn serve(&self, mut connection: TcpStream) -> Result {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = connection.read_u8().await?;
            // The first byte of a TLS greeting: this registry knows no TLS.
            if head.is_empty() && byte == 0x16 {
                return Ok(());
            }
            head.push(byte);
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let target = head.split(' ').nth(1).unwrap_or_default().to_owned();
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(head.to_ascii_lowercase());
        if let Lie::Token(user) = &self.lie
            && let Some(refusal) = self.token(&head, &target, user)
        {
            return Ok(connection.write_all(refusal.as_bytes()).await?);
        }
        match target.rsplit_once('/') {
            Some(("/v2", "")) => Ok(connection.write_all(answer(200, "", b"{}").as_slice()).await?),
            Some((_, version)) if target.contains("/manifests/") => self.manifest(&mut connection, version).await,
            Some((_, digest)) => self.blob(&mut connection, &head, digest).await,
            None => Ok(connection.write_all(&answer(404, "", b"")).await?),
        }
    }

    /// What is answered to whoever has no token: where there is one, and the token itself.
    fn token(&self, head: &str, target: &str, user: &str) -> Option<String> {
        if target.starts_with("/token") {
            let known = head.to_ascii_lowercase().contains("authorization: basic ") && head.contains(user);
            let answer = if known {
                answer(200, "", format!(r#"{{"token":"{TOKEN}"}}"#).as_bytes())
            } else {
                answer(401, "", b"")
            };
            return Some(String::from_utf8_lossy(&answer).into_owned());
        }
        if head.contains(&format!("Bearer {TOKEN}")) {
            return None;
        }
        let challenge =
            format!("www-authenticate: Bearer realm=\"http://{}/token\",service=\"liar\"\r\n", self.address);
        Some(String::from_utf8_lossy(&answer(401, &challenge, b"")).into_owned())
    }

    async fn manifest(&self, connection: &mut TcpStream, version: &str) -> Result {
        let bytes = self.image.manifest.to_string().into_bytes();
        if let Lie::Status(status) = self.lie {
            return Ok(connection.write_all(&answer(status, "", b"out of order")).await?);
        }
        if self.lie == Lie::EndlessManifest {
            connection.write_all(head(200, "", 1 << 40).as_bytes()).await?;
            return endless(connection).await;
        }
        if version != "1.0.0" && version != self.image.digest() {
            return Ok(connection.write_all(&answer(404, "", b"")).await?);
        }
        let digest = match self.lie {
            Lie::ManifestDigest => format!("sha256:{}", "0".repeat(64)),
            _ => self.image.digest(),
        };
        Ok(connection.write_all(&answer(200, &format!("docker-content-digest: {digest}\r\n"), &bytes)).await?)
    }

    async fn blob(&self, connection: &mut TcpStream, request: &str, digest: &str) -> Result {
        let missing = self.lie == Lie::Missing(digest.to_owned());
        let Some(bytes) = self.image.blobs.get(digest).filter(|_| !missing) else {
            return Ok(connection.write_all(&answer(404, "", b"")).await?);
        };
        let range = request.to_ascii_lowercase();
        let from = range.split("range: bytes=").nth(1).and_then(|rest| rest.split('-').next()?.parse().ok());
        let part = |from: usize| bytes.get(from..).unwrap_or_default();
        let (status, from) = from.map_or((200, 0), |from| (206, from));
        let ours = |of: &str| of == digest;
        match &self.lie {
            Lie::OtherBytes(of) if ours(of) => {
                Ok(connection.write_all(&answer(200, "", &vec![b'x'; bytes.len()])).await?)
            }
            Lie::Cut(of, after) if ours(of) => {
                connection.write_all(head(status, "", part(from).len()).as_bytes()).await?;
                Ok(connection.write_all(part(from).get(..*after).unwrap_or_else(|| part(from))).await?)
            }
            Lie::CutWithoutRanges(of, after) if ours(of) => {
                connection.write_all(head(200, "", bytes.len()).as_bytes()).await?;
                Ok(connection.write_all(bytes.get(..*after).unwrap_or(bytes)).await?)
            }
            Lie::Short(of, has) if ours(of) => {
                let short = bytes.get(..*has).unwrap_or(bytes);
                Ok(connection.write_all(&answer(status, "", short.get(from..).unwrap_or_default())).await?)
            }
            Lie::Endless(of) if ours(of) => {
                connection.write_all(head(200, "", 1 << 40).as_bytes()).await?;
                connection.write_all(bytes).await?;
                endless(connection).await
            }
            _ => Ok(connection.write_all(&answer(status, "", part(from))).await?),
        }
    }
}

fn head(status: u16, headers: &str, length: usize) -> String {
    format!("HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n")
}

fn answer(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    [head(status, headers, body.len()).as_bytes(), body].concat()
}

/// Sends until nobody reads any more.
async fn endless(connection: &mut TcpStream) -> Result {
    loop {
        connection.write_all(&[b'x'; 1 << 16]).await?;
    }
}
