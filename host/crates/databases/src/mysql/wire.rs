//! Packets on a connection: a length of three bytes, a number, and the content.

use super::error::Lost;
use bytes::{Buf, BufMut, BytesMut};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Bytes before a content.
const HEAD_BYTES: usize = 4;
/// The longest content of one packet. One that is as long goes on in the next.
const MAX_BYTES: usize = 0xff_ffff;
/// What is read at once, whatever a length says: each part is charged before there is much more.
const READ_BYTES: usize = 16 << 10;

pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection that packets are read from and written to. Whoever stops waiting for a packet leaves it as it was.
pub(super) struct Wire {
    stream: Box<dyn Stream>,
    /// What has arrived of the next packet.
    read: BytesMut,
    /// The parts of a long one that have arrived.
    parts: BytesMut,
    /// What is still to be sent.
    written: Vec<u8>,
    /// The next packet's number, of either side.
    number: u8,
}

impl Wire {
    pub(super) fn new(stream: Box<dyn Stream>) -> Self {
        Self { stream, read: BytesMut::new(), parts: BytesMut::new(), written: Vec::new(), number: 0 }
    }

    /// Takes it apart, for something else to come between this and the server: the stream, and the next packet's number.
    ///
    /// # Errors
    /// When the server has said more than it was asked: that would seem to have come through what is new.
    pub(super) fn apart(self) -> Result<(Box<dyn Stream>, u8), Lost> {
        if self.read.is_empty() { Ok((self.stream, self.number)) } else { Err(Lost::Order) }
    }

    /// Goes on where [`Wire::apart`] left off.
    pub(super) fn again(stream: Box<dyn Stream>, number: u8) -> Self {
        Self { number, ..Self::new(stream) }
    }

    /// Writes the next packet of an exchange, to be sent with [`Wire::send`].
    pub(super) fn write(&mut self, content: &[u8]) {
        let mut parts = content.chunks(MAX_BYTES);
        loop {
            // One that ends with a full packet needs an empty one.
            let part = parts.next().unwrap_or_default();
            let [a, b, c, ..] = part.len().to_le_bytes();
            self.written.reserve(HEAD_BYTES + part.len());
            self.written.extend([a, b, c, self.number]);
            self.written.extend(part);
            self.number = self.number.wrapping_add(1);
            if part.len() < MAX_BYTES {
                return;
            }
        }
    }

    /// Writes what begins an exchange.
    pub(super) fn command(&mut self, content: &[u8]) {
        self.number = 0;
        self.write(content);
    }

    /// Sends what was written. Whoever stops waiting for it must not use the connection again.
    pub(super) async fn send(&mut self) -> Result<(), Lost> {
        let written = std::mem::take(&mut self.written);
        self.stream.write_all(&written).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next packet's content.
    pub(super) async fn packet(&mut self) -> Result<BytesMut, Lost> {
        loop {
            if let Some(packet) = self.arrived()? {
                return Ok(packet);
            }
            self.read.reserve(READ_BYTES);
            let mut most = (&mut self.read).limit(READ_BYTES);
            if self.stream.read_buf(&mut most).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// Drops the beginning of a packet if it has more than so many bytes, and says whether it did.
    pub(super) fn forget_more_than(&mut self, bytes: usize) -> bool {
        let forgets = self.read.len() + self.parts.len() > bytes;
        if forgets {
            (self.read, self.parts) = (BytesMut::new(), BytesMut::new());
        }
        forgets
    }

    /// A server reads what begins an exchange.
    #[cfg(test)]
    pub(super) fn begin(&mut self) {
        self.number = 0;
    }

    fn arrived(&mut self) -> Result<Option<BytesMut>, Lost> {
        loop {
            let Some(&[a, b, c, number]) = self.read.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
            if number != self.number {
                return Err(Lost::Order);
            }
            let length = usize::from(a) | usize::from(b) << 8 | usize::from(c) << 16;
            if self.read.len() < HEAD_BYTES + length {
                return Ok(None);
            }
            self.number = number.wrapping_add(1);
            self.read.advance(HEAD_BYTES);
            let part = self.read.split_to(length);
            if length > READ_BYTES {
                // Otherwise the connection would keep the memory of its longest packet.
                self.read = BytesMut::from(self.read.as_ref());
            }
            if self.parts.is_empty() && length < MAX_BYTES {
                return Ok(Some(part));
            }
            self.parts.extend_from_slice(&part);
            if length < MAX_BYTES {
                return Ok(Some(std::mem::take(&mut self.parts)));
            }
        }
    }
}

/// The bytes by which a packet arrived: with its heads, and with what TLS adds, at most. Otherwise a long result would seem to
/// be held for ever, in small parts.
pub(super) fn received(content: usize) -> usize {
    let bytes = content + HEAD_BYTES * (content / MAX_BYTES + 1);
    bytes + bytes / 128
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire() -> (Wire, tokio::io::DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(64 << 20);
        (Wire::new(Box::new(ours)), theirs)
    }

    #[tokio::test]
    async fn what_is_written_is_what_is_read_however_long_it_is() {
        let (mut wire, theirs) = wire();
        let mut server = Wire::new(Box::new(theirs));
        for length in [0, 1, MAX_BYTES - 1, MAX_BYTES, MAX_BYTES + 1] {
            let content: Vec<u8> = (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect();
            wire.command(&content);
            wire.write(b"more");
            wire.send().await.unwrap();
            server.begin();
            assert!(server.packet().await.unwrap() == content, "{length}");
            assert_eq!(server.packet().await.unwrap(), &b"more"[..]);
        }
    }

    #[tokio::test]
    async fn a_packet_that_nobody_waited_for_is_still_there() {
        let (mut wire, mut theirs) = wire();
        theirs.write_all(&[5, 0, 0, 0, b'a', b'b']).await.unwrap();
        assert!(futures::FutureExt::now_or_never(wire.packet()).is_none());
        theirs.write_all(b"cde").await.unwrap();
        assert_eq!(wire.packet().await.unwrap(), &b"abcde"[..]);
    }

    #[tokio::test]
    async fn a_long_packet_that_nobody_waited_for_is_dropped_and_a_short_one_stays() {
        let (mut wire, mut theirs) = wire();
        theirs.write_all(&[0, 0, 2, 0]).await.unwrap();
        theirs.write_all(&[1; 1000]).await.unwrap();
        assert!(futures::FutureExt::now_or_never(wire.packet()).is_none());
        assert!(!wire.forget_more_than(64 << 10));
        theirs.write_all(&[1; 100_000]).await.unwrap();
        assert!(futures::FutureExt::now_or_never(wire.packet()).is_none());
        assert!(wire.forget_more_than(64 << 10));
        assert_eq!(wire.read.capacity() + wire.parts.capacity(), 0);
    }

    #[tokio::test]
    async fn packets_out_of_order_and_an_end_in_the_middle_are_errors() {
        let (mut first, mut theirs) = wire();
        theirs.write_all(&[1, 0, 0, 3, 0]).await.unwrap();
        assert!(matches!(first.packet().await, Err(Lost::Order)));
        let (mut second, mut theirs) = wire();
        theirs.write_all(&[0xff, 0xff, 0xff, 0, 1]).await.unwrap();
        drop(theirs);
        assert!(matches!(second.packet().await, Err(Lost::Broken(_))));
        assert!(second.read.capacity() < 1 << 20, "a length alone is not believed");
    }

    #[tokio::test]
    async fn nothing_that_came_before_tls_seems_to_have_come_through_it() {
        let (mut wire, mut theirs) = wire();
        theirs.write_all(&[1, 0, 0, 0, 7, 1, 0, 0, 1, 0]).await.unwrap();
        wire.packet().await.unwrap();
        assert!(matches!(wire.apart(), Err(Lost::Order)));
    }
}
