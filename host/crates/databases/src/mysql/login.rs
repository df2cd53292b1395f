//! From a connected stream to a server that waits for statements.

use super::auth::{self, Nonce, Plugin};
use super::error::{OpenError, ServerError};
use super::handshake::{ERROR, Greeting, Reply, switched};
use super::reader::Malformed;
use super::wire::Wire;
use super::{Address, Privacy};
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

/// A server that has not decided by then does not want to.
const REPLIES: usize = 8;
/// Asks for a key to encrypt the password with.
const KEY: [u8; 1] = [2];

impl From<Malformed> for OpenError {
    fn from(malformed: Malformed) -> Self {
        Self::Lost(malformed.into())
    }
}

/// Says who asks. The connection is secured before that, where the address wants it.
pub(super) async fn login(address: &Address, host: &str, mut wire: Wire, privacy: Privacy) -> Result<Wire, OpenError> {
    let packet = wire.packet().await?;
    if packet.first() == Some(&ERROR) {
        return Err(OpenError::Refused(ServerError::read(&packet)?));
    }
    let greeting = Greeting::read(&packet)?;
    if greeting.is_too_old() {
        return Err(OpenError::TooOld);
    }
    if address.secure {
        // Without certificates there is no way to secure it.
        let config = match &privacy {
            Privacy::Tls(config) if greeting.offers_tls() => config.clone(),
            Privacy::Tls(_) | Privacy::Loopback | Privacy::Open => return Err(OpenError::NoTls),
        };
        wire.write(&greeting.secure(address));
        wire.send().await?;
        let name = ServerName::try_from(host.to_owned())?;
        let (stream, number) = wire.apart()?;
        let stream = TlsConnector::from(config).connect(name, stream).await.map_err(OpenError::Tls)?;
        wire = Wire::again(Box::new(stream), number);
    }
    wire.write(&greeting.login(address));
    wire.send().await?;
    prove(address, &privacy, wire, greeting.plugin, greeting.nonce).await
}

/// Answers what the server asks, until it is content.
async fn prove(
    address: &Address,
    privacy: &Privacy,
    mut wire: Wire,
    mut plugin: Plugin,
    mut nonce: Nonce,
) -> Result<Wire, OpenError> {
    let password = &address.password;
    for _reply in 0..REPLIES {
        let packet = wire.packet().await?;
        let answer = match Reply::read(&packet)? {
            Reply::Welcome => return Ok(wire),
            Reply::Refused(error) => return Err(OpenError::Refused(error)),
            Reply::Known if plugin == Plugin::CachingSha2 => continue,
            Reply::Switch { plugin: name, nonce: other } => {
                let unknown = || OpenError::Plugin(format!("{:.64}", String::from_utf8_lossy(name)));
                plugin = Plugin::named(name).ok_or_else(unknown)?;
                nonce = switched(other)?;
                plugin.answer(password, &nonce)
            }
            // Only who holds the certificate's key reads it.
            Reply::Whole if plugin == Plugin::CachingSha2 && address.secure => auth::terminated(password),
            Reply::Whole | Reply::Key(_) if plugin == Plugin::CachingSha2 && is_open(address, privacy) => {
                return Err(OpenError::Unprotected);
            }
            Reply::Whole if plugin == Plugin::CachingSha2 => KEY.to_vec(),
            Reply::Key(key) if plugin == Plugin::CachingSha2 && !address.secure => {
                auth::encrypted(password, &nonce, key)?
            }
            Reply::Known | Reply::Whole | Reply::Key(_) => return Err(Malformed("answer to the login").into()),
        };
        wire.write(&answer);
        wire.send().await?;
    }
    Err(Malformed("end to its questions").into())
}

/// Whether whoever is on the way could hand over a key of their own, and read the password.
fn is_open(address: &Address, privacy: &Privacy) -> bool {
    !address.secure && !matches!(privacy, Privacy::Loopback)
}
