//! Reading a file while hashing it, without pushing live weights out of the page cache, at a bounded pace.

use crate::Digest;
use rustix::fs::{Advice, fadvise};
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

/// Read, hashed and written at once: a fraction of a millisecond, after which whoever waits for the processor has it.
const CHUNK: usize = 128 << 10;
/// How much is read before its pages are given back.
const WINDOW: u64 = 8 << 20;
/// How much is written before it is forced to the disk, so that dirty pages stay few.
const SYNC: u64 = 64 << 20;

/// Is told of progress, and may break off.
type Tell<'a> = dyn FnMut(Progress<'_>) -> ControlFlow<()> + 'a;

/// How fast to verify, and whom to tell.
#[derive(Default)]
pub struct Pace<'a> {
    bytes_per_second: Option<NonZeroU64>,
    progress: Option<&'a mut Tell<'a>>,
    started: Option<Instant>,
    passed: u64,
    /// Of the present round: the bytes that it is about, and those that it has passed.
    all: u64,
    all_done: u64,
}

/// How far one file is, and the round that it belongs to: all files that are verified, or copied, together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// The file, relative to the bundle's folder.
    pub path: &'a str,
    /// Bytes hashed of it so far.
    pub done: u64,
    /// Its size by the manifest.
    pub total: u64,
    /// Bytes passed of the whole round so far; never more than `all`.
    pub all_done: u64,
    /// The bytes of the whole round, those counted twice that are read twice; 0 where nobody knows.
    pub all: u64,
}

impl<'a> Pace<'a> {
    /// As fast as the disk, silently.
    #[must_use]
    pub fn full() -> Self {
        Self::default()
    }

    /// At most so many bytes per second, over all files together.
    #[must_use]
    pub fn at_most(mut self, bytes_per_second: NonZeroU64) -> Self {
        self.bytes_per_second = Some(bytes_per_second);
        self
    }

    /// Calls `progress` after each chunk of 128 KiB, and at the end of each file. Where it breaks off, verification ends
    /// with [`VerifyError::GivenUp`](crate::VerifyError::GivenUp).
    #[must_use]
    pub fn with_progress(mut self, progress: &'a mut Tell<'a>) -> Self {
        self.progress = Some(progress);
        self
    }

    /// Begins a round of so many bytes in all.
    pub fn count_to(&mut self, all: u64) {
        (self.all, self.all_done) = (all, 0);
    }

    /// `bytes` more of a file were passed, `done` of `total` so far.
    pub(crate) fn step(&mut self, bytes: u64, path: &str, done: u64, total: u64) -> Result<(), PassError> {
        self.passed = self.passed.saturating_add(bytes);
        // A file may grow meanwhile.
        self.all_done = self.all_done.saturating_add(bytes).min(self.all);
        let progress = Progress { path, done, total, all_done: self.all_done, all: self.all };
        if let Some(tell) = &mut self.progress
            && tell(progress).is_break()
        {
            return Err(PassError::GivenUp);
        }
        if let Some(rate) = self.bytes_per_second {
            let started = *self.started.get_or_insert_with(Instant::now);
            std::thread::sleep(due(self.passed, rate).saturating_sub(started.elapsed()));
        }
        Ok(())
    }
}

/// How long so many bytes may take at the least.
fn due(bytes: u64, per_second: NonZeroU64) -> Duration {
    Duration::from_secs_f64(bytes as f64 / per_second.get() as f64)
}

/// Which side failed; or nobody wants to know any more.
#[derive(Debug)]
pub(crate) enum PassError {
    Read(io::Error),
    Write(io::Error),
    GivenUp,
}

/// What a pass over a file is for.
pub(crate) struct Pass<'a> {
    pub(crate) path: &'a str,
    /// By the manifest; a file that grows is not read further than one chunk beyond it.
    pub(crate) size: u64,
    /// Whether the pages read are given back.
    pub(crate) forget: bool,
}

impl Pass<'_> {
    /// Hashes `source` from its present position and writes the same bytes into `sink`; gives the digest and
    /// the number of bytes.
    pub(crate) fn run(
        &self,
        source: &File,
        mut sink: Option<&File>,
        pace: &mut Pace<'_>,
    ) -> Result<(Digest, u64), PassError> {
        // Advice is a hint; a file system that does not take it loses nothing but the hint.
        let mut reader = source;
        let advise = |offset: u64, len: u64, advice| {
            let _hint = fadvise(source, offset, NonZeroU64::new(len), advice);
        };
        advise(0, 0, Advice::Sequential);
        let mut hasher = Sha256::new();
        let mut buffer = vec![0; CHUNK];
        let (mut done, mut forgotten, mut synced) = (0_u64, 0_u64, 0_u64);
        while done <= self.size {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(PassError::Read(error)),
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            hasher.update(bytes);
            done += count as u64;
            if let Some(sink) = &mut sink {
                sink.write_all(bytes).map_err(PassError::Write)?;
                if done - synced >= SYNC {
                    sink.sync_data().map_err(PassError::Write)?;
                    synced = done;
                }
            }
            if self.forget && done - forgotten >= WINDOW {
                advise(forgotten, done - forgotten, Advice::DontNeed);
                forgotten = done;
            }
            pace.step(count as u64, self.path, done, self.size)?;
        }
        if self.forget {
            advise(0, 0, Advice::DontNeed);
        }
        Ok((Digest::finish(hasher), done))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bounded_pace_gives_each_byte_its_time() {
        let rate = NonZeroU64::new(1000).unwrap();
        assert_eq!(due(0, rate), Duration::ZERO);
        assert_eq!(due(2500, rate), Duration::from_millis(2500));
    }

    #[test]
    fn a_file_that_grows_is_not_read_to_its_end() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10 * CHUNK as u64).unwrap();
        let pass = Pass { path: "growing", size: 10, forget: false };
        let (_, size) = pass.run(&file, None, &mut Pace::full()).unwrap();
        assert!(size > 10 && size <= CHUNK as u64, "{size}");
    }
}
