//! Frames on the host's side of the socket, where reading must not block a thread.

use bobbin_inference::wire::{FrameError, FromWorker, MAX_FRAME, ToWorker, append_frame, decode};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Why nothing more comes from a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hangup {
    /// The worker's end is closed: it has exited, or is about to.
    Closed,
    /// It said what no sound worker says, and must be killed.
    Broken(String),
}

/// Reads one message.
pub(super) async fn read<R: AsyncRead + Unpin>(reader: &mut R) -> Result<FromWorker, Hangup> {
    let length = reader.read_u32_le().await.map_err(hangup)? as usize;
    if length > MAX_FRAME {
        return Err(Hangup::Broken(FrameError::TooLarge(length).to_string()));
    }
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).await.map_err(hangup)?;
    decode(&bytes).map_err(|error| Hangup::Broken(error.to_string()))
}

/// Length and message, ready to be written.
pub(super) fn frame(message: &ToWorker) -> Result<Vec<u8>, FrameError> {
    let mut bytes = Vec::new();
    append_frame(&mut bytes, message)?;
    Ok(bytes)
}

/// A worker that is killed leaves half a frame or a reset behind: how it ended says more than either.
fn hangup(error: io::Error) -> Hangup {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Hangup::Closed,
        _ => Hangup::Broken(FrameError::Io(error).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bobbin_inference::wire::{Phase, encode, write_frame};

    #[tokio::test]
    async fn frames_are_read_one_after_the_other_until_the_end() {
        let mut bytes = Vec::new();
        for phase in [Phase::Loading, Phase::Warming] {
            write_frame(&mut bytes, &FromWorker::Progress(phase)).unwrap();
        }
        let mut reader = bytes.as_slice();
        assert_eq!(read(&mut reader).await.unwrap(), FromWorker::Progress(Phase::Loading));
        assert_eq!(read(&mut reader).await.unwrap(), FromWorker::Progress(Phase::Warming));
        assert_eq!(read(&mut reader).await.unwrap_err(), Hangup::Closed);
    }

    #[tokio::test]
    async fn half_a_frame_is_the_end_of_a_dead_worker() {
        let mut bytes = Vec::new();
        write_frame(&mut bytes, &FromWorker::Progress(Phase::Loading)).unwrap();
        for len in 1..bytes.len() {
            assert_eq!(read(&mut bytes.split_at(len).0).await.unwrap_err(), Hangup::Closed, "{len}");
        }
    }

    #[tokio::test]
    async fn a_length_over_the_bound_and_bytes_that_mean_nothing_are_broken() {
        let too_long = u32::MAX.to_le_bytes();
        assert!(matches!(read(&mut too_long.as_slice()).await, Err(Hangup::Broken(_))));
        let mut trailing = encode(&FromWorker::Progress(Phase::Loading)).unwrap();
        trailing.push(0);
        let mut bytes = u32::try_from(trailing.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend(trailing);
        assert!(matches!(read(&mut bytes.as_slice()).await, Err(Hangup::Broken(_))));
    }
}
