//! How a server is told a password: neither in the clear, nor so that somebody who listens could say it again.

use super::rsa::{self, HASH_BYTES, KeyError};
use ring::digest::{Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use ring::rand::{SystemRandom, generate};

/// Bytes that the server makes up for one connection.
pub(super) const NONCE_BYTES: usize = 20;

/// What the server made up for this connection.
pub(super) type Nonce = [u8; NONCE_BYTES];

/// A way to tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plugin {
    /// That of MySQL before 8, and of MariaDB.
    Native,
    /// That of MySQL since 8.
    CachingSha2,
}

impl Plugin {
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        [Self::Native, Self::CachingSha2].into_iter().find(|plugin| plugin.name().as_bytes() == name)
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
        }
    }

    /// What the server can check a password by that it knows. No password is no answer.
    pub(super) fn answer(self, password: &str, nonce: &Nonce) -> Vec<u8> {
        if password.is_empty() {
            return Vec::new();
        }
        let hash = |algorithm: &'static Algorithm, parts: &[&[u8]]| digest(algorithm, &parts.concat());
        let (once, other) = match self {
            Self::Native => {
                let once = hash(&SHA1_FOR_LEGACY_USE_ONLY, &[password.as_bytes()]);
                let twice = hash(&SHA1_FOR_LEGACY_USE_ONLY, &[once.as_ref()]);
                (once, hash(&SHA1_FOR_LEGACY_USE_ONLY, &[nonce, twice.as_ref()]))
            }
            Self::CachingSha2 => {
                let once = hash(&SHA256, &[password.as_bytes()]);
                let twice = hash(&SHA256, &[once.as_ref()]);
                (once, hash(&SHA256, &[twice.as_ref(), nonce]))
            }
        };
        once.as_ref().iter().zip(other.as_ref()).map(|(a, b)| a ^ b).collect()
    }
}

/// The password with the zero at its end, as the protocol has it.
pub(super) fn terminated(password: &str) -> Vec<u8> {
    [password.as_bytes(), &[0]].concat()
}

/// The password, encrypted with the server's key.
pub(super) fn encrypted(password: &str, nonce: &Nonce, key: &[u8]) -> Result<Vec<u8>, KeyError> {
    let seed: [u8; HASH_BYTES] = generate(&SystemRandom::new()).or(Err(KeyError::Random))?.expose();
    rsa::encrypt(&combined(password, nonce), key, seed)
}

fn combined(password: &str, nonce: &Nonce) -> Vec<u8> {
    terminated(password).iter().zip(nonce.iter().cycle()).map(|(a, b)| a ^ b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_knows_the_hash_of_the_hash_can_check_the_answer() {
        let nonce: Nonce = std::array::from_fn(|index| u8::try_from(index).unwrap());
        for (plugin, algorithm) in [(Plugin::Native, &SHA1_FOR_LEGACY_USE_ONLY), (Plugin::CachingSha2, &SHA256)] {
            // What the server keeps.
            let known = digest(algorithm, digest(algorithm, b"hunter2").as_ref());
            let mixed = match plugin {
                Plugin::Native => digest(algorithm, &[nonce.as_slice(), known.as_ref()].concat()),
                Plugin::CachingSha2 => digest(algorithm, &[known.as_ref(), nonce.as_slice()].concat()),
            };
            let check = |answer: &[u8]| {
                let hash: Vec<u8> = answer.iter().zip(mixed.as_ref()).map(|(a, b)| a ^ b).collect();
                digest(algorithm, &hash).as_ref() == known.as_ref()
            };
            assert!(check(&plugin.answer("hunter2", &nonce)), "{plugin:?}");
            assert!(!check(&plugin.answer("hunter3", &nonce)), "{plugin:?}");
            assert_eq!(plugin.answer("", &nonce), [0_u8; 0]);
            assert_eq!(Plugin::named(plugin.name().as_bytes()), Some(plugin));
        }
        assert_eq!(Plugin::named(b"mysql_clear_password"), None);
    }

    #[test]
    fn an_encrypted_password_is_bound_to_the_connection() {
        let nonce = [3; NONCE_BYTES];
        let told = encrypted("a password of more than twenty bytes", &nonce, rsa::tests::KEY.as_bytes()).unwrap();
        let plain: Vec<u8> = rsa::tests::decrypt(&told).iter().map(|byte| byte ^ 3).collect();
        assert_eq!(plain, b"a password of more than twenty bytes\0");
    }
}
