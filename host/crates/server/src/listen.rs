//! The two listeners: both are bound, or neither is. An application without routes has only that of the admin.

use crate::accept::Listener;
use crate::tls::Tls;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use tokio::net::TcpListener;

/// The options that choose where to listen.
const APP: &str = "--listen";
const ADMIN: &str = "--admin-listen";

/// The bound listeners of a host.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) app: Option<Listener>,
    pub(crate) admin: Listener,
    pub(crate) admin_token: Option<Arc<str>>,
    app_addr: Option<SocketAddr>,
    admin_addr: SocketAddr,
}

/// The sockets of a host that has ended or is about to, for the next one in its process.
#[derive(Debug)]
pub struct Sockets {
    app: Option<std::net::TcpListener>,
    admin: std::net::TcpListener,
    admin_token: Option<Arc<str>>,
}

impl Sockets {
    /// The same sockets once more, for a host that may not come up.
    ///
    /// # Errors
    /// What the system says.
    pub fn again(&self) -> io::Result<Self> {
        let app = self.app.as_ref().map(std::net::TcpListener::try_clone).transpose()?;
        Ok(Self { app, admin: self.admin.try_clone()?, admin_token: self.admin_token.clone() })
    }

    /// Listeners on these sockets. `app` is where the next application listens, if it does: the old one may have had no
    /// routes. Must be called within a runtime.
    ///
    /// # Errors
    /// What the system says.
    pub async fn listen(self, app: Option<SocketAddr>) -> Result<Listeners, BindError> {
        let taken = |socket: std::net::TcpListener, option| {
            let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
            let addr = socket.local_addr().unwrap_or(unknown);
            let socket = TcpListener::from_std(socket);
            let socket = socket.map_err(|source| BindError::Refused { addr, option, source })?;
            Ok::<_, BindError>((socket, addr))
        };
        let app = match (app, self.app) {
            (None, _) => None,
            (Some(_), Some(socket)) => Some(taken(socket, APP)?),
            (Some(addr), None) => Some(bind(addr, APP).await?),
        };
        Ok(Listeners::on(app, taken(self.admin, ADMIN)?, self.admin_token))
    }
}

/// A listener that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Something else listens there.
    #[error("port {port} is in use; give {option} another")]
    InUse {
        /// The port.
        port: u16,
        /// The option that chooses it.
        option: &'static str,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The system refuses.
    #[error("cannot listen on {addr}; give {option} an address of this machine, and a port that it may open")]
    Refused {
        /// The address.
        addr: SocketAddr,
        /// The option that chooses it.
        option: &'static str,
        /// The system's word.
        #[source]
        source: io::Error,
    },
    /// The admin listener would answer strangers.
    #[error(
        "the admin listener on {addr} would answer other machines without asking who they are; \
         give --admin-token a secret, or --admin-listen an address of this machine alone such as 127.0.0.1:3001"
    )]
    AdminOpen {
        /// The address.
        addr: SocketAddr,
    },
    /// The token protects nothing.
    #[error("--admin-token is empty; give it a secret, or leave it out and listen on 127.0.0.1")]
    EmptyToken,
    /// Nobody can send the token: what is around it in a header goes on the way.
    #[error(
        "--admin-token has a blank, a line break or another control character in it, and no client could send it so; a \
         token that is read from a file may have got the file's last line break: give it the secret alone"
    )]
    UnsendableToken,
}

impl Listeners {
    /// Binds both listeners, or that of the admin alone; port 0 takes a free one. `admin_token` is required where the admin address is
    /// reachable from other machines, and asked of every admin request once it is given.
    ///
    /// # Errors
    /// [`BindError`], with the option to change. Nothing stays bound then.
    pub async fn bind(
        app: Option<SocketAddr>,
        admin: SocketAddr,
        admin_token: Option<String>,
    ) -> Result<Self, BindError> {
        match &admin_token {
            Some(token) if token.is_empty() => return Err(BindError::EmptyToken),
            Some(token) if token.contains(|c: char| c.is_whitespace() || c.is_control()) => {
                return Err(BindError::UnsendableToken);
            }
            None if !is_loopback(admin.ip()) => return Err(BindError::AdminOpen { addr: admin }),
            Some(_) | None => {}
        }
        let app = match app {
            Some(app) => Some(bind(app, APP).await?),
            None => None,
        };
        Ok(Self::on(app, bind(admin, ADMIN).await?, admin_token.map(Arc::from)))
    }

    fn on(
        app: Option<(TcpListener, SocketAddr)>,
        (admin, admin_addr): (TcpListener, SocketAddr),
        admin_token: Option<Arc<str>>,
    ) -> Self {
        let app_addr = app.as_ref().map(|(_, addr)| *addr);
        let listener = |socket| Listener { socket, tls: None };
        Self { app: app.map(|(app, _)| listener(app)), admin: listener(admin), admin_token, app_addr, admin_addr }
    }

    /// The same sockets once more: whoever connects while nobody accepts waits for whoever takes them.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn sockets(&self) -> io::Result<Sockets> {
        let again = |listener: &Listener| Ok::<_, io::Error>(listener.socket.as_fd().try_clone_to_owned()?.into());
        Ok(Sockets {
            app: self.app.as_ref().map(again).transpose()?,
            admin: again(&self.admin)?,
            admin_token: self.admin_token.clone(),
        })
    }

    /// Has the application's listener speak TLS alone.
    #[must_use]
    pub fn with_tls(mut self, tls: Tls) -> Self {
        if let Some(app) = &mut self.app {
            app.tls = Some(tls);
        }
        self
    }

    /// Where the application listens, with the port that it got; none where it has no routes.
    #[must_use]
    pub fn app_addr(&self) -> Option<SocketAddr> {
        self.app_addr
    }

    /// Where the admin listener listens, with the port that it got.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }
}

async fn bind(addr: SocketAddr, option: &'static str) -> Result<(TcpListener, SocketAddr), BindError> {
    let refused = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::InUse { port: addr.port(), option, source },
        _ => BindError::Refused { addr, option, source },
    };
    let listener = TcpListener::bind(addr).await.map_err(refused)?;
    let addr = listener.local_addr().map_err(refused)?;
    Ok((listener, addr))
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_that_nobody_can_send_is_refused_with_the_next_step() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        for token in ["secret\n", "secret\r\n", " ", "\t", " secret", "two words", "se\0cret", "secret\u{a0}", "\u{7f}"]
        {
            let error = Listeners::bind(None, any, Some(token.to_owned())).await.unwrap_err();
            assert!(matches!(error, BindError::UnsendableToken), "{token:?}: {error}");
            assert!(
                error.to_string().contains("--admin-token") && error.to_string().contains("secret alone"),
                "{error}"
            );
        }
        for token in ["secret", "a-._~+/=9", "!\"#"] {
            assert!(Listeners::bind(None, any, Some(token.to_owned())).await.is_ok(), "{token:?}");
        }
    }
}
