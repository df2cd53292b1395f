//! What a server sends to a subscriber, in the second version of Redis' protocol, taken apart as it arrives.
//!
//! The client's own subscriptions put whatever arrives into a queue without bounds, and hold a message of any length before
//! anybody is asked. Here nothing is held but the message that is being read, and one that is too long is passed over.

use bytes::{Buf, Bytes, BytesMut};

/// The longest line, and the longest text that is no message: a channel's name, for example.
const TEXT_BYTES: usize = 64 << 10;
/// What ends each line and each text.
const END: &[u8] = b"\r\n";

/// What the server says is not what a server says to subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not speak Redis' protocol as servers speak it to subscribers: {0}")]
pub struct NotRedis(&'static str);

/// One reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// It did as it was told.
    Done,
    /// It did not.
    Refused(String),
    /// A channel was subscribed to.
    Subscribed,
    /// It is there.
    Pong,
    /// A message.
    Message { channel: Bytes, payload: Bytes },
    /// One whose length is over the limit. Its content is passed over.
    TooLong { channel: Bytes, bytes: u64 },
}

/// Takes replies apart.
#[derive(Debug)]
pub(super) struct Replies {
    /// The longest message, in bytes.
    limit: u64,
    /// Bytes of a message that is passed over, still to come.
    skip: u64,
}

impl Replies {
    pub(super) fn new(limit: u64) -> Self {
        Self { limit, skip: 0 }
    }

    /// The next reply, if all of it has arrived; taken out of what has.
    pub(super) fn next(&mut self, arrived: &mut BytesMut) -> Result<Option<Reply>, NotRedis> {
        if self.skip > 0 {
            let skipped = usize::try_from(self.skip).map_or(arrived.len(), |skip| skip.min(arrived.len()));
            arrived.advance(skipped);
            self.skip -= skipped as u64;
            if self.skip > 0 {
                return Ok(None);
            }
        }
        let mut cursor = Cursor { bytes: arrived, at: 0 };
        let Some(reply) = self.read(&mut cursor)? else { return Ok(None) };
        let read = cursor.at;
        arrived.advance(read);
        Ok(Some(reply))
    }

    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<Reply>, NotRedis> {
        let Some((kind, rest)) = cursor.line()? else { return Ok(None) };
        match kind {
            b'+' if rest == b"PONG" => Ok(Some(Reply::Pong)),
            b'+' | b':' => Ok(Some(Reply::Done)),
            b'-' => Ok(Some(Reply::Refused(String::from_utf8_lossy(rest).into_owned()))),
            b'*' => self.read_list(number(rest)?, cursor),
            _ => Err(NotRedis("a reply begins with a sign that none begins with")),
        }
    }

    fn read_list(&mut self, length: u64, cursor: &mut Cursor<'_>) -> Result<Option<Reply>, NotRedis> {
        let Some(kind) = cursor.text()? else { return Ok(None) };
        match (kind, length) {
            (b"message", 3) => {
                let Some(channel) = cursor.text()?.map(Bytes::copy_from_slice) else { return Ok(None) };
                let Some(bytes) = cursor.length()? else { return Ok(None) };
                if bytes > self.limit {
                    self.skip = bytes.saturating_add(END.len() as u64);
                    return Ok(Some(Reply::TooLong { channel, bytes }));
                }
                let payload = cursor.content(bytes)?.map(Bytes::copy_from_slice);
                Ok(payload.map(|payload| Reply::Message { channel, payload }))
            }
            (b"subscribe", 3) => {
                let (channel, count) = (cursor.text()?.is_some(), cursor.line()?.is_some());
                Ok((channel && count).then_some(Reply::Subscribed))
            }
            (b"pong", 2) => Ok(cursor.text()?.map(|_| Reply::Pong)),
            _ => Err(NotRedis("it sends what nobody has subscribed to")),
        }
    }
}

/// Reads what has arrived, and takes nothing out of it.
struct Cursor<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Cursor<'b> {
    /// The sign at the beginning of a line, and the rest of it.
    fn line(&mut self) -> Result<Option<(u8, &'b [u8])>, NotRedis> {
        let left = self.bytes.get(self.at..).unwrap_or_default();
        let Some(length) = left.windows(END.len()).take(TEXT_BYTES).position(|end| end == END) else {
            let longer = left.len() > TEXT_BYTES;
            return if longer { Err(NotRedis("a line does not end")) } else { Ok(None) };
        };
        self.at += length + END.len();
        let line = left.get(..length).unwrap_or_default();
        let (kind, rest) = line.split_first().ok_or(NotRedis("a line is empty"))?;
        Ok(Some((*kind, rest)))
    }

    /// How long the text is that follows.
    fn length(&mut self) -> Result<Option<u64>, NotRedis> {
        match self.line()? {
            Some((b'$', length)) => number(length).map(Some),
            Some(_) => Err(NotRedis("a text has no length")),
            None => Ok(None),
        }
    }

    fn content(&mut self, bytes: u64) -> Result<Option<&'b [u8]>, NotRedis> {
        let length = usize::try_from(bytes).or(Err(NotRedis("a text is too long")))?;
        let left = self.bytes.get(self.at..).unwrap_or_default();
        let Some((content, rest)) = left.split_at_checked(length) else { return Ok(None) };
        let Some(end) = rest.get(..END.len()) else { return Ok(None) };
        if end != END {
            return Err(NotRedis("a text is longer than it says"));
        }
        self.at += length + END.len();
        Ok(Some(content))
    }

    /// A short text.
    fn text(&mut self) -> Result<Option<&'b [u8]>, NotRedis> {
        let Some(bytes) = self.length()? else { return Ok(None) };
        if bytes > TEXT_BYTES as u64 {
            return Err(NotRedis("a name is too long"));
        }
        self.content(bytes)
    }
}

fn number(digits: &[u8]) -> Result<u64, NotRedis> {
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    number.ok_or(NotRedis("a length is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMIT: u64 = 8;

    /// Every reply of a stream that arrives in pieces of this many bytes.
    fn replies(stream: &[u8], piece: usize) -> Result<Vec<Reply>, NotRedis> {
        let (mut replies, mut arrived, mut all) = (Replies::new(LIMIT), BytesMut::new(), Vec::new());
        for bytes in stream.chunks(piece) {
            arrived.extend_from_slice(bytes);
            while let Some(reply) = replies.next(&mut arrived)? {
                all.push(reply);
            }
            assert!(arrived.len() as u64 <= LIMIT + 64 + piece as u64, "{} bytes are held", arrived.len());
        }
        Ok(all)
    }

    fn message(payload: &[u8]) -> Vec<u8> {
        let mut stream = format!("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n${}\r\n", payload.len()).into_bytes();
        stream.extend_from_slice(payload);
        stream.extend_from_slice(END);
        stream
    }

    #[test]
    fn replies_are_the_same_in_whatever_pieces_they_arrive() {
        let channel = Bytes::from_static(b"news");
        let of =
            |payload: &'static [u8]| Reply::Message { channel: channel.clone(), payload: Bytes::from_static(payload) };
        let mut stream = b"+OK\r\n*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n".to_vec();
        stream.extend(message(b"a\r\n\0\xff"));
        stream.extend(message(b""));
        stream.extend(message(&[b'x'; 1000]));
        stream.extend(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n");
        stream.extend(message(b"12345678"));
        stream.extend(b"-ERR no\r\n+PONG\r\n");
        let wanted = [
            Reply::Done,
            Reply::Subscribed,
            of(b"a\r\n\0\xff"),
            of(b""),
            Reply::TooLong { channel: channel.clone(), bytes: 1000 },
            Reply::Pong,
            of(b"12345678"),
            Reply::Refused("ERR no".into()),
            Reply::Pong,
        ];
        for piece in 1..40 {
            assert_eq!(replies(&stream, piece).unwrap(), wanted, "pieces of {piece} bytes");
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error_and_what_does_not_end_is_one_in_time() {
        for stream in [
            "HTTP/1.1 400 Bad Request\r\n",
            "*3\r\n$7\r\nmessage\r\n:1\r\n",
            "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$-1\r\n",
            "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$1\r\nab\r\n",
            "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$1\r\nb\r\n",
            "*3\r\n$99999\r\n",
            "\r\n",
        ] {
            assert!(replies(stream.as_bytes(), 4096).is_err(), "{stream:?}");
        }
        let endless = vec![b'+'; TEXT_BYTES + 2];
        assert!(Replies::new(LIMIT).next(&mut BytesMut::from(&endless[..])).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(stream in proptest::collection::vec(any::<u8>(), 0..200), piece in 1usize..50) {
            let mut arrived = BytesMut::new();
            let mut replies = Replies::new(LIMIT);
            'stream: for bytes in stream.chunks(piece) {
                arrived.extend_from_slice(bytes);
                loop {
                    match replies.next(&mut arrived) {
                        Ok(Some(_)) => {}
                        Ok(None) => break,
                        Err(_) => break 'stream,
                    }
                }
            }
        }
    }
}
