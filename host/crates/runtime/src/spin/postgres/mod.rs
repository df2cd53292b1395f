//! PostgreSQL servers: `fermyon:spin/postgres`, without a version and `@2.0.0`, and `spin:postgres@3.0.0` and from `@4.0.0` to
//! `@4.2.0`.
//!
//! A component connects to the servers that its `allowed_outbound_hosts` name. What waits ends with the request's time, and
//! what a server answers is charged to the request as it arrives.

mod bindings;
mod convert;
mod convert_old;
mod open;
mod v1;
mod v2;
mod v3;
mod v4;

use super::network::{NoWay, Place, TimeOver, Way, in_time};
use super::rows::Fetch;
use super::{HasSpin, Spin, spin};
use crate::state::State;
use bindings::{v1 as v1_wit, v2 as v2_wit, v3 as v3_wit, v4 as v4_wit};
use bobbin_databases::postgres::{Column, Connection, Details, QueryError, Row, Rows, Value, ValueError};
use bobbin_inference::{Charge, OverAccount, RequestContext};
pub use open::Builder;
use open::open;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use wasmtime::component::{Linker, Resource};

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    v1_wit::fermyon::spin::rdbms_types::add_to_linker::<State, HasSpin>(linker, spin)?;
    v1_wit::fermyon::spin::postgres::add_to_linker::<State, HasSpin>(linker, spin)?;
    v2_wit::fermyon::spin::rdbms_types::add_to_linker::<State, HasSpin>(linker, spin)?;
    v2_wit::fermyon::spin::postgres::add_to_linker::<State, HasSpin>(linker, spin)?;
    v3_wit::spin::postgres::postgres::add_to_linker::<State, HasSpin>(linker, spin)?;
    v4_wit::spin::postgres::postgres::add_to_linker::<State, HasSpin>(linker, spin)
}

/// A connection that a guest has opened.
pub struct OpenPostgres {
    connection: Arc<Connection>,
    _place: Place,
}

/// Why an operation failed; each interface has its own error of the same name.
#[derive(Debug)]
pub(super) enum Failure {
    ConnectionFailed(String),
    BadParameter(String),
    QueryFailed { text: String, details: Option<Box<Details>> },
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

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        Self::QueryFailed { text: error.to_string(), details: error.details().map(Box::new) }
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

impl Spin {
    /// Connects for a guest, and keeps the connection for it.
    async fn open_postgres(
        &mut self,
        address: String,
        authorities: Vec<CertificateDer<'static>>,
    ) -> Result<Resource<OpenPostgres>, Failure> {
        let open = open(self.way(), address, authorities).await?;
        self.keep_postgres(open)
    }

    fn keep_postgres(&mut self, open: OpenPostgres) -> Result<Resource<OpenPostgres>, Failure> {
        self.table.push(open).map_err(|full| Failure::ConnectionFailed(full.to_string()))
    }

    fn postgres(&self, connection: &Resource<OpenPostgres>) -> wasmtime::Result<Operation> {
        let connection = Arc::clone(&self.table.get(connection)?.connection);
        Ok(Operation { connection, context: Arc::clone(&self.context) })
    }

    fn close_postgres(&mut self, connection: Resource<OpenPostgres>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

/// Parameters as a guest gave them. Which error it gets for a bad one depends on what it asks for, as in Spin.
fn parameters<T: TryInto<Value, Error = ValueError>>(
    parameters: Vec<T>,
    failure: impl Fn(String) -> Failure,
) -> Result<Vec<Value>, Failure> {
    let values: Result<_, ValueError> = parameters.into_iter().map(TryInto::try_into).collect();
    values.map_err(|error| match error {
        ValueError::Unsigned => Failure::ValueConversionFailed(error.to_string()),
        error => failure(error.to_string()),
    })
}

impl Operation {
    async fn execute<T>(&self, statement: String, values: Vec<T>) -> Result<u64, Failure>
    where
        T: TryInto<Value, Error = ValueError>,
    {
        let values = parameters(values, Failure::ValueConversionFailed)?;
        let account = &self.context.account;
        in_time(&self.context, async { Ok(self.connection.execute(&statement, values, account).await?) }).await
    }

    async fn begin<T>(&self, statement: String, values: Vec<T>) -> Result<Rows, Failure>
    where
        T: TryInto<Value, Error = ValueError>,
    {
        let values = parameters(values, Failure::BadParameter)?;
        let account = &self.context.account;
        in_time(&self.context, async { Ok(self.connection.query(&statement, values, account).await?) }).await
    }

    async fn query<T>(&self, statement: String, values: Vec<T>) -> Result<Found, Failure>
    where
        T: TryInto<Value, Error = ValueError>,
    {
        let mut found = self.begin(statement, values).await?;
        let (rows, charge) = found.all(&self.context).await?;
        Ok(Found { columns: found.columns().to_vec(), rows, _charge: charge })
    }
}
