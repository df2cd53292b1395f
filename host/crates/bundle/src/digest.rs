//! SHA-256 digests, of files and of whole bundles.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::str::FromStr;

/// The first line of a bundle's canonical list; it changes when the list does, which it did not with format 2.
const CANONICAL_HEADING: &str = "bobbin-bundle-format-1";

/// A SHA-256 digest. Displayed as `sha256:<64 lower-case hexadecimal digits>`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no SHA-256 digest; 64 lower-case hexadecimal digits are needed, as sha256sum prints them")]
pub struct ParseDigestError {
    text: String,
}

impl Digest {
    /// The digest of some bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    pub(crate) fn finish(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }

    /// The digits alone, as blobs are named.
    #[must_use]
    pub fn hex(&self) -> String {
        hex::encode(self.0)
    }

    /// The digest of a bundle, from `(path, digest, size)` of each of its files, `bundle.toml` included.
    ///
    /// It is the SHA-256 of this text: the line `bobbin-bundle-format-1`, then, sorted by the bytes of the path,
    /// one line `<hex> <size> <path>` for each file; every line ends in `\n`.
    pub(crate) fn of_list(mut files: Vec<(&str, Self, u64)>) -> Self {
        files.sort_by(|left, right| left.0.as_bytes().cmp(right.0.as_bytes()));
        let mut list = format!("{CANONICAL_HEADING}\n");
        for (path, digest, size) in files {
            list.push_str(&format!("{} {size} {path}\n", digest.hex()));
        }
        Self::of(list.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Digest {
    type Err = ParseDigestError;

    /// Reads 64 lower-case digits, with or without `sha256:` before them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix("sha256:").unwrap_or(text);
        let mut bytes = [0; 32];
        let is_lower = !digits.bytes().any(|digit| digit.is_ascii_uppercase());
        match hex::decode_to_slice(digits, &mut bytes) {
            Ok(()) if is_lower => Ok(Self(bytes)),
            Ok(()) | Err(_) => Err(ParseDigestError { text: text.to_owned() }),
        }
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.hex())
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.starts_with("sha256:") {
            let text = format!("\"{text}\" has a prefix; write the 64 digits alone");
            return Err(serde::de::Error::custom(text));
        }
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_files_does_not_matter_but_everything_else_does() {
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let digest = Digest::of_list(vec![("a", one, 1), ("b", two, 2)]);
        assert_eq!(digest, Digest::of_list(vec![("b", two, 2), ("a", one, 1)]));
        assert_ne!(digest, Digest::of_list(vec![("a", two, 1), ("b", two, 2)]));
        assert_ne!(digest, Digest::of_list(vec![("a", one, 3), ("b", two, 2)]));
        assert_ne!(digest, Digest::of_list(vec![("c", one, 1), ("b", two, 2)]));
    }

    #[test]
    fn digits_must_be_lower_case_and_complete() {
        let digest = Digest::of(b"bobbin");
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        assert!(digest.hex().to_uppercase().parse::<Digest>().is_err());
        assert!(digest.hex()[1..].parse::<Digest>().is_err());
    }
}
