//! Reads a GGUF file forward, once, and never asks for more memory than the file has bytes.

use super::GgufError;
use std::io::Read;

/// Keys, values and tensor descriptions together; the largest vocabularies in use take a tenth of it.
const MAX_METADATA: u64 = 256 << 20;

/// A position in a file of known length.
pub(crate) struct Reader<R> {
    inner: R,
    position: u64,
    len: u64,
}

impl<R: Read> Reader<R> {
    pub(crate) fn new(inner: R, len: u64) -> Self {
        Self { inner, position: 0, len }
    }

    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    fn remaining(&self) -> u64 {
        self.len.saturating_sub(self.position)
    }

    /// Refuses `count` things of at least `each` bytes that cannot be in the rest of the file.
    pub(crate) fn must_hold(&self, count: u64, each: u64, what: &str) -> Result<(), GgufError> {
        let needed = count.saturating_mul(each);
        if needed > self.remaining() {
            return Err(GgufError::Truncated {
                what: what.to_owned(),
                offset: self.position,
                needed,
                available: self.remaining(),
            });
        }
        if self.position.saturating_add(needed) > MAX_METADATA {
            return Err(GgufError::TooLarge {
                what: format!("the metadata up to {what}, in bytes,"),
                found: self.position.saturating_add(needed),
                limit: MAX_METADATA,
            });
        }
        Ok(())
    }

    pub(crate) fn bytes(&mut self, count: u64, what: &str) -> Result<Vec<u8>, GgufError> {
        self.must_hold(count, 1, what)?;
        let mut bytes = Vec::new();
        let read = self.inner.by_ref().take(count).read_to_end(&mut bytes)? as u64;
        if read != count {
            return Err(shrunk());
        }
        self.position += count;
        Ok(bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], GgufError> {
        self.must_hold(N as u64, 1, what)?;
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        self.position += N as u64;
        Ok(bytes)
    }

    pub(crate) fn u32(&mut self, what: &str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub(crate) fn u64(&mut self, what: &str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    /// Bytes with their length before them.
    pub(crate) fn counted(&mut self, what: &str) -> Result<Vec<u8>, GgufError> {
        let count = self.u64(what)?;
        self.bytes(count, what)
    }

    /// Fills `buffer` from the data section, where no metadata limit holds.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<(), GgufError> {
        self.inner.read_exact(buffer)?;
        self.position += buffer.len() as u64;
        Ok(())
    }

    /// Reads and drops everything up to `position`.
    pub(crate) fn skip_to(&mut self, position: u64) -> Result<(), GgufError> {
        let count = position.saturating_sub(self.position);
        let skipped = std::io::copy(&mut self.inner.by_ref().take(count), &mut std::io::sink())?;
        if skipped != count {
            return Err(shrunk());
        }
        self.position = position;
        Ok(())
    }
}

fn shrunk() -> GgufError {
    GgufError::Io {
        source: std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "it became shorter while being read"),
    }
}
