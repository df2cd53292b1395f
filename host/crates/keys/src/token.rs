//! What a key looks like, and what is kept of it.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use subtle::ConstantTimeEq;

/// How every key begins, so that people and scanners of secrets know one when they see it.
const PREFIX: &str = "bobbin_";
/// Random bytes of an id: eight characters.
const ID_BYTES: usize = 5;
/// Random bytes of a secret: 160 bits, 32 characters.
const SECRET_BYTES: usize = 20;
const ID_LENGTH: usize = ID_BYTES * 8 / 5;
const SECRET_LENGTH: usize = SECRET_BYTES * 8 / 5;
/// Characters of a whole key.
const LENGTH: usize = PREFIX.len() + ID_LENGTH + 1 + SECRET_LENGTH;
/// Keeps these hashes apart from those of anything else.
const DOMAIN: &[u8] = b"bobbin key 1\0";

/// Names a key. No secret: it stands in lists, logs and metrics.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct KeyId(Arc<str>);

/// A text is no id of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of a key is {ID_LENGTH} characters of a-z and 2-7; `bobbin key list` shows them")]
pub struct KeyIdError;

impl KeyId {
    /// A new one.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub(crate) fn generate() -> Result<Self, getrandom::Error> {
        Ok(Self(random::<ID_BYTES>()?.into()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    /// Takes an id, or a whole key, of which it keeps the id alone: whoever revokes a key that leaked has the key.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let id = id_of(text).unwrap_or(text);
        if id.len() == ID_LENGTH && id.bytes().all(is_symbol) { Ok(Self(id.into())) } else { Err(KeyIdError) }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for KeyId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        // A whole key has no business where ids are read.
        if text.len() != ID_LENGTH {
            return Err(D::Error::custom(KeyIdError));
        }
        text.parse().map_err(D::Error::custom)
    }
}

/// A whole key, which its holder sends. It is shown when it is made, and never again.
pub struct Token(String);

impl Token {
    /// A new key of this id.
    ///
    /// # Errors
    /// When the system has no random bytes.
    pub(crate) fn generate(id: &KeyId) -> Result<Self, getrandom::Error> {
        Ok(Self(format!("{PREFIX}{id}_{}", random::<SECRET_BYTES>()?)))
    }

    /// The key itself, for the one who asked for it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What is kept of it.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The id in a text that has the form of a key.
pub(crate) fn id_of(text: &str) -> Option<&str> {
    let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let sound = |part: &str, length| part.len() == length && part.bytes().all(is_symbol);
    (text.len() == LENGTH && sound(id, ID_LENGTH) && sound(secret, SECRET_LENGTH)).then_some(id)
}

/// What is kept of a key: SHA-256 over all of it.
///
/// A fast hash is right here. Slow ones make it dear to try the passwords that people think of; a key has 160 random
/// bits, which nobody tries, and a slow hash on the way of every request would let strangers keep the host busy.
///
/// There is no `==`: a digest is compared with [`Digest::is_of`], whose time does not tell how far a guess was right.
#[derive(Clone)]
pub struct Digest([u8; 32]);

impl Digest {
    fn of(token: &[u8]) -> Self {
        Self(Sha256::new().chain_update(DOMAIN).chain_update(token).finalize().into())
    }

    /// Whether this is what is kept of the key.
    #[must_use]
    pub fn is_of(&self, token: &[u8]) -> bool {
        Self::of(token).0.ct_eq(&self.0).into()
    }

    /// That of no key: whoever names an id that there is not is compared, too, and takes as long.
    pub(crate) const NOBODY: Self = Self([0; 32]);
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("sha256:{}", hex::encode(self.0)))
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let mut bytes = [0; 32];
        let hex = text.strip_prefix("sha256:").filter(|hex| !hex.bytes().any(|byte| byte.is_ascii_uppercase()));
        match hex.map(|hex| hex::decode_to_slice(hex, &mut bytes)) {
            Some(Ok(())) => Ok(Self(bytes)),
            Some(Err(_)) | None => Err(D::Error::custom("a hash is sha256: and 64 digits of 0-9 and a-f")),
        }
    }
}

/// So many random bytes of the system's, in base 32.
fn random<const N: usize>() -> Result<String, getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(base32(&bytes))
}

/// RFC 4648's base 32 in small letters, of whole groups of five bytes: nothing in it needs escaping anywhere, and a
/// double click selects all of it.
fn base32(bytes: &[u8]) -> String {
    let group = |group: &[u8]| {
        let bits = group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        (0..8).rev().map(move |place| symbol((bits >> (5 * place)) & 31))
    };
    bytes.chunks(5).flat_map(group).collect()
}

fn symbol(value: u64) -> char {
    // Below 32, so it always fits.
    let value = u8::try_from(value).unwrap_or_default();
    char::from(if value < 26 { b'a' + value } else { b'2' + (value - 26) })
}

fn is_symbol(byte: u8) -> bool {
    byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_key_has_its_prefix_its_id_and_160_bits_in_the_alphabet() {
        let id = KeyId::generate().unwrap();
        let token = Token::generate(&id).unwrap();
        let text = token.reveal();
        assert_eq!(text.len(), LENGTH);
        assert_eq!(id_of(text), Some(id.as_str()));
        assert!(text.starts_with(&format!("bobbin_{id}_")), "{text}");
        assert!(text.bytes().all(|byte| byte == b'_' || is_symbol(byte)), "{text}");
        assert_eq!(SECRET_LENGTH * 5, 160);
    }

    #[test]
    fn no_two_keys_are_the_same() {
        let id = KeyId::generate().unwrap();
        let keys: BTreeSet<String> = (0..100).map(|_| Token::generate(&id).unwrap().0).collect();
        assert_eq!(keys.len(), 100);
    }

    #[test]
    fn base_32_is_that_of_the_rfc() {
        assert_eq!(base32(b"fooba"), "mzxw6ytb");
        assert_eq!(base32(b"foobafooba"), "mzxw6ytbmzxw6ytb");
        assert_eq!(base32(&[0xff; 5]), "77777777");
        assert_eq!(base32(&[0; 5]), "aaaaaaaa");
    }

    #[test]
    fn what_has_another_form_is_no_key() {
        let id = KeyId::generate().unwrap();
        let token = Token::generate(&id).unwrap().0;
        let cut = token.strip_suffix(|_: char| true).unwrap();
        let upper = token.to_uppercase();
        let other = token.replace("bobbin_", "sk-");
        for text in ["", "bobbin_", "bobbin__", cut, &upper, &other, &format!("{token}a"), &token.replace('_', "-")] {
            assert_eq!(id_of(text), None, "{text}");
        }
    }

    #[test]
    fn an_id_may_be_given_by_the_whole_key_and_keeps_nothing_of_the_secret() {
        let id = KeyId::generate().unwrap();
        let token = Token::generate(&id).unwrap();
        assert_eq!(token.reveal().parse(), Ok(id.clone()));
        assert_eq!(id.as_str().parse(), Ok(id));
        for text in ["", "abcdefg", "abcdefgh2", "ABCDEFGH", "abcdefg1", "abcd/fgh"] {
            assert_eq!(text.parse::<KeyId>(), Err(KeyIdError), "{text}");
        }
        assert!(serde_json::from_value::<KeyId>(token.reveal().into()).is_err());
    }

    #[test]
    fn a_hash_is_that_of_its_key_alone_and_survives_the_file() {
        let id = KeyId::generate().unwrap();
        let (token, other) = (Token::generate(&id).unwrap(), Token::generate(&id).unwrap());
        let written = serde_json::to_value(token.digest()).unwrap();
        let read: Digest = serde_json::from_value(written.clone()).unwrap();
        assert!(read.is_of(token.reveal().as_bytes()) && !read.is_of(other.reveal().as_bytes()));
        assert!(!Digest::NOBODY.is_of(token.reveal().as_bytes()));
        let written = written.as_str().unwrap();
        let capitals = format!("sha256:{}", "A".repeat(64));
        for bad in ["", "sha256:", "sha256:00", &written.replace("sha256:", "md5:"), &capitals] {
            assert!(serde_json::from_value::<Digest>((*bad).into()).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_secret_is_shown_for_the_sake_of_debugging() {
        let token = Token::generate(&KeyId::generate().unwrap()).unwrap();
        let shown = format!("{token:?} {:?}", token.digest());
        assert_eq!(shown, "Token(..) Digest(..)");
    }
}
