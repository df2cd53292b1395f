//! MySQL servers: `fermyon:spin/mysql`, without a version and `@2.0.0`, and `spin:mysql@3.0.0`.
//!
//! A component connects to the servers that its `allowed_outbound_hosts` name. What waits ends with the request's time, and
//! what a server answers is charged to the request as it arrives.

mod bindings;
mod convert;
mod v1;
mod v2;
mod v3;

use super::network::{NoWay, Place, TimeOver, Way, in_time};
use super::rows::Fetch;
use super::{HasSpin, Spin, spin};
use crate::state::State;
use bindings::{v1 as v1_wit, v2 as v2_wit, v3 as v3_wit};
use bobbin_databases::mysql::{
    Address, AddressError, Column, Connection, OpenError, Privacy, QueryError, Row, Rows, Value,
};
use bobbin_inference::{Charge, OverAccount, RequestContext};
use std::sync::Arc;
use wasmtime::component::{Linker, Resource};

/// The types that the older two share with PostgreSQL's interfaces are linked with those.
pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    v1_wit::fermyon::spin::mysql::add_to_linker::<State, HasSpin>(linker, spin)?;
    v2_wit::fermyon::spin::mysql::add_to_linker::<State, HasSpin>(linker, spin)?;
    v3_wit::spin::mysql::mysql::add_to_linker::<State, HasSpin>(linker, spin)
}

/// A connection that a guest has opened.
pub struct OpenMysql {
    connection: Arc<Connection>,
    _place: Place,
}

/// Why an operation failed; each interface has its own error of the same name.
#[derive(Debug)]
pub(super) enum Failure {
    ConnectionFailed(String),
    QueryFailed(String),
    ValueConversionFailed(String),
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
            NoWay::TimeOver(_) => Self::Other(error.to_string()),
            NoWay::NotPermitted(_) | NoWay::TooMany | NoWay::Full(_) | NoWay::Unconnected(_) => {
                Self::ConnectionFailed(error.to_string())
            }
        }
    }
}

impl From<AddressError> for Failure {
    fn from(error: AddressError) -> Self {
        Self::ConnectionFailed(error.to_string())
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::ConnectionFailed(error.to_string())
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        let text = error.to_string();
        match error {
            QueryError::Value { .. } => Self::ValueConversionFailed(text),
            QueryError::NoRows => Self::Other(text),
            QueryError::OverAccount(_)
            | QueryError::Refused(_)
            | QueryError::Lost(_)
            | QueryError::Parameters { .. } => Self::QueryFailed(text),
        }
    }
}

impl From<OverAccount> for Failure {
    fn from(over: OverAccount) -> Self {
        QueryError::from(over).into()
    }
}

impl Fetch for Rows {
    type Row = Row;
    type Failure = Failure;

    async fn fetch(&mut self, charge: &mut Charge) -> Result<Option<Row>, Failure> {
        Ok(self.next(charge).await?)
    }
}

/// A result, charged until it is the guest's.
struct Found {
    columns: Vec<Column>,
    rows: Vec<Row>,
    _charge: Charge,
}

/// A connection and the request that uses it: what a statement needs when it waits outside of wasmtime's store.
struct Operation {
    connection: Arc<Connection>,
    context: Arc<RequestContext>,
}

/// Connects for a guest.
async fn open(way: Way, address: String) -> Result<OpenMysql, Failure> {
    let address = Address::parse(&address)?;
    let target = way.check("mysql", &address.host, address.port)?;
    let place = way.place()?;
    let account = &way.context.account;
    let connect = async {
        let tls = if address.secure { Some(way.tls().await.map_err(NoWay::from)?) } else { None };
        let tcp = way.connect(&target).await?;
        // What counts is where the connection goes, and not what its end is called.
        let loopback = tcp.peer_addr().is_ok_and(|peer| peer.ip().to_canonical().is_loopback());
        let privacy = match tls {
            Some(config) => Privacy::Tls(config),
            None if loopback => Privacy::Loopback,
            None => Privacy::Open,
        };
        Ok(Connection::open(&address, &target.host, tcp, privacy, account).await?)
    };
    let connection = Box::pin(in_time::<_, Failure>(&way.context, connect)).await?;
    Ok(OpenMysql { connection: Arc::new(connection), _place: place })
}

impl Spin {
    fn keep_mysql(&mut self, open: OpenMysql) -> Result<Resource<OpenMysql>, Failure> {
        self.table.push(open).map_err(|full| Failure::ConnectionFailed(full.to_string()))
    }

    fn mysql(&self, connection: &Resource<OpenMysql>) -> wasmtime::Result<Operation> {
        let connection = Arc::clone(&self.table.get(connection)?.connection);
        Ok(Operation { connection, context: Arc::clone(&self.context) })
    }

    fn close_mysql(&mut self, connection: Resource<OpenMysql>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl Operation {
    async fn execute<T: Into<Value>>(&self, statement: String, values: Vec<T>) -> Result<(), Failure> {
        let values = values.into_iter().map(Into::into).collect();
        let account = &self.context.account;
        in_time(&self.context, async { Ok(self.connection.execute(&statement, values, account).await?) }).await
    }

    async fn begin<T: Into<Value>>(&self, statement: String, values: Vec<T>) -> Result<Rows, Failure> {
        let values = values.into_iter().map(Into::into).collect();
        let account = &self.context.account;
        in_time(&self.context, async { Ok(self.connection.query(&statement, values, account).await?) }).await
    }

    async fn query<T: Into<Value>>(&self, statement: String, values: Vec<T>) -> Result<Found, Failure> {
        let mut found = self.begin(statement, values).await?;
        let (rows, charge) = found.all(&self.context).await?;
        Ok(Found { columns: found.columns().to_vec(), rows, _charge: charge })
    }
}
