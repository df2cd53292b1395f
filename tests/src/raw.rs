//! HTTP/1.1 by hand: for tests about what is on the wire.

use crate::Result;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A connection to the application.
#[derive(Debug)]
pub struct RawConnection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl RawConnection {
    pub(crate) async fn open(addr: SocketAddr) -> Result<Self> {
        Ok(Self::over(TcpStream::connect(addr).await?))
    }

    pub(crate) fn over(stream: TcpStream) -> Self {
        Self { stream, received: Vec::new() }
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result {
        Ok(self.stream.write_all(bytes.as_ref()).await?)
    }

    /// Sends a POST with this body, whole.
    ///
    /// # Errors
    /// When the connection is broken.
    pub async fn post(&mut self, path: &str, body: &str) -> Result {
        let length = body.len();
        self.send(format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: {length}\r\n\r\n{body}")).await
    }

    /// Reads until the text received so far contains this. `false` when the connection ends first.
    ///
    /// # Errors
    /// When the connection is reset.
    pub async fn read_until(&mut self, text: &str) -> Result<bool> {
        while !self.text().contains(text) {
            if !self.read_more().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads to the end of the connection, by a close or a reset, and returns all that ever came.
    pub async fn read_to_end(&mut self) -> String {
        while let Ok(true) = self.read_more().await {}
        self.text()
    }

    /// Reads until the last chunk of a body, or the end of the connection, and returns all that ever came.
    pub(crate) async fn read_to_end_of_body(&mut self) -> String {
        while !self.received.ends_with(b"\r\n0\r\n\r\n") && matches!(self.read_more().await, Ok(true)) {}
        self.text()
    }

    /// All that has come so far.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    async fn read_more(&mut self) -> Result<bool> {
        let read = self.stream.read_buf(&mut self.received).await?;
        Ok(read > 0)
    }
}
