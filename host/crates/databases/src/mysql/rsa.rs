//! A password for `caching_sha2_password` on a connection without TLS: encrypted by RSA with OAEP and SHA-1, which is what
//! MySQL's servers decrypt. The key is the server's, and it may be anything.

use num_bigint::BigUint;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::{Error as PemError, PemObject};

/// Bytes of a SHA-1 digest, and of the random seed.
pub(super) const HASH_BYTES: usize = 20;
/// Bits of keys that are used: fewer protect nothing, and more cost time.
const MODULUS_BITS: std::ops::RangeInclusive<u64> = 1024..=8192;
/// The same for the public exponent, which is 65537 everywhere.
const MAX_EXPONENT_BITS: u64 = 32;
/// DER's identifier of RSA.
const RSA: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;

/// A key that is none, or a password that it cannot encrypt.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is not in the form that keys have.
    #[error("it is no public key in PEM: {0:?}")]
    Pem(PemError),
    /// It is another kind of key.
    #[error("it is no RSA key")]
    Kind,
    /// It is too short, or long for no good reason.
    #[error("it has {0} bits")]
    Bits(u64),
    /// The password is longer than what the key encrypts.
    #[error("it is too short for the password")]
    Short,
    /// This machine has no random numbers.
    #[error("there are no random numbers to encrypt with")]
    Random,
}

/// Encrypts a secret with a key in PEM. The seed must be random.
pub(super) fn encrypt(secret: &[u8], pem: &[u8], seed: [u8; HASH_BYTES]) -> Result<Vec<u8>, KeyError> {
    let key = SubjectPublicKeyInfoDer::from_pem_slice(pem).map_err(KeyError::Pem)?;
    let (modulus, exponent) = numbers(key.as_ref()).ok_or(KeyError::Kind)?;
    if !MODULUS_BITS.contains(&modulus.bits()) || exponent.bits() > MAX_EXPONENT_BITS {
        return Err(KeyError::Bits(modulus.bits().max(exponent.bits())));
    }
    let bytes = usize::try_from(modulus.bits().div_ceil(8)).or(Err(KeyError::Bits(modulus.bits())))?;
    let padded = BigUint::from_bytes_be(&pad(secret, seed, bytes).ok_or(KeyError::Short)?);
    let encrypted = padded.modpow(&exponent, &modulus).to_bytes_be();
    let mut out = vec![0; bytes.saturating_sub(encrypted.len())];
    out.extend(encrypted);
    Ok(out)
}

/// The modulus and the exponent.
fn numbers(mut key: &[u8]) -> Option<(BigUint, BigUint)> {
    let mut info = element(&mut key, SEQUENCE)?;
    let algorithm = element(&mut info, SEQUENCE)?;
    if !algorithm.starts_with(&RSA) {
        return None;
    }
    // The number of bits that are left out at its end.
    let mut bits = element(&mut info, BIT_STRING)?.strip_prefix(&[0])?;
    let mut numbers = element(&mut bits, SEQUENCE)?;
    let mut number = || element(&mut numbers, INTEGER).map(BigUint::from_bytes_be);
    Some((number()?, number()?))
}

/// The content of the next element of DER, if it is of this kind.
fn element<'a>(der: &mut &'a [u8], kind: u8) -> Option<&'a [u8]> {
    let (length, rest) = match *der {
        [found, ..] if *found != kind => return None,
        [_, short @ 0..=0x7f, rest @ ..] => (usize::from(*short), rest),
        [_, 0x81, length, rest @ ..] => (usize::from(*length), rest),
        [_, 0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *der = rest;
    Some(content)
}

/// OAEP, for a key of so many bytes.
fn pad(secret: &[u8], seed: [u8; HASH_BYTES], bytes: usize) -> Option<Vec<u8>> {
    let zeros = bytes.checked_sub(secret.len() + 2 * HASH_BYTES + 2)?;
    let mut data = digest(&SHA1_FOR_LEGACY_USE_ONLY, b"").as_ref().to_vec();
    data.resize(HASH_BYTES + zeros, 0);
    data.push(1);
    data.extend(secret);
    let data = mask(&data, &seed);
    let seed = mask(&seed, &data);
    Some([&[0], seed.as_slice(), data.as_slice()].concat())
}

/// Data, combined with as many bytes as it has that follow from a seed (MGF1).
fn mask(data: &[u8], seed: &[u8]) -> Vec<u8> {
    let block = |number: u32| digest(&SHA1_FOR_LEGACY_USE_ONLY, &[seed, &number.to_be_bytes()].concat());
    let parts = data.chunks(HASH_BYTES).zip(0..);
    let masked = parts.flat_map(|(part, number)| {
        let block = block(number);
        part.iter().zip(block.as_ref()).map(|(a, b)| a ^ b).collect::<Vec<u8>>()
    });
    masked.collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A key that was made for this test.
    pub(crate) const KEY: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDjXhjtaeDS5gM/S8hF7kcczfyh
puktFy6xnRkd6TuFRqdoxm45w4nLWpRn/S9UsumCuf+cDDGlnjs+x8wo7HaJyrRx
Cd+MzePXENM24zYvHWa27131XjzJCGWmTSGIdKrHFxEE+panreydXUCe/T/YxOz6
66Titrh9337pTZ+O8QIDAQAB
-----END PUBLIC KEY-----
";
    /// The number that decrypts.
    const PRIVATE: &str = "c35090055290c95ac1ab5c043cde85c41ec7486e439c726fb0300de57df79d73a658012daafd689f81be3ede66\
        0c526cf9d9a1d4813d1cd2a27e39d00dcfa3baf81fac1fc3e08a9ece425d00226041e146d8db38e1d135018b9b96329d6265fedbbc0bc1\
        b4586fd95d02b063226659e09b561b53698cdc034a835311507b4669";

    pub(crate) fn decrypt(encrypted: &[u8]) -> Vec<u8> {
        let key = SubjectPublicKeyInfoDer::from_pem_slice(KEY.as_bytes()).unwrap();
        let (modulus, _) = numbers(key.as_ref()).unwrap();
        let digits: String = PRIVATE.chars().filter(char::is_ascii_hexdigit).collect();
        let private = BigUint::parse_bytes(digits.as_bytes(), 16).unwrap();
        let number = BigUint::from_bytes_be(encrypted).modpow(&private, &modulus).to_bytes_be();
        // Zeros at its front are no part of a number.
        let padded = [vec![0; encrypted.len() - number.len()], number].concat();
        let (seed, data) = padded[1..].split_at(HASH_BYTES);
        let data = mask(data, &mask(seed, data));
        let start = data.iter().skip(HASH_BYTES).position(|byte| *byte == 1).unwrap();
        data[HASH_BYTES + start + 1..].to_vec()
    }

    #[test]
    fn what_was_encrypted_can_be_decrypted() {
        let encrypted = encrypt(b"hunter2\0", KEY.as_bytes(), [7; HASH_BYTES]).unwrap();
        assert_eq!(encrypted.len(), 128);
        assert_eq!(decrypt(&encrypted), b"hunter2\0");
        assert_ne!(encrypt(b"hunter2\0", KEY.as_bytes(), [8; HASH_BYTES]).unwrap(), encrypted);
    }

    #[test]
    fn a_key_that_is_none_and_a_password_that_is_too_long_are_refused() {
        let refused = |pem: &str| encrypt(b"x", pem.as_bytes(), [7; HASH_BYTES]).unwrap_err();
        assert!(matches!(refused(""), KeyError::Pem(_)));
        assert!(matches!(refused(&KEY.replace("MIGf", "MIGg")), KeyError::Kind));
        assert!(matches!(refused(&KEY.replace("MA0G", "MA0H")), KeyError::Kind));
        let long = encrypt(&[b'x'; 87], KEY.as_bytes(), [7; HASH_BYTES]);
        assert!(matches!(long, Err(KeyError::Short)), "{long:?}");
        assert!(encrypt(&[b'x'; 86], KEY.as_bytes(), [7; HASH_BYTES]).is_ok());
        // 3 and 65537, in 8 bits.
        let tiny = [0x30, 0x0b, 0x30, 0x09, 0x06, 0x09];
        assert!(numbers(&tiny).is_none());
    }

    proptest! {
        #[test]
        fn no_key_is_too_strange(der in proptest::collection::vec(any::<u8>(), 0..200), at in 0..160_usize, by: u8) {
            let _ = numbers(&der);
            let mut key = SubjectPublicKeyInfoDer::from_pem_slice(KEY.as_bytes()).unwrap().as_ref().to_vec();
            if let Some(byte) = key.get_mut(at) {
                *byte ^= by;
            }
            let _ = numbers(&key);
        }
    }
}
