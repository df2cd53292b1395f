//! Redis servers: `fermyon:spin/redis`, without a version and `@2.0.0`, and `spin:redis@3.0.0`.
//!
//! A component connects to the servers that its `allowed_outbound_hosts` name. What waits ends with the request's time, and
//! what a server answers is charged to the request as it arrives.

mod bindings;
mod convert;
mod v1;
mod v2;
mod v3;

use super::network::{NoWay, Place, TimeOver, Way, in_time};
use super::{HasSpin, Spin, spin};
use crate::state::State;
use bindings::{v1 as v1_wit, v2 as v2_wit, v3 as v3_wit};
use bobbin_databases::metered;
use bobbin_databases::redis::{Address, Answer, Argument, CommandError, Connection};
use bobbin_inference::{Account, RequestContext};
use std::sync::Arc;
use wasmtime::component::{Linker, Resource};

/// The types that the interfaces for messages share with these.
pub use bindings::v1::fermyon::spin::redis_types as v1_types;
pub use bindings::v3::spin::redis::redis as v3_types;

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    v1_wit::fermyon::spin::redis_types::add_to_linker::<State, HasSpin>(linker, spin)?;
    v1_wit::fermyon::spin::redis::add_to_linker::<State, HasSpin>(linker, spin)?;
    v2_wit::fermyon::spin::redis::add_to_linker::<State, HasSpin>(linker, spin)?;
    v3_wit::spin::redis::redis::add_to_linker::<State, HasSpin>(linker, spin)
}

/// A connection that a guest has opened.
pub struct OpenRedis {
    connection: Arc<Connection>,
    _place: Place,
}

/// Why an operation failed; each interface has its own error of the same name.
#[derive(Debug)]
enum Failure {
    InvalidAddress,
    TooManyConnections,
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
            NoWay::NotPermitted(_) => Self::InvalidAddress,
            NoWay::TooMany => Self::TooManyConnections,
            NoWay::Full(_) | NoWay::Unconnected(_) | NoWay::TimeOver(_) => Self::Other(error.to_string()),
        }
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        Self::Other(error.to_string())
    }
}

/// A connection and the request that uses it: what a command needs when it waits outside of wasmtime's store.
struct Operation {
    connection: Arc<Connection>,
    context: Arc<RequestContext>,
}

/// Connects for a guest.
async fn open(way: Way, address: String) -> Result<OpenRedis, Failure> {
    let address = Address::parse(&address).or(Err(Failure::InvalidAddress))?;
    let target = way.check(address.scheme(), &address.host, address.port)?;
    let place = way.place()?;
    let account = &way.context.account;
    let connect = async {
        let (stream, meter) = metered(way.connect(&target).await?);
        Ok(if address.secure {
            let stream = way.secure(&target, stream).await?;
            Connection::open(&address, stream, meter, account).await?
        } else {
            Connection::open(&address, stream, meter, account).await?
        })
    };
    let connection = Box::pin(in_time::<_, Failure>(&way.context, connect)).await?;
    Ok(OpenRedis { connection: Arc::new(connection), _place: place })
}

impl Spin {
    fn keep_redis(&mut self, open: OpenRedis) -> Result<Resource<OpenRedis>, Failure> {
        self.table.push(open).or(Err(Failure::TooManyConnections))
    }

    fn redis(&self, connection: &Resource<OpenRedis>) -> wasmtime::Result<Operation> {
        let connection = Arc::clone(&self.table.get(connection)?.connection);
        Ok(Operation { connection, context: Arc::clone(&self.context) })
    }

    fn close_redis(&mut self, connection: Resource<OpenRedis>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

type Done<T> = Result<T, Failure>;

impl Operation {
    async fn run<T>(&self, work: impl Future<Output = Result<T, CommandError>>) -> Done<T> {
        in_time(&self.context, async { Ok(work.await?) }).await
    }

    fn account(&self) -> &Account {
        &self.context.account
    }

    async fn publish(&self, channel: String, payload: Vec<u8>) -> Done<()> {
        self.run(self.connection.publish(&channel, &payload, self.account())).await
    }

    async fn get(&self, key: String) -> Done<Option<Vec<u8>>> {
        self.run(self.connection.get(&key, self.account())).await
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Done<()> {
        self.run(self.connection.set(&key, &value, self.account())).await
    }

    async fn incr(&self, key: String) -> Done<i64> {
        self.run(self.connection.incr(&key, self.account())).await
    }

    async fn del(&self, keys: Vec<String>) -> Done<u32> {
        self.run(self.connection.del(&keys, self.account())).await
    }

    async fn sadd(&self, key: String, values: Vec<String>) -> Done<u32> {
        self.run(self.connection.sadd(&key, &values, self.account())).await
    }

    async fn smembers(&self, key: String) -> Done<Vec<String>> {
        self.run(self.connection.smembers(&key, self.account())).await
    }

    async fn srem(&self, key: String, values: Vec<String>) -> Done<u32> {
        self.run(self.connection.srem(&key, &values, self.account())).await
    }

    async fn execute<P, R>(&self, command: String, arguments: Vec<P>) -> Done<Vec<R>>
    where
        P: Into<Argument>,
        R: From<Answer>,
    {
        let arguments: Vec<Argument> = arguments.into_iter().map(Into::into).collect();
        let answers = self.run(self.connection.execute(&command, &arguments, self.account())).await?;
        Ok(answers.into_iter().map(R::from).collect())
    }
}
