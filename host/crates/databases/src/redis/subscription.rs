//! A subscription: a connection on which a server sends what is published to some channels.

use super::Address;
use super::reply::{NotRedis, Replies, Reply};
use bytes::{Bytes, BytesMut};
use redis::{Cmd, cmd};
use std::fmt;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// After so long without a word the server is asked whether it is there, and after as much again it is not.
const PATIENCE: Duration = Duration::from_secs(if cfg!(test) { 2 } else { 30 });
/// Bytes that are read at once, at most.
const READ_BYTES: usize = 16 << 10;
/// Bytes of the buffer that stay between messages, at most: a long message is no reason to hold as much for ever.
const KEPT_BYTES: usize = 64 << 10;

/// Why there is no subscription any more.
#[derive(Debug, thiserror::Error)]
pub enum SubscriptionError {
    /// The server refuses who asks, or what is asked for.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// It is no Redis server.
    #[error(transparent)]
    NotRedis(#[from] NotRedis),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(#[from] io::Error),
    /// The server closed it.
    #[error("the server closed the connection")]
    Closed,
    /// The server does not answer.
    #[error("the server has not said a word for {} seconds", 2 * PATIENCE.as_secs())]
    Silent,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// All channels are subscribed to: from here on no message is missed.
    Subscribed,
    /// A message, and the channel that it was published to.
    Message {
        /// The channel.
        channel: Bytes,
        /// Its content.
        payload: Bytes,
    },
    /// A message over the limit, which was not kept.
    TooLong {
        /// The channel.
        channel: Bytes,
        /// How long it was.
        bytes: u64,
    },
}

/// A connection to a server that sends messages. Nothing is read ahead but a few kilobytes: whoever asks for no message
/// lets the server wait.
pub struct Subscription<S> {
    stream: S,
    arrived: BytesMut,
    /// How large the buffer behind `arrived` has become.
    held: usize,
    replies: Replies,
    /// Channels whose subscription is not confirmed.
    unconfirmed: usize,
}

impl<S> fmt::Debug for Subscription<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("unconfirmed", &self.unconfirmed).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Subscription<S> {
    /// Greets the server behind a stream that is already connected, and secured where the address says so, and subscribes
    /// to some channels. A message may have `limit` bytes.
    ///
    /// # Errors
    /// When the server refuses who asks, or is gone.
    pub async fn open<'a>(
        address: &Address,
        stream: S,
        channels: impl ExactSizeIterator<Item = &'a str>,
        limit: u64,
    ) -> Result<Self, SubscriptionError> {
        let (arrived, replies, unconfirmed) = (BytesMut::new(), Replies::new(limit), channels.len());
        let mut subscription = Self { stream, arrived, held: 0, replies, unconfirmed };
        if let Some(password) = address.settings.password() {
            let mut greeting = cmd("AUTH");
            greeting.arg(address.settings.username()).arg(password);
            subscription.send(&greeting).await?;
            if let Reply::Refused(reason) = subscription.reply().await? {
                return Err(SubscriptionError::Refused(reason));
            }
        }
        let mut subscribe = cmd("SUBSCRIBE");
        channels.for_each(|channel| {
            subscribe.arg(channel);
        });
        subscription.send(&subscribe).await?;
        Ok(subscription)
    }

    /// Waits for what comes next. Dropping the future may lose a part of it.
    ///
    /// # Errors
    /// [`SubscriptionError`]; the connection is of no use then.
    pub async fn next(&mut self) -> Result<Received, SubscriptionError> {
        loop {
            match self.reply().await? {
                Reply::Message { channel, payload } => return Ok(Received::Message { channel, payload }),
                Reply::TooLong { channel, bytes } => return Ok(Received::TooLong { channel, bytes }),
                Reply::Refused(reason) => return Err(SubscriptionError::Refused(reason)),
                Reply::Subscribed => {
                    self.unconfirmed = self.unconfirmed.saturating_sub(1);
                    if self.unconfirmed == 0 {
                        return Ok(Received::Subscribed);
                    }
                }
                Reply::Done | Reply::Pong => {}
            }
        }
    }

    async fn send(&mut self, command: &Cmd) -> Result<(), SubscriptionError> {
        let written = timeout(PATIENCE, self.stream.write_all(&command.get_packed_command())).await;
        Ok(written.or(Err(SubscriptionError::Silent))??)
    }

    async fn reply(&mut self) -> Result<Reply, SubscriptionError> {
        let mut asked = false;
        loop {
            if let Some(reply) = self.replies.next(&mut self.arrived)? {
                self.shrink();
                return Ok(reply);
            }
            self.arrived.reserve(READ_BYTES);
            self.held = self.held.max(self.arrived.capacity());
            let mut piece = (&mut self.stream).take(READ_BYTES as u64);
            match timeout(PATIENCE, piece.read_buf(&mut self.arrived)).await {
                Ok(read) => match read? {
                    0 => return Err(SubscriptionError::Closed),
                    _ => asked = false,
                },
                Err(_elapsed) if asked => return Err(SubscriptionError::Silent),
                Err(_elapsed) => {
                    asked = true;
                    self.send(&cmd("PING")).await?;
                }
            }
        }
    }
}

impl<S> Subscription<S> {
    /// Lets go of a buffer that a long message has made large; what has arrived behind it is little.
    fn shrink(&mut self) {
        if self.held > KEPT_BYTES && self.arrived.len() <= READ_BYTES {
            self.arrived = BytesMut::from(&self.arrived[..]);
            self.held = self.arrived.capacity();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::DuplexStream;

    async fn open(address: &str) -> (Result<Subscription<DuplexStream>, SubscriptionError>, DuplexStream) {
        let (ours, mut server) = tokio::io::duplex(1 << 20);
        server.write_all(b"+OK\r\n").await.unwrap();
        let address = Address::parse(address).unwrap();
        (Subscription::open(&address, ours, ["news", "orders"].into_iter(), 100).await, server)
    }

    async fn sent(server: &mut DuplexStream) -> String {
        let mut sent = vec![0; 1000];
        let length = server.read(&mut sent).await.unwrap();
        String::from_utf8_lossy(&sent[..length]).into_owned()
    }

    #[tokio::test]
    async fn who_asks_is_said_before_what_is_asked_for() {
        let (subscription, mut server) = open("redis://user:secret@localhost").await;
        let mut subscription = subscription.unwrap();
        let greeting = "*3\r\n$4\r\nAUTH\r\n$4\r\nuser\r\n$6\r\nsecret\r\n";
        let subscribe = "*3\r\n$9\r\nSUBSCRIBE\r\n$4\r\nnews\r\n$6\r\norders\r\n";
        assert_eq!(sent(&mut server).await, format!("{greeting}{subscribe}"));
        server.write_all(b"*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n$7\r\nmessage\r\n").await.unwrap();
        server.write_all(b"$4\r\nnews\r\n$2\r\nhi\r\n*3\r\n$9\r\nsubscribe\r\n$6\r\norders\r\n:2\r\n").await.unwrap();
        let early = Received::Message { channel: "news".into(), payload: "hi".into() };
        assert_eq!(subscription.next().await.unwrap(), early);
        assert_eq!(subscription.next().await.unwrap(), Received::Subscribed);
        drop(server);
        assert!(matches!(subscription.next().await, Err(SubscriptionError::Closed)));
    }

    #[tokio::test]
    async fn what_a_long_message_took_is_given_back_and_what_came_behind_it_is_not_lost() {
        const LONG: usize = 500_000;
        let (ours, mut server) = tokio::io::duplex(2 << 20);
        let address = Address::parse("redis://localhost").unwrap();
        let mut subscription = Subscription::open(&address, ours, ["news"].into_iter(), 1 << 20).await.unwrap();
        let message = |payload: &str| {
            let length = payload.len();
            format!("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n${length}\r\n{payload}\r\n")
        };
        for _ in 0..3 {
            let sent = message(&"x".repeat(LONG)) + &message("short");
            server.write_all(sent.as_bytes()).await.unwrap();
            for length in [LONG, 5] {
                let received = subscription.next().await.unwrap();
                assert!(matches!(&received, Received::Message { payload, .. } if payload.len() == length));
                assert!(subscription.held <= KEPT_BYTES, "{} bytes are held", subscription.held);
                // What is behind the buffer, by its own account.
                assert!(!subscription.arrived.try_reclaim(2 * KEPT_BYTES), "it is still there");
            }
        }
    }

    #[tokio::test]
    async fn what_the_server_refuses_is_an_error_with_its_words() {
        let (subscription, mut server) = open("redis://localhost").await;
        let mut subscription = subscription.unwrap();
        server.write_all(b"-NOAUTH Authentication required.\r\n").await.unwrap();
        let error = subscription.next().await.unwrap_err();
        assert!(error.to_string().contains("NOAUTH"), "{error}");
    }

    #[tokio::test]
    async fn a_silent_server_is_asked_once_and_is_gone_when_it_does_not_answer() {
        let (subscription, mut server) = open("redis://localhost").await;
        let mut subscription = subscription.unwrap();
        sent(&mut server).await;
        let answers = async {
            assert_eq!(sent(&mut server).await, "*1\r\n$4\r\nPING\r\n");
            server.write_all(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n").await.unwrap();
            assert_eq!(sent(&mut server).await, "*1\r\n$4\r\nPING\r\n");
        };
        let (next, ()) = tokio::join!(subscription.next(), answers);
        assert!(matches!(next, Err(SubscriptionError::Silent)), "{next:?}");
    }
}
