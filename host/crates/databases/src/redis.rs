//! Redis: one connection for each that a component opens, and the commands of Spin's interfaces; and subscriptions, which
//! are the host's own.

mod reply;
mod subscription;

use crate::meter::{Meter, Operation};
use crate::task::AbortOnDrop;
use bobbin_inference::{Account, OverAccount};
use percent_encoding::percent_decode_str;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo, RedisError, cmd};
use std::fmt;
use tokio::io::{AsyncRead, AsyncWrite};
use url::Url;

pub use reply::NotRedis;
pub use subscription::{Received, Subscription, SubscriptionError};

/// The port where an address names none.
const PORT: u16 = 6379;
/// What an argument costs the host besides its bytes.
const ARGUMENT_BYTES: usize = 64;

/// A text that is no address of a server. It may have a password, so it is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It is no URL.
    #[error("it is no URL: {0}")]
    Url(#[from] url::ParseError),
    /// It has another scheme, or names no host.
    #[error("it is none of redis://host and rediss://host")]
    Scheme,
    /// It asks for TLS without a check of the server's certificate.
    #[error("TLS without a check of the server's certificate is not possible")]
    Insecure,
    /// What stands behind the host is no number.
    #[error("what stands behind the host is no number of a database")]
    Database,
    /// A user or a password that is no text.
    #[error("its user or its password is not in UTF-8")]
    Text,
    /// It wants another protocol.
    #[error("its `protocol` is neither 2 nor 3")]
    Protocol(#[source] RedisError),
}

/// Where a server is, and who asks it. Two are the same where they were written the same.
#[derive(Clone)]
pub struct Address {
    /// As it was written, password included.
    text: String,
    /// The server's host, as it was written.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether the connection is secured by TLS.
    pub secure: bool,
    settings: RedisConnectionInfo,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Address {}

impl Address {
    /// Reads an address such as `redis://user:password@host:6379/0`.
    ///
    /// # Errors
    /// [`AddressError`]
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let mut url = Url::parse(text)?;
        let secure = match url.scheme() {
            "redis" => false,
            "rediss" => true,
            _ => return Err(AddressError::Scheme),
        };
        if secure && url.fragment().is_some() {
            return Err(AddressError::Insecure);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(AddressError::Scheme)?.to_owned();
        let port = url.port().unwrap_or(PORT);
        // TLS is made by whoever connects, so the client is told nothing of it.
        url.set_scheme("redis").or(Err(AddressError::Scheme))?;
        let database = url.path().trim_matches('/');
        if !database.is_empty() && database.parse::<i64>().is_err() {
            return Err(AddressError::Database);
        }
        let is_text = |part: &str| percent_decode_str(part).decode_utf8().is_ok();
        if !is_text(url.username()) || !url.password().is_none_or(is_text) {
            return Err(AddressError::Text);
        }
        // Of what the client looks at besides, nothing else can be wrong.
        let settings = url.into_connection_info().map_err(AddressError::Protocol)?.redis_settings().clone();
        Ok(Self { text: text.to_owned(), host, port, secure, settings })
    }

    /// The server without who asks it: what may be shown.
    pub fn server(&self) -> String {
        format!("{}://{}:{}", self.scheme(), self.host, self.port)
    }

    /// What `allowed_outbound_hosts` calls it.
    pub fn scheme(&self) -> &'static str {
        if self.secure { "rediss" } else { "redis" }
    }
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The answer does not fit into what the host holds for a request.
    #[error("the answer is too large: {0}")]
    OverAccount(#[from] OverAccount),
    /// The server refused, or is gone.
    #[error("{0}")]
    Redis(#[source] RedisError),
    /// The answer has a type that the interfaces do not know.
    #[error("the answer has a type that is not supported: {0}")]
    Unsupported(&'static str),
}

/// An argument of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Argument {
    /// A number.
    Int64(i64),
    /// Bytes.
    Binary(Vec<u8>),
}

/// A part of a command's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Nothing.
    Nil,
    /// A short text, such as `OK`.
    Status(String),
    /// A number.
    Int64(i64),
    /// Bytes.
    Binary(Vec<u8>),
}

/// A connection. Any number of commands may be under way on it.
pub struct Connection {
    connection: MultiplexedConnection,
    meter: Meter,
    _driver: AbortOnDrop,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Greets the server behind a stream that is already connected, and secured where the address says so. `meter` counts
    /// the bytes of that stream.
    ///
    /// # Errors
    /// When the server refuses who asks.
    pub async fn open<S>(address: &Address, stream: S, meter: Meter, account: &Account) -> Result<Self, CommandError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let operation = meter.begin(account)?;
        // Whoever waits has a deadline.
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let greeted = MultiplexedConnection::new_with_config(&address.settings, stream, config).await;
        let (connection, driver) = greeted.map_err(|error| failed(&operation, error))?;
        drop(operation);
        Ok(Self { connection, meter, _driver: AbortOnDrop::spawn(driver) })
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd, bytes: usize, account: &Account) -> Result<T, CommandError> {
        let _charge = account.charge((bytes + ARGUMENT_BYTES) as u64)?;
        let operation = self.meter.begin(account)?;
        let answer = command.query_async(&mut self.connection.clone()).await;
        answer.map_err(|error| failed(&operation, error))
    }

    /// Publishes a message.
    ///
    /// # Errors
    /// [`CommandError`], as with every other command.
    pub async fn publish(&self, channel: &str, payload: &[u8], account: &Account) -> Result<(), CommandError> {
        self.ask(cmd("PUBLISH").arg(channel).arg(payload), channel.len() + payload.len(), account).await
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn get(&self, key: &str, account: &Account) -> Result<Option<Vec<u8>>, CommandError> {
        self.ask(cmd("GET").arg(key), key.len(), account).await
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn set(&self, key: &str, value: &[u8], account: &Account) -> Result<(), CommandError> {
        self.ask(cmd("SET").arg(key).arg(value), key.len() + value.len(), account).await
    }

    /// Adds one to a number.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn incr(&self, key: &str, account: &Account) -> Result<i64, CommandError> {
        self.ask(cmd("INCRBY").arg(key).arg(1), key.len(), account).await
    }

    /// Removes keys, and answers how many there were.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn del(&self, keys: &[String], account: &Account) -> Result<u32, CommandError> {
        self.ask(cmd("DEL").arg(keys), lengths(keys), account).await
    }

    /// Adds to a set, and answers how many values are new in it.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn sadd(&self, key: &str, values: &[String], account: &Account) -> Result<u32, CommandError> {
        self.ask(cmd("SADD").arg(key).arg(values), key.len() + lengths(values), account).await
    }

    /// What is in a set.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn smembers(&self, key: &str, account: &Account) -> Result<Vec<String>, CommandError> {
        self.ask(cmd("SMEMBERS").arg(key), key.len(), account).await
    }

    /// Removes from a set, and answers how many values were in it.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn srem(&self, key: &str, values: &[String], account: &Account) -> Result<u32, CommandError> {
        self.ask(cmd("SREM").arg(key).arg(values), key.len() + lengths(values), account).await
    }

    /// Runs any command. Lists within its answer are one list.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn execute(
        &self,
        command: &str,
        arguments: &[Argument],
        account: &Account,
    ) -> Result<Vec<Answer>, CommandError> {
        let mut asked = cmd(command);
        let mut bytes = command.len();
        for argument in arguments {
            match argument {
                Argument::Int64(number) => asked.arg(*number),
                Argument::Binary(value) => asked.arg(value),
            };
            bytes += ARGUMENT_BYTES + argument.bytes();
        }
        let value = self.ask(&asked, bytes, account).await?;
        let mut answers = Vec::new();
        flatten(value, &mut answers)?;
        Ok(answers)
    }
}

impl Argument {
    fn bytes(&self) -> usize {
        match self {
            Self::Int64(_) => 0,
            Self::Binary(bytes) => bytes.len(),
        }
    }
}

fn lengths(texts: &[String]) -> usize {
    texts.iter().map(|text| text.len() + ARGUMENT_BYTES).sum()
}

fn failed(operation: &Operation, error: RedisError) -> CommandError {
    operation.over().map_or(CommandError::Redis(error), CommandError::OverAccount)
}

fn flatten(value: redis::Value, answers: &mut Vec<Answer>) -> Result<(), CommandError> {
    use redis::Value;
    answers.push(match value {
        Value::Nil => Answer::Nil,
        Value::Int(number) => Answer::Int64(number),
        Value::Boolean(yes) => Answer::Int64(yes.into()),
        Value::BulkString(bytes) => Answer::Binary(bytes),
        Value::SimpleString(text) => Answer::Status(text),
        Value::Okay => Answer::Status("OK".into()),
        Value::Double(number) => Answer::Binary(number.to_string().into_bytes()),
        Value::Array(values) | Value::Set(values) => {
            return values.into_iter().try_for_each(|value| flatten(value, answers));
        }
        Value::ServerError(error) => return Err(CommandError::Redis(error.into())),
        Value::BigNumber(number) => Answer::Binary(number),
        Value::Map(_) => return Err(CommandError::Unsupported("a map")),
        Value::Attribute { .. } => return Err(CommandError::Unsupported("an attribute")),
        Value::VerbatimString { .. } => return Err(CommandError::Unsupported("a text with a format")),
        Value::Push { .. } => return Err(CommandError::Unsupported("a message of a subscription")),
        _ => return Err(CommandError::Unsupported("one that this host's client does not know")),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::Value;

    #[test]
    fn an_address_has_a_host_a_port_and_perhaps_tls() {
        for (text, host, port, scheme) in [
            ("redis://localhost", "localhost", 6379, "redis"),
            ("redis://user:secret@cache.example.com:7000/3", "cache.example.com", 7000, "redis"),
            ("rediss://:secret@cache.example.com", "cache.example.com", 6379, "rediss"),
            ("redis://[::1]:1", "[::1]", 1, "redis"),
            ("redis://allowed.com:1@evil.com", "evil.com", 6379, "redis"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!((address.host.as_str(), address.port, address.scheme()), (host, port, scheme), "{text}");
            assert!(!format!("{address:?}").contains("secret"));
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_showing_it() {
        for text in [
            "",
            "hunter2",
            "redis:hunter2",
            "http://:hunter2@localhost",
            "redis://:hunter2@localhost:port",
            "redis://:hunter2@localhost/number",
            "redis+unix:///hunter2",
            "unix:///hunter2",
            "rediss://:hunter2@localhost/#insecure",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        for (text, told) in [
            ("redis://user:hun/ter2@localhost", "it is no URL: invalid port number"),
            ("redis://localhost/first", "what stands behind the host is no number of a database"),
            ("redis://:hunter%ff@localhost", "its user or its password is not in UTF-8"),
            ("redis://localhost?protocol=4", "its `protocol` is neither 2 nor 3"),
            ("http://localhost", "it is none of redis://host and rediss://host"),
        ] {
            assert_eq!(Address::parse(text).unwrap_err().to_string(), told, "{text}");
        }
    }

    #[test]
    fn what_has_a_meaning_in_addresses_is_written_in_percents() {
        let address = Address::parse("redis://a%40b:%2F%3A%23%3F%25@localhost").unwrap();
        assert_eq!((address.settings.username(), address.settings.password()), (Some("a@b"), Some("/:#?%")));
    }

    #[test]
    fn answers_within_answers_are_one_list() {
        let mut answers = Vec::new();
        let inner = Value::Array(vec![Value::Nil, Value::Int(-1), Value::Boolean(true)]);
        let outer = Value::Array(vec![Value::Okay, inner, Value::BulkString(b"b".to_vec()), Value::Double(1.5)]);
        flatten(outer, &mut answers).unwrap();
        let binary = |text: &str| Answer::Binary(text.as_bytes().to_vec());
        let status = Answer::Status("OK".into());
        assert_eq!(answers, [status, Answer::Nil, Answer::Int64(-1), Answer::Int64(1), binary("b"), binary("1.5")]);
        assert!(matches!(flatten(Value::Map(Vec::new()), &mut answers), Err(CommandError::Unsupported("a map"))));
    }
}
