//! A client that takes so little at once that an answer has to wait for it.

use crate::{RawConnection, Result, TestHost};
use anyhow::ensure;
use serde_json::Value;
use tokio::net::TcpSocket;

/// What the kernel may keep for this client, in bytes. It grows otherwise, up to many MiB: whole answers.
const KEPT: u32 = 64 * 1024;

/// Server-sent events of which nothing is read but the first, until all that is left is asked for.
#[derive(Debug)]
pub struct SlowReader {
    connection: RawConnection,
}

/// All that a slow reader got in the end.
#[derive(Debug)]
pub struct SlowAnswer {
    /// The answer's head, in lower case.
    pub head: String,
    /// The data of its events.
    pub events: Vec<String>,
    /// Whether its body ended as it should; else the connection broke.
    pub is_whole: bool,
}

impl TestHost {
    /// Sends a POST with JSON, and reads of the answer no more than its first event.
    ///
    /// # Errors
    /// When no event comes.
    pub async fn read_slowly(&self, path: &str, body: &Value) -> Result<SlowReader> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(KEPT)?;
        let mut connection = RawConnection::over(socket.connect(self.app_addr()).await?);
        connection.post(path, &body.to_string()).await?;
        ensure!(connection.read_until("data: ").await?, "no event came: {}", connection.text());
        Ok(SlowReader { connection })
    }
}

impl SlowReader {
    /// Reads all that is left.
    pub async fn finish(mut self) -> SlowAnswer {
        let text = self.connection.read_to_end_of_body().await;
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let (body, is_whole) = unchunked(body);
        let events = body.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect();
        SlowAnswer { head: head.to_ascii_lowercase(), events, is_whole }
    }
}

impl SlowAnswer {
    /// A header, where there is one.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// The text of a chunked body, and whether its last chunk came.
fn unchunked(mut body: &str) -> (String, bool) {
    let mut text = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size, 16) else { break };
        if size == 0 {
            return (text, true);
        }
        let Some((chunk, rest)) = rest.split_at_checked(size) else {
            text.push_str(rest);
            break;
        };
        text.push_str(chunk);
        body = rest.strip_prefix("\r\n").unwrap_or(rest);
    }
    (text, false)
}

#[cfg(test)]
mod tests {
    use super::unchunked;

    #[test]
    fn chunks_make_a_text_and_its_end_is_seen() {
        assert_eq!(unchunked("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n"), ("abc0123456789".to_owned(), true));
        assert_eq!(unchunked("3\r\nabc\r\n5\r\nde"), ("abcde".to_owned(), false));
        assert_eq!(unchunked("3\r\nabc\r\n"), ("abc".to_owned(), false));
    }
}
