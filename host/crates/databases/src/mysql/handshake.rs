//! The packets by which a client and a server get to know each other. Pure.

use super::Address;
use super::auth::{NONCE_BYTES, Nonce, Plugin};
use super::error::ServerError;
use super::reader::{Malformed, Reader};

/// The version of the protocol, which has not changed since MySQL 3.21.
const VERSION: u8 = 10;
/// Where an error stands instead.
pub(super) const ERROR: u8 = 0xff;
/// utf8mb4, in a collation that every server has.
const COLLATION: u8 = 45;
/// The longest packet that the server may send, in bytes; what fits is decided by the account of a request.
const MAX_PACKET: u32 = 1 << 30;

/// What a client and a server can do, by MySQL's names for it.
const LONG_PASSWORD: u32 = 1;
const LONG_FLAG: u32 = 1 << 2;
const CONNECT_WITH_DB: u32 = 1 << 3;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const TRANSACTIONS: u32 = 1 << 13;
const SECURE_CONNECTION: u32 = 1 << 15;
const MULTI_RESULTS: u32 = 1 << 17;
const PS_MULTI_RESULTS: u32 = 1 << 18;
const PLUGIN_AUTH: u32 = 1 << 19;

/// Without these there is no talking to a server.
const REQUIRED: u32 = PROTOCOL_41 | SECURE_CONNECTION;
/// What is asked of it. It may not ask for files of this machine (`LOCAL_FILES`), and the ends of results are marked as they
/// always were (no `DEPRECATE_EOF`), which every server can.
const WANTED: u32 =
    REQUIRED | LONG_PASSWORD | LONG_FLAG | TRANSACTIONS | MULTI_RESULTS | PS_MULTI_RESULTS | PLUGIN_AUTH;

/// What a server says first.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    capabilities: u32,
    /// How it would like to be told the password, where it is a way that is known here.
    pub(super) plugin: Plugin,
    pub(super) nonce: Nonce,
}

impl Greeting {
    pub(super) fn read(packet: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(packet, "greeting");
        if reader.u8()? != VERSION {
            return reader.malformed();
        }
        let (_version, _connection) = (reader.terminated(), reader.u32()?);
        let first: [u8; 8] = reader.array()?;
        let (_filler, low) = (reader.u8()?, reader.u16()?);
        if reader.is_empty() {
            // Before 4.1, and refused for that.
            return Ok(Self { capabilities: low.into(), plugin: Plugin::Native, nonce: [0; NONCE_BYTES] });
        }
        let (_collation, _status, high, length) = (reader.u8()?, reader.u16()?, reader.u16()?, reader.u8()?);
        let _reserved: [u8; 10] = reader.array()?;
        let capabilities = u32::from(high) << 16 | u32::from(low);
        let second = reader.take(usize::from(length).saturating_sub(first.len()).max(13))?;
        let nonce = nonce(&[&first, second].concat())?;
        let plugin = Plugin::named(reader.terminated()).unwrap_or(Plugin::Native);
        Ok(Self { capabilities, plugin, nonce })
    }

    /// Whether the server is as old as the century.
    pub(super) fn is_too_old(&self) -> bool {
        self.capabilities & REQUIRED != REQUIRED
    }

    pub(super) fn offers_tls(&self) -> bool {
        self.capabilities & SSL != 0
    }

    /// What is agreed on.
    fn agreed(&self, address: &Address) -> u32 {
        let database = if address.database.is_some() { CONNECT_WITH_DB } else { 0 };
        let secure = if address.secure { SSL } else { 0 };
        self.capabilities & WANTED | database | secure
    }

    fn head(&self, address: &Address) -> Vec<u8> {
        let mut packet = self.agreed(address).to_le_bytes().to_vec();
        packet.extend(MAX_PACKET.to_le_bytes());
        packet.push(COLLATION);
        packet.extend([0; 23]);
        packet
    }

    /// Asks for TLS. Nothing else is said before that.
    pub(super) fn secure(&self, address: &Address) -> Vec<u8> {
        self.head(address)
    }

    /// Says who asks.
    pub(super) fn login(&self, address: &Address) -> Vec<u8> {
        let mut packet = self.head(address);
        let answer = self.plugin.answer(&address.password, &self.nonce);
        packet.extend(address.user.as_bytes());
        // At most 32 bytes, and their number.
        packet.extend([0, u8::try_from(answer.len()).unwrap_or_default()]);
        packet.extend(answer);
        if let Some(database) = &address.database {
            packet.extend(database.as_bytes());
            packet.push(0);
        }
        packet.extend(self.plugin.name().as_bytes());
        packet.push(0);
        packet
    }
}

/// What the server makes up has a zero at its end.
fn nonce(bytes: &[u8]) -> Result<Nonce, Malformed> {
    bytes.strip_suffix(&[0]).unwrap_or(bytes).try_into().or(Err(Malformed("random number of 20 bytes")))
}

/// What a server says to a login.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply<'a> {
    /// Welcome.
    Welcome,
    /// Or not.
    Refused(ServerError),
    /// The password is to be told in another way.
    Switch { plugin: &'a [u8], nonce: &'a [u8] },
    /// It knows the password.
    Known,
    /// It does not know it well enough to check it: all of it is to be told.
    Whole,
    /// A key to encrypt the password with.
    Key(&'a [u8]),
}

impl<'a> Reply<'a> {
    pub(super) fn read(packet: &'a [u8]) -> Result<Self, Malformed> {
        match packet {
            [0, ..] => Ok(Self::Welcome),
            [ERROR, ..] => ServerError::read(packet).map(Self::Refused),
            [0xfe, rest @ ..] => {
                let mut reader = Reader::new(rest, "way to tell the password");
                let plugin = reader.terminated();
                Ok(Self::Switch { plugin, nonce: reader.rest() })
            }
            [1, 3] => Ok(Self::Known),
            [1, 4] => Ok(Self::Whole),
            [1, key @ ..] => Ok(Self::Key(key)),
            _ => Err(Malformed("answer to the login")),
        }
    }
}

/// The number that belongs to another way to tell the password.
pub(super) fn switched(bytes: &[u8]) -> Result<Nonce, Malformed> {
    nonce(bytes)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What a server of MySQL 8 says, with these capabilities besides.
    pub(crate) fn greeting(plugin: &str, more: u32) -> Vec<u8> {
        let capabilities = (WANTED | CONNECT_WITH_DB | more).to_le_bytes();
        let mut packet = [&[VERSION][..], b"8.0.36\0", &[7, 0, 0, 0], &[1; 8], &[0]].concat();
        packet.extend([capabilities[0], capabilities[1], 45, 2, 0, capabilities[2], capabilities[3], 21]);
        packet.extend([0; 10]);
        packet.extend([2; 12]);
        packet.push(0);
        packet.extend(plugin.as_bytes());
        packet.push(0);
        packet
    }

    pub(crate) const TLS: u32 = SSL;

    #[test]
    fn a_greeting_says_what_the_server_can() {
        let read = Greeting::read(&greeting("caching_sha2_password", TLS)).unwrap();
        assert_eq!((read.plugin, read.offers_tls(), read.is_too_old()), (Plugin::CachingSha2, true, false));
        assert_eq!(read.nonce, *[[1; 8].as_slice(), &[2; 12]].concat());
        assert_eq!(Greeting::read(&greeting("auth_gssapi_client", 0)).unwrap().plugin, Plugin::Native);
        let old = [&[VERSION][..], b"3.23\0", &[7, 0, 0, 0], &[1; 8], &[0, 4, 0]].concat();
        assert!(Greeting::read(&old).unwrap().is_too_old());
        for wrong in [&b"SSH-2.0"[..], &[VERSION], b""] {
            assert_eq!(Greeting::read(wrong), Err(Malformed("greeting")), "{wrong:?}");
        }
    }

    #[test]
    fn a_login_names_the_user_and_the_database_and_not_the_password() {
        let read = Greeting::read(&greeting("mysql_native_password", 0)).unwrap();
        let address = Address::parse("mysql://user:hunter2@host/data").unwrap();
        let login = read.login(&address);
        let after = [&b"user\0\x14"[..], &Plugin::Native.answer("hunter2", &read.nonce), b"data\0"].concat();
        assert_eq!(login[32..], [after, b"mysql_native_password\0".to_vec()].concat());
        let flags = u32::from_le_bytes(*login.first_chunk().unwrap());
        assert_eq!(flags & (CONNECT_WITH_DB | SSL | PROTOCOL_41), CONNECT_WITH_DB | PROTOCOL_41);
        assert_eq!(flags & 1 << 7, 0, "no server may ask for files");
        let nobody = read.login(&Address::parse("mysql://host").unwrap());
        assert_eq!(nobody[32..], *b"\0\0mysql_native_password\0");
    }

    #[test]
    fn replies_are_told_apart() {
        let refused = ServerError { code: 1045, message: "no".into(), state: "28000".into() };
        let switch = Reply::Switch { plugin: b"a", nonce: b"bc\0" };
        for (packet, reply) in [
            (&[0, 0, 0, 2, 0, 0, 0][..], Reply::Welcome),
            (b"\xff\x15\x04#28000no", Reply::Refused(refused)),
            (b"\xfea\0bc\0", switch),
            (&[1, 3], Reply::Known),
            (&[1, 4], Reply::Whole),
            (b"\x01key", Reply::Key(b"key")),
        ] {
            assert_eq!(Reply::read(packet), Ok(reply));
        }
        assert!(Reply::read(&[9]).is_err() && Reply::read(&[]).is_err() && Reply::read(&[ERROR, 1]).is_err());
        assert!(switched(b"short").is_err() && switched(&[1; 20]).is_ok());
    }

    proptest! {
        #[test]
        fn no_packet_is_too_strange(packet in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = Greeting::read(&packet);
            let _ = Reply::read(&packet);
            let greeting = [&[VERSION][..], &packet].concat();
            let _ = Greeting::read(&greeting);
        }
    }
}
