//! MQTT 3.1.1: messages to a broker, one behind the other on a connection.

use crate::meter::Meter;
use bobbin_inference::{Account, OverAccount};
use bytes::BytesMut;
use rumqttc::mqttbytes::v4::{ConnAck, Connect, ConnectReturnCode, Packet, PubRel, Publish};
use rumqttc::mqttbytes::{Error as FormatError, QoS};
use std::fmt;
use std::io;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use url::Url;

/// The longest packet that a broker sends to whoever only publishes.
const PACKET_BYTES: usize = 64 << 10;
/// The longest text of a packet.
const TEXT_BYTES: usize = u16::MAX as usize;
/// What a message costs the host besides its bytes.
const MESSAGE_BYTES: usize = 1024;

/// A text that is no address of a broker. It may have a password, so it is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It is no URL.
    #[error("it is no URL: {0}")]
    Url(#[from] url::ParseError),
    /// It has another scheme, or names no host.
    #[error("it is none of mqtt://host?client_id=.. and mqtts://host?client_id=..")]
    Scheme,
    /// It does not say who it is that publishes.
    #[error("it has no client_id")]
    ClientId,
    /// A text is too long for the protocol.
    #[error("a text of it has more than {TEXT_BYTES} bytes")]
    TooLong,
}

/// Where a broker is, and who publishes there.
pub struct Address {
    /// The broker's host, as it was written.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// What `allowed_outbound_hosts` calls it.
    pub scheme: &'static str,
    connect: Connect,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Address").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Address {
    /// Reads an address such as `mqtt://localhost:1883?client_id=me`. Who publishes, and how often the broker hears of it at
    /// least, in seconds, is said besides.
    ///
    /// # Errors
    /// [`AddressError`]
    pub fn parse(text: &str, username: &str, password: &str, keep_alive: u64) -> Result<Self, AddressError> {
        let url = Url::parse(text)?;
        let (scheme, port) = match url.scheme() {
            "mqtt" => ("mqtt", 1883),
            "tcp" => ("tcp", 1883),
            "mqtts" => ("mqtts", 8883),
            "ssl" => ("ssl", 8883),
            _ => return Err(AddressError::Scheme),
        };
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(AddressError::Scheme)?.to_owned();
        let asked = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        let id = asked("client_id").ok_or(AddressError::ClientId)?;
        if [id.as_str(), username, password].iter().any(|text| text.len() > TEXT_BYTES) {
            return Err(AddressError::TooLong);
        }
        let mut connect = Connect::new(id);
        connect.keep_alive = u16::try_from(keep_alive).unwrap_or(u16::MAX);
        connect.clean_session = asked("clean_session").is_none_or(|clean| clean != "false");
        connect.set_login(username, password);
        Ok(Self { host, port: url.port().unwrap_or(port), scheme, connect })
    }

    /// Whether the connection is secured by TLS.
    pub fn secure(&self) -> bool {
        matches!(self.scheme, "mqtts" | "ssl")
    }
}

/// How sure it is that a message arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qos {
    /// It is sent.
    AtMostOnce,
    /// The broker says that it has it.
    AtLeastOnce,
    /// Both agree that the broker has it once.
    ExactlyOnce,
}

/// Why a message was not published.
#[derive(Debug, thiserror::Error)]
pub enum MqttError {
    /// It does not fit into what the host holds for a request.
    #[error(transparent)]
    OverAccount(#[from] OverAccount),
    /// Messages go to one topic, and not to all that fit a pattern.
    #[error("the topic is none that a message can have: it is empty, too long, or has one of + and #")]
    Topic,
    /// The broker wants nothing of it.
    #[error("the broker refused the connection: {0:?}")]
    Refused(ConnectReturnCode),
    /// What was sent or received is no MQTT.
    #[error("the broker does not speak MQTT 3.1.1: {0}")]
    Format(#[from] FormatError),
    /// The broker answers what nobody asked.
    #[error("the broker's answer makes no sense")]
    Unexpected,
    /// The connection broke.
    #[error("the connection to the broker broke: {0}")]
    Broken(#[from] io::Error),
}

trait Stream: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> Stream for S {}

/// A connection.
pub struct Connection {
    stream: Box<dyn Stream>,
    read: BytesMut,
    meter: Meter,
    /// The last message's number.
    number: u16,
    keep_alive: Duration,
    heard: Instant,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Greets the broker behind a stream that is already connected, and secured where the address says so. `meter` counts the
    /// bytes of that stream.
    ///
    /// # Errors
    /// [`MqttError`]
    pub async fn open<S>(address: &Address, stream: S, meter: Meter, account: &Account) -> Result<Self, MqttError>
    where
        S: AsyncRead + AsyncWrite + Send + Sync + Unpin + 'static,
    {
        let _operation = meter.begin(account)?;
        let keep_alive = Duration::from_secs(address.connect.keep_alive.into());
        let (stream, read) = (Box::new(stream), BytesMut::new());
        let mut connection = Self { stream, read, meter: meter.clone(), number: 0, keep_alive, heard: Instant::now() };
        connection.send(|out| address.connect.write(out)).await?;
        match connection.receive().await? {
            Packet::ConnAck(ConnAck { code: ConnectReturnCode::Success, .. }) => Ok(connection),
            Packet::ConnAck(ConnAck { code, .. }) => Err(MqttError::Refused(code)),
            _ => Err(MqttError::Unexpected),
        }
    }

    /// Whether the broker may still be there: it goes when it hears nothing for longer than was agreed.
    pub fn is_fresh(&self) -> bool {
        self.keep_alive.is_zero() || self.heard.elapsed() < self.keep_alive
    }

    /// Publishes a message. A connection on which this fails is of no further use.
    ///
    /// # Errors
    /// [`MqttError`]
    pub async fn publish(
        &mut self,
        topic: &str,
        payload: Vec<u8>,
        qos: Qos,
        account: &Account,
    ) -> Result<(), MqttError> {
        if topic.is_empty() || topic.len() > TEXT_BYTES || topic.contains(['+', '#', '\0']) {
            return Err(MqttError::Topic);
        }
        // What is sent is a copy.
        let _charge = account.charge((topic.len() + 2 * payload.len() + MESSAGE_BYTES) as u64)?;
        let meter = self.meter.clone();
        let _operation = meter.begin(account)?;
        self.number = self.number.checked_add(1).unwrap_or(1);
        let sure = match qos {
            Qos::AtMostOnce => QoS::AtMostOnce,
            Qos::AtLeastOnce => QoS::AtLeastOnce,
            Qos::ExactlyOnce => QoS::ExactlyOnce,
        };
        let mut message = Publish::new(topic, sure, payload);
        message.pkid = self.number;
        self.send(|out| message.write(out)).await?;
        match qos {
            Qos::AtMostOnce => {}
            Qos::AtLeastOnce => {
                self.answered(|packet| match packet {
                    Packet::PubAck(answer) => Some(answer.pkid),
                    _ => None,
                })
                .await?;
            }
            Qos::ExactlyOnce => {
                self.answered(|packet| match packet {
                    Packet::PubRec(answer) => Some(answer.pkid),
                    _ => None,
                })
                .await?;
                let release = PubRel::new(self.number);
                self.send(|out| release.write(out)).await?;
                self.answered(|packet| match packet {
                    Packet::PubComp(answer) => Some(answer.pkid),
                    _ => None,
                })
                .await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> Result<usize, FormatError>) -> Result<(), MqttError> {
        let mut out = BytesMut::new();
        write(&mut out)?;
        self.stream.write_all(&out).await?;
        self.stream.flush().await?;
        self.heard = Instant::now();
        Ok(())
    }

    /// Waits for the broker's answer to the last message.
    async fn answered(&mut self, number: impl Fn(&Packet) -> Option<u16>) -> Result<(), MqttError> {
        let packet = self.receive().await?;
        if number(&packet) == Some(self.number) { Ok(()) } else { Err(MqttError::Unexpected) }
    }

    async fn receive(&mut self) -> Result<Packet, MqttError> {
        loop {
            match Packet::read(&mut self.read, PACKET_BYTES) {
                Ok(packet) => return Ok(packet),
                Err(FormatError::InsufficientBytes(_)) => {}
                Err(error) => return Err(error.into()),
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metered;
    use rumqttc::mqttbytes::v4::{PubAck, PubComp, PubRec};

    #[test]
    fn an_address_names_a_broker_and_who_publishes() {
        for (text, host, port, scheme) in [
            ("mqtt://localhost?client_id=me", "localhost", 1883, "mqtt"),
            ("mqtts://user:secret@broker.example.com/?client_id=me", "broker.example.com", 8883, "mqtts"),
            ("tcp://[::1]:7?client_id=", "[::1]", 7, "tcp"),
        ] {
            let address = Address::parse(text, "user", "secret", 5).unwrap();
            assert_eq!((address.host.as_str(), address.port, address.scheme), (host, port, scheme), "{text}");
            assert!(!format!("{address:?}").contains("secret"));
        }
        for text in ["", "hunter2", "mqtt://hunter2", "http://hunter2?client_id=a", "ws://hunter2?client_id=a"] {
            let error = Address::parse(text, "", "", 5).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        let long = "x".repeat(TEXT_BYTES + 1);
        assert!(matches!(Address::parse("mqtt://a?client_id=b", &long, "", 5), Err(AddressError::TooLong)));
    }

    async fn connected() -> (Connection, tokio::io::DuplexStream, Account) {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let account = Account::new(1 << 20);
        let address = Address::parse("mqtt://a?client_id=me", "user", "secret", 5).unwrap();
        let mut answer = BytesMut::new();
        ConnAck::new(ConnectReturnCode::Success, false).write(&mut answer).unwrap();
        theirs.write_all(&answer).await.unwrap();
        let (stream, meter) = metered(ours);
        let connection = Connection::open(&address, stream, meter, &account).await.unwrap();
        (connection, theirs, account)
    }

    #[tokio::test]
    async fn a_message_is_published_once_the_broker_has_agreed_as_often_as_was_asked() {
        let (mut connection, mut broker, account) = connected().await;
        let publish =
            async |connection: &mut Connection, qos| connection.publish("a/b", b"x".to_vec(), qos, &account).await;
        publish(&mut connection, Qos::AtMostOnce).await.unwrap();
        let mut answers = BytesMut::new();
        PubAck::new(2).write(&mut answers).unwrap();
        PubRec::new(3).write(&mut answers).unwrap();
        PubComp::new(3).write(&mut answers).unwrap();
        PubAck::new(9).write(&mut answers).unwrap();
        broker.write_all(&answers).await.unwrap();
        publish(&mut connection, Qos::AtLeastOnce).await.unwrap();
        publish(&mut connection, Qos::ExactlyOnce).await.unwrap();
        assert!(matches!(publish(&mut connection, Qos::AtLeastOnce).await, Err(MqttError::Unexpected)));
        drop(broker);
        assert!(matches!(publish(&mut connection, Qos::ExactlyOnce).await, Err(MqttError::Broken(_))));
        assert_eq!(account.held(), 0);
    }

    #[tokio::test]
    async fn a_topic_is_one_and_a_message_fits_into_the_account() {
        let (mut connection, _broker, account) = connected().await;
        for topic in ["", "a/#", "+/b", "a\0", &"x".repeat(TEXT_BYTES + 1)] {
            let refused = connection.publish(topic, Vec::new(), Qos::AtMostOnce, &account).await;
            assert!(matches!(refused, Err(MqttError::Topic)), "{topic:.10}");
        }
        let refused = connection.publish("a", vec![0; 1 << 20], Qos::AtMostOnce, &account).await;
        assert!(matches!(refused, Err(MqttError::OverAccount(_))));
    }
}
