//! Why a MySQL server did not do what it was asked.

use super::reader::{Malformed, Reader};
use super::rsa::KeyError;
use bobbin_inference::OverAccount;
use std::fmt;
use std::io;

/// What a server says of an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// MySQL's number, such as 1062.
    pub code: u16,
    /// In one line.
    pub message: String,
    /// Five letters and digits of SQL's standard, such as `23000`.
    pub state: String,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error {} ({}): {}", self.code, self.state, self.message)
    }
}

impl ServerError {
    /// Reads a packet that begins with 0xff.
    pub(super) fn read(packet: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(packet, "error");
        let (_head, code) = (reader.u8()?, reader.u16()?);
        // Before the greeting there is no state.
        let (state, message) = match reader.rest() {
            [b'#', a, b, c, d, e, message @ ..] => (&[*a, *b, *c, *d, *e][..], message),
            message => (&b"HY000"[..], message),
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Self { code, message: text(message), state: text(state) })
    }
}

/// Why nothing more comes from a server.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// The connection broke.
    #[error("the connection to the server broke: {0}")]
    Broken(#[from] io::Error),
    /// What was received is no MySQL.
    #[error("the server does not speak MySQL's protocol: {0}")]
    Malformed(#[from] Malformed),
    /// Packets are numbered.
    #[error("the server does not speak MySQL's protocol: its packets are out of order")]
    Order,
    /// Somebody stopped waiting in the middle of an exchange.
    #[error(
        "the connection cannot be used any more: an answer on it was not waited for, or was none; open another one"
    )]
    GivenUp,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The greeting does not fit into what the host holds for a request.
    #[error(transparent)]
    OverAccount(#[from] OverAccount),
    /// The server broke off.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The server refused who asks.
    #[error("the server refused the connection: {0}")]
    Refused(ServerError),
    /// It is older than anything that is in use.
    #[error("the server is too old: it does not know the protocol of MySQL 4.1")]
    TooOld,
    /// It wants the password in another way.
    #[error(
        "the server wants to be told the password by {0:?}, which is not supported; give the user caching_sha2_password \
         or mysql_native_password"
    )]
    Plugin(String),
    /// The address asks for TLS.
    #[error("the server does not offer TLS, which the address asks for")]
    NoTls,
    /// The host's name is none that a certificate could hold.
    #[error("no certificate can hold the host's name: {0}")]
    Name(#[from] rustls::pki_types::InvalidDnsNameError),
    /// The server's certificate is not trusted, or TLS broke off.
    #[error("TLS failed: {0}")]
    Tls(#[source] io::Error),
    /// It wants the password, which could be anybody's who is on the way.
    #[error(
        "the server wants to be told the whole password, and without TLS nobody vouches for the key that would protect it; \
         add ?ssl-mode=REQUIRED to the address, or have the server listen on a loopback address of this machine"
    )]
    Unprotected,
    /// The key for the password is none.
    #[error("the server's key for the password cannot be used: {0}")]
    Key(#[from] KeyError),
}

/// Why a statement failed.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The answer does not fit into what the host holds for a request.
    #[error("the result is too large: {0}; ask for fewer rows, or for parts of them")]
    OverAccount(#[from] OverAccount),
    /// The server refused. Spin tells its guests what this looks like to whoever debugs.
    #[error("Server({0:?})")]
    Refused(ServerError),
    /// The connection is of no use.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// Each question mark is a parameter.
    #[error("the statement takes {required} parameters, and {given} are given")]
    Parameters {
        /// How many there must be.
        required: usize,
        /// How many there are.
        given: usize,
    },
    /// It was run, and there is nothing to read.
    #[error("the statement has no rows to read; run it by execute")]
    NoRows,
    /// A value of the server's has no form in the interfaces.
    #[error("column {column}: {reason}")]
    Value {
        /// The column's name.
        column: String,
        /// What is wrong with it.
        reason: ValueError,
    },
}

/// A value that has no form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Of a type that the interfaces do not have.
    #[error("the interface has no type for a value of the type {0}; CAST it to one that it has, such as CHAR")]
    Type(&'static str),
    /// Bytes that are no text.
    #[error("the text is not in UTF-8")]
    Text,
    /// Bytes that are no value of their type.
    #[error("the server sent no value of its type")]
    Malformed(#[from] Malformed),
}
