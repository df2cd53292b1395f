//! Digests: the names of content.

use sha2::{Digest as _, Sha256};
use std::fmt;

const PREFIX: &str = "sha256:";

/// A SHA-256 digest, shown as `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

/// A text that is no digest.
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    /// Another algorithm.
    #[error("{0:?} is no sha256 digest, and no other kind is known")]
    Kind(String),
    /// Not 64 digits.
    #[error("{0:?} is no digest: 64 digits from 0-9 and a-f follow `sha256:`")]
    Digits(String),
}

impl Digest {
    /// Reads `sha256:` and 64 hexadecimal digits in lower case.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(text: &str) -> Result<Self, DigestError> {
        let hex = text.strip_prefix(PREFIX).ok_or_else(|| DigestError::Kind(cut(text)))?;
        let good = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if hex.len() == 64 && hex.bytes().all(good) {
            Ok(Self(hex.to_owned()))
        } else {
            Err(DigestError::Digits(cut(text)))
        }
    }

    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(hex::encode(Sha256::digest(bytes)))
    }

    /// The 64 digits alone.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", self.0)
    }
}

/// What a registry says is not repeated without end.
fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}

/// The digest of content that comes in pieces.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all pieces so far.
    pub(crate) fn digest(&self) -> Digest {
        Digest(hex::encode(self.0.clone().finalize()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_sha256_in_lower_case_and_nothing_else() {
        let good = format!("sha256:{}", "0a".repeat(32));
        assert_eq!(Digest::parse(&good).unwrap().to_string(), good);
        let short = format!("sha256:{}", "0a".repeat(31));
        let upper = format!("sha256:{}", "0A".repeat(32));
        let path = format!("sha256:../{}", "0".repeat(61));
        let other = format!("sha512:{}", "0a".repeat(64));
        for bad in ["", "sha256:", &short, &upper, &path, &other, &"0a".repeat(32)] {
            assert!(Digest::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn pieces_have_the_digest_of_the_whole() {
        let mut hasher = Hasher::default();
        hasher.update(b"ab");
        assert_eq!(hasher.digest(), Digest::of(b"ab"));
        hasher.update(b"c");
        assert_eq!(hasher.digest(), Digest::of(b"abc"));
    }
}
