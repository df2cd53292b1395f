//! MQTT brokers: `fermyon:spin/mqtt@2.0.0` and `spin:mqtt@3.0.0`.
//!
//! A component publishes to the brokers that its `allowed_outbound_hosts` name. The connection is made with the first
//! message, as in Spin, and again where it broke.

mod bindings;
mod v2;
mod v3;

use super::network::{NoWay, Place, TimeOver, Way, in_time};
use super::{HasSpin, Spin, spin};
use crate::outbound::Target;
use crate::state::State;
use bindings::{v2 as v2_wit, v3 as v3_wit};
use bobbin_databases::metered;
use bobbin_databases::mqtt::{Address, Connection, MqttError, Qos};
use std::sync::Arc;
use tokio::sync::Mutex;
use wasmtime::component::{Linker, Resource};

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    v2_wit::fermyon::spin::mqtt::add_to_linker::<State, HasSpin>(linker, spin)?;
    v3_wit::spin::mqtt::mqtt::add_to_linker::<State, HasSpin>(linker, spin)
}

/// A connection that a guest has opened.
pub struct OpenMqtt {
    broker: Arc<Broker>,
    _place: Place,
}

struct Broker {
    address: Address,
    target: Target,
    /// Messages go one behind the other.
    connection: Mutex<Option<Connection>>,
}

/// Why an operation failed; each interface has its own error of the same name.
#[derive(Debug)]
enum Failure {
    InvalidAddress,
    TooManyConnections,
    ConnectionFailed(String),
    Other(String),
}

impl From<TimeOver> for Failure {
    fn from(error: TimeOver) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<NoWay> for Failure {
    fn from(error: NoWay) -> Self {
        match error {
            NoWay::TooMany => Self::TooManyConnections,
            NoWay::NotPermitted(_) | NoWay::Unconnected(_) => Self::ConnectionFailed(error.to_string()),
            NoWay::Full(_) | NoWay::TimeOver(_) => Self::Other(error.to_string()),
        }
    }
}

impl From<MqttError> for Failure {
    fn from(error: MqttError) -> Self {
        match error {
            MqttError::OverAccount(_) | MqttError::Topic => Self::Other(error.to_string()),
            MqttError::Refused(_) | MqttError::Format(_) | MqttError::Unexpected | MqttError::Broken(_) => {
                Self::ConnectionFailed(error.to_string())
            }
        }
    }
}

macro_rules! convert {
    ($($wit:tt)+) => {
        const _: () = {
            use $($wit)+ as wit;

            impl From<Failure> for wit::Error {
                fn from(failure: Failure) -> Self {
                    match failure {
                        Failure::InvalidAddress => Self::InvalidAddress,
                        Failure::TooManyConnections => Self::TooManyConnections,
                        Failure::ConnectionFailed(message) => Self::ConnectionFailed(message),
                        Failure::Other(message) => Self::Other(message),
                    }
                }
            }

            impl From<wit::Qos> for Qos {
                fn from(qos: wit::Qos) -> Self {
                    match qos {
                        wit::Qos::AtMostOnce => Self::AtMostOnce,
                        wit::Qos::AtLeastOnce => Self::AtLeastOnce,
                        wit::Qos::ExactlyOnce => Self::ExactlyOnce,
                    }
                }
            }
        };
    };
}

convert!(v2_wit::fermyon::spin::mqtt);
convert!(v3_wit::spin::mqtt::mqtt);

/// Who publishes, and where.
struct Opening {
    address: String,
    username: String,
    password: String,
    keep_alive: u64,
}

/// A broker and the request that publishes there: what a message needs when it waits outside of wasmtime's store.
struct Operation {
    broker: Arc<Broker>,
    way: Way,
}

impl Spin {
    fn open_mqtt(&mut self, opening: &Opening) -> Result<Resource<OpenMqtt>, Failure> {
        let Opening { address, username, password, keep_alive } = opening;
        let address = Address::parse(address, username, password, *keep_alive).or(Err(Failure::InvalidAddress))?;
        let way = self.way();
        let target = way.check(address.scheme, &address.host, address.port)?;
        let place = way.place()?;
        let broker = Arc::new(Broker { address, target, connection: Mutex::new(None) });
        self.table.push(OpenMqtt { broker, _place: place }).or(Err(Failure::TooManyConnections))
    }

    fn mqtt(&self, connection: &Resource<OpenMqtt>) -> wasmtime::Result<Operation> {
        let broker = Arc::clone(&self.table.get(connection)?.broker);
        Ok(Operation { broker, way: self.way() })
    }

    fn close_mqtt(&mut self, connection: Resource<OpenMqtt>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl Operation {
    async fn publish(&self, topic: String, payload: Vec<u8>, qos: Qos) -> Result<(), Failure> {
        let account = &self.way.context.account;
        let work = async {
            let mut kept = self.broker.connection.lock().await;
            // Whoever gives up in the middle of a message leaves no connection.
            let mut connection = match kept.take().filter(Connection::is_fresh) {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            connection.publish(&topic, payload, qos, account).await?;
            *kept = Some(connection);
            Ok(())
        };
        Box::pin(in_time(&self.way.context, work)).await
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let Broker { address, target, .. } = &*self.broker;
        let account = &self.way.context.account;
        let (stream, meter) = metered(self.way.connect(target).await?);
        Ok(if address.secure() {
            Connection::open(address, self.way.secure(target, stream).await?, meter, account).await?
        } else {
            Connection::open(address, stream, meter, account).await?
        })
    }
}
