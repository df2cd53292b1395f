//! Frames: a length, then a message.

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};

/// The most bytes of one message. A peer that announces more is broken, and is not read from again.
pub const MAX_FRAME: usize = 16 << 20;

/// A frame that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The socket failed or ended.
    #[error("the socket between host and worker failed: {0}")]
    Io(#[from] io::Error),
    /// A message of this side cannot be written as bytes.
    #[error("a message between host and worker cannot be encoded: {0}")]
    Encode(#[source] postcard::Error),
    /// Bytes of the other side are no message.
    #[error("a message between host and worker does not decode: {0}")]
    Decode(#[source] postcard::Error),
    /// A frame over [`MAX_FRAME`].
    #[error("a frame between host and worker has {0} bytes; at most {MAX_FRAME} are allowed")]
    TooLarge(usize),
}

/// Bytes of a frame's length.
const LENGTH: usize = size_of::<u32>();

/// What a message is written to. Beyond what a frame may have, bytes are only counted.
struct Body<'a> {
    bytes: &'a mut Vec<u8>,
    length: usize,
}

impl Flavor for Body<'_> {
    type Output = usize;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.try_extend(&[byte])
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.length += bytes.len();
        if self.length <= MAX_FRAME {
            self.bytes.extend_from_slice(bytes);
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<usize> {
        Ok(self.length)
    }
}

/// Appends a message, without its length, and returns that. What was appended before an error stays.
fn append<T: Serialize>(bytes: &mut Vec<u8>, message: &T) -> Result<u32, FrameError> {
    let written = postcard::serialize_with_flavor(message, Body { bytes, length: 0 });
    let length = written.map_err(FrameError::Encode)?;
    u32::try_from(length).ok().filter(|_| length <= MAX_FRAME).ok_or(FrameError::TooLarge(length))
}

/// Encodes a message, without its length.
///
/// # Errors
/// When it has no such form, or is over [`MAX_FRAME`].
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut bytes = Vec::new();
    append(&mut bytes, message)?;
    Ok(bytes)
}

/// Appends a message as a frame to others. Where there is room for it, nothing is asked of the allocator.
///
/// # Errors
/// When the message has no such form, or is over [`MAX_FRAME`]; nothing is appended then.
pub fn append_frame<T: Serialize>(frames: &mut Vec<u8>, message: &T) -> Result<(), FrameError> {
    let begins = frames.len();
    frames.extend_from_slice(&[0; LENGTH]);
    match append(frames, message) {
        Ok(length) => {
            if let Some(place) = frames.get_mut(begins..begins + LENGTH) {
                place.copy_from_slice(&length.to_le_bytes());
            }
            Ok(())
        }
        Err(error) => {
            frames.truncate(begins);
            Err(error)
        }
    }
}

/// Decodes a message, all of it.
///
/// # Errors
/// When the bytes are no such message, or more follows it.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, FrameError> {
    let (message, rest) = postcard::take_from_bytes(bytes).map_err(FrameError::Decode)?;
    if !rest.is_empty() {
        return Err(FrameError::Decode(postcard::Error::DeserializeBadEncoding));
    }
    Ok(message)
}

/// Reads one message; `None` at a clean end between two frames.
///
/// # Errors
/// When the socket fails, ends inside a frame, or the frame is unsound.
pub fn read_frame<T: DeserializeOwned>(reader: &mut impl Read) -> Result<Option<T>, FrameError> {
    let mut length = [0; LENGTH];
    let mut filled = 0;
    while filled < length.len() {
        let (_, empty) = length.split_at_mut(filled);
        match reader.read(empty) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_FRAME {
        return Err(FrameError::TooLarge(length));
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes)?;
    decode(&bytes).map(Some)
}

/// Writes one message in one write, so that a reader never waits for the second half of a length.
///
/// # Errors
/// When the message is over [`MAX_FRAME`] or the socket fails.
pub fn write_frame<T: Serialize>(writer: &mut impl Write, message: &T) -> Result<(), FrameError> {
    let mut frame = Vec::new();
    append_frame(&mut frame, message)?;
    writer.write_all(&frame)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FromWorker, ToWorker};
    use proptest::prelude::*;

    #[test]
    fn a_frame_survives_the_way() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &ToWorker::Close { session: 7 }).unwrap();
        let mut reader = bytes.as_slice();
        assert_eq!(read_frame(&mut reader).unwrap(), Some(ToWorker::Close { session: 7 }));
        assert_eq!(read_frame::<ToWorker>(&mut reader).unwrap(), None);
    }

    #[test]
    fn a_frame_cut_short_is_an_error_and_no_end() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &ToWorker::Close { session: 7 }).unwrap();
        for len in 1..bytes.len() {
            assert!(read_frame::<ToWorker>(&mut bytes.split_at(len).0).is_err(), "{len}");
        }
    }

    #[test]
    fn a_length_over_the_bound_is_refused_before_it_is_allocated() {
        let bytes = u32::MAX.to_le_bytes();
        assert!(matches!(read_frame::<ToWorker>(&mut bytes.as_slice()), Err(FrameError::TooLarge(_))));
    }

    #[test]
    fn a_message_over_the_bound_is_refused_by_its_size_and_leaves_the_frames_before_it() {
        let mut frames = Vec::new();
        append_frame(&mut frames, &ToWorker::Close { session: 7 }).unwrap();
        let before = frames.clone();
        // The length of a list of so many takes four bytes.
        let fits = vec![0_u8; MAX_FRAME - 4];
        assert_eq!(encode(&fits).unwrap().len(), MAX_FRAME);
        let over = vec![0_u8; MAX_FRAME - 3];
        let error = append_frame(&mut frames, &over).unwrap_err();
        assert!(matches!(error, FrameError::TooLarge(size) if size == MAX_FRAME + 1), "{error}");
        assert_eq!(frames, before);
        append_frame(&mut frames, &ToWorker::Ping).unwrap();
        let mut reader = frames.as_slice();
        assert_eq!(read_frame(&mut reader).unwrap(), Some(ToWorker::Close { session: 7 }));
        assert_eq!(read_frame(&mut reader).unwrap(), Some(ToWorker::Ping));
    }

    #[test]
    fn what_cannot_be_written_is_not_said_to_be_unreadable() {
        use std::os::unix::ffi::OsStrExt;
        // Serde has paths for text alone.
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(b"\xff"));
        let error = encode(&path).unwrap_err().to_string();
        assert!(error.contains("cannot be encoded"), "{error}");
        let error = decode::<ToWorker>(b"\xff").unwrap_err().to_string();
        assert!(error.contains("does not decode"), "{error}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
            let _ = decode::<ToWorker>(&bytes);
            let _ = decode::<FromWorker>(&bytes);
        }
    }
}
