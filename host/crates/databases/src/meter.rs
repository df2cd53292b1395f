//! Counts what a server sends. A client keeps an answer, or a part of it, in memory before anybody can ask how long it is;
//! so each byte is charged to the request as it is read, and a connection whose request cannot hold it breaks.

use bobbin_inference::{Account, Charge, OverAccount};
use parking_lot::Mutex;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a server may send though nobody waits for an answer: notices, and the rest of what somebody no longer waits for.
const UNASKED_BYTES: u64 = 64 << 10;

/// The bytes that one connection holds.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<Mutex<Counted>>);

#[derive(Debug, Default)]
struct Counted {
    /// How many wait for answers.
    operations: usize,
    /// Bytes that arrived and that nobody has passed on.
    held: u64,
    charge: Option<Charge>,
    /// Why the connection is broken.
    over: Option<OverAccount>,
}

/// A server's answer does not fit, or nobody asked for it.
#[derive(Debug, thiserror::Error)]
enum TooMuch {
    #[error(transparent)]
    Account(OverAccount),
    #[error("it sent {0} bytes that nobody asked for")]
    Unasked(u64),
}

impl Meter {
    /// Somebody waits for an answer; what arrives is charged to this account until the operation is dropped.
    ///
    /// # Errors
    /// When the account is full.
    pub fn begin(&self, account: &Account) -> Result<Operation, OverAccount> {
        let mut counted = self.0.lock();
        if counted.operations == 0 {
            counted.held = 0;
            counted.charge = Some(account.charge(0)?);
        }
        counted.operations += 1;
        Ok(Operation(self.clone()))
    }

    fn received(&self, bytes: u64) -> Result<(), TooMuch> {
        let mut counted = self.0.lock();
        counted.held = counted.held.saturating_add(bytes);
        let held = counted.held;
        match &mut counted.charge {
            Some(charge) => {
                let Err(over) = charge.resize(held) else { return Ok(()) };
                counted.over = Some(over);
                Err(TooMuch::Account(over))
            }
            None if held > UNASKED_BYTES => Err(TooMuch::Unasked(held)),
            None => Ok(()),
        }
    }
}

/// One answer that is waited for.
#[derive(Debug)]
pub struct Operation(Meter);

impl Operation {
    /// Bytes that arrived were passed on, and are charged elsewhere or held no longer.
    pub fn passed_on(&self, bytes: usize) {
        let mut counted = self.0.0.lock();
        counted.held = counted.held.saturating_sub(bytes as u64);
        let held = counted.held;
        if let Some(charge) = &mut counted.charge {
            // It becomes less.
            let _ = charge.resize(held);
        }
    }

    /// Why the connection broke, if that was because the answer is too long.
    pub fn over(&self) -> Option<OverAccount> {
        self.0.0.lock().over
    }
}

impl Drop for Operation {
    fn drop(&mut self) {
        let mut counted = self.0.0.lock();
        counted.operations = counted.operations.saturating_sub(1);
        if counted.operations == 0 {
            counted.held = 0;
            counted.charge = None;
        }
    }
}

/// A stream whose bytes are counted.
#[derive(Debug)]
pub struct Metered<S> {
    stream: S,
    meter: Meter,
}

impl<S> Metered<S> {
    fn new(stream: S, meter: &Meter) -> Self {
        Self { stream, meter: meter.clone() }
    }
}

/// Counts what is read from this stream.
pub fn metered<S>(stream: S) -> (Metered<S>, Meter) {
    let meter = Meter::default();
    (Metered::new(stream, &meter), meter)
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let bytes = buf.filled().len().saturating_sub(before);
        Poll::Ready(self.meter.received(bytes as u64).map_err(io::Error::other))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn an_answer_is_charged_as_it_arrives_and_breaks_the_connection_where_it_does_not_fit() {
        let (account, meter) = (Account::new(1000), Meter::default());
        let operation = meter.begin(&account).unwrap();
        let mut stream = Metered::new(&[0; 5000][..], &meter);
        stream.read_exact(&mut [0; 800]).await.unwrap();
        assert_eq!(account.held(), 800);
        operation.passed_on(700);
        assert_eq!(account.held(), 100);
        stream.read_exact(&mut [0; 900]).await.unwrap();
        let error = stream.read_exact(&mut [0; 1]).await.unwrap_err();
        assert!(error.to_string().contains("limit of 1000"), "{error}");
        assert_eq!(operation.over().map(|over| over.limit), Some(1000));
        drop(operation);
        assert_eq!(account.held(), 0);
    }

    #[tokio::test]
    async fn operations_at_once_share_one_count_and_the_last_one_ends_it() {
        let (account, meter) = (Account::new(1000), Meter::default());
        let (first, second) = (meter.begin(&account).unwrap(), meter.begin(&account).unwrap());
        Metered::new(&[0; 500][..], &meter).read_exact(&mut [0; 500]).await.unwrap();
        drop(first);
        assert_eq!(account.held(), 500);
        drop(second);
        assert_eq!(account.held(), 0);
    }

    #[tokio::test]
    async fn a_server_that_talks_though_nobody_asked_is_not_listened_to_for_long() {
        let meter = Meter::default();
        let mut stream = Metered::new(tokio::io::repeat(0), &meter);
        stream.read_exact(&mut vec![0; UNASKED_BYTES as usize]).await.unwrap();
        let error = stream.read_exact(&mut [0; 1]).await.unwrap_err();
        assert!(error.to_string().contains("nobody asked for"), "{error}");
    }
}
