//! Where a MySQL server is: a URL.

use percent_encoding::percent_decode_str;
use std::fmt;
use url::Url;

/// The port where an address names none.
const PORT: u16 = 3306;
/// Options of the client that Spin has, for what there is nothing to choose here: they have no effect.
const WITHOUT_EFFECT: [&str; 19] = [
    "abs_conn_ttl",
    "abs_conn_ttl_jitter",
    "built_in_roots",
    "client_found_rows",
    "compression",
    "conn_ttl",
    "enable_cleartext_plugin",
    "inactive_connection_ttl",
    "max_allowed_packet",
    "pool_max",
    "pool_min",
    "prefer_socket",
    "reset_connection",
    "secure_auth",
    "stmt_cache_size",
    "tcp_keepalive",
    "tcp_nodelay",
    "ttl_check_interval",
    "wait_timeout",
];

/// A text that is no address of a server that can be reached. It may have a password, so it is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is no URL.
    #[error("the address is no URL: {0}")]
    Url(#[from] url::ParseError),
    /// It has another scheme, or names no host.
    #[error("the address is not of the form mysql://user:password@host:port/database")]
    Scheme,
    /// It names a file.
    #[error("Unix sockets are not supported on WebAssembly")]
    Unix,
    /// It asks for TLS without a check of the server's certificate.
    #[error("TLS without a check of the server's certificate is not possible")]
    Insecure,
    /// A user, a password or a database that is no text.
    #[error("a part of the address is not in UTF-8, or has a zero in it")]
    Text,
    /// An option that is not known could matter.
    #[error("an option of the address is not known; ssl-mode is one that is")]
    Option,
    /// A known one that makes no sense.
    #[error("an option of the address has a value that it cannot have")]
    Value,
}

/// Where a server is, and who asks.
pub struct Address {
    /// The server's host, as it was written.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether the connection is secured by TLS: always, or never.
    pub secure: bool,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) database: Option<String>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Address {
    /// Reads an address such as `mysql://user:password@host:3306/database?ssl-mode=REQUIRED`.
    ///
    /// # Errors
    /// [`AddressError`]
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let url = Url::parse(text)?;
        if url.scheme() != "mysql" {
            return Err(AddressError::Scheme);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(AddressError::Scheme)?.to_owned();
        let database = text_of(url.path().strip_prefix('/').unwrap_or_default())?;
        Ok(Self {
            host,
            port: url.port().unwrap_or(PORT),
            secure: secure(&url)?,
            user: text_of(url.username())?,
            password: text_of(url.password().unwrap_or_default())?,
            database: Some(database).filter(|name| !name.is_empty()),
        })
    }
}

/// A part of a URL. The protocol ends texts with a zero, so there is none in them.
fn text_of(part: &str) -> Result<String, AddressError> {
    let text = percent_decode_str(part).decode_utf8().or(Err(AddressError::Text))?;
    if text.contains('\0') { Err(AddressError::Text) } else { Ok(text.into_owned()) }
}

/// Whether the options ask for TLS. As in Spin, every mode but one does.
fn secure(url: &Url) -> Result<bool, AddressError> {
    let mut secure = false;
    for (key, value) in url.query_pairs() {
        let key = key.to_lowercase();
        let yes = || value.parse::<bool>().or(Err(AddressError::Value));
        match key.as_str() {
            "ssl-mode" | "sslmode" => secure |= !value.eq_ignore_ascii_case("disabled"),
            "require_ssl" => secure |= yes()?,
            "verify_ca" | "verify_identity" if !yes()? => return Err(AddressError::Insecure),
            "verify_ca" | "verify_identity" => {}
            "socket" => return Err(AddressError::Unix),
            other if WITHOUT_EFFECT.contains(&other) => {}
            _ => return Err(AddressError::Option),
        }
    }
    Ok(secure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_url_with_parts_in_percents() {
        for (text, host, port, secure) in [
            ("mysql://localhost", "localhost", 3306, false),
            ("mysql://user:secret@db.example.com:3307/data", "db.example.com", 3307, false),
            ("mysql://[::1]:1/?ssl-mode=DISABLED", "[::1]", 1, false),
            ("mysql://a/b?sslMode=VERIFY_CA&pool_max=10", "a", 3306, true),
            ("mysql://a?ssl-mode=PREFERRED", "a", 3306, true),
            ("mysql://a?require_ssl=true&verify_identity=true", "a", 3306, true),
            ("mysql://allowed.com:1@evil.com", "evil.com", 3306, false),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.host.as_str(), address.port, address.secure), (host, port, secure), "{text}");
            assert!(!format!("{address:?}").contains("secret"));
        }
        let address = Address::parse("mysql://%C3%A4:a%2Fb%40@host/d%20b").unwrap();
        assert_eq!((address.user.as_str(), address.password.as_str()), ("ä", "a/b@"));
        assert_eq!(address.database.as_deref(), Some("d b"));
    }

    #[test]
    fn what_is_no_address_is_refused_without_showing_it() {
        for (text, wanted) in [
            ("hunter2", AddressError::Url(url::ParseError::RelativeUrlWithoutBase)),
            ("mysql://:hunter2@localhost:port", AddressError::Url(url::ParseError::InvalidPort)),
            ("postgres://hunter2@localhost", AddressError::Scheme),
            ("mysql:hunter2", AddressError::Scheme),
            ("mysql:///hunter2", AddressError::Scheme),
            ("mysql://u:hunter2@localhost/d?socket=/run/mysqld/mysqld.sock", AddressError::Unix),
            ("mysql://u:hunter2@localhost/d?require_ssl=true&verify_ca=false", AddressError::Insecure),
            ("mysql://u@localhost/?hunter2", AddressError::Option),
            ("mysql://u@localhost/?require_ssl=hunter2", AddressError::Value),
            ("mysql://u%00:hunter2@localhost/", AddressError::Text),
            ("mysql://u:%ff@localhost/", AddressError::Text),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(error, wanted, "{text}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
    }
}
