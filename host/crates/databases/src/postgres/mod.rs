//! PostgreSQL: one connection for each that a component opens, and statements with parameters on it.

mod address;
mod decode;
mod encode;
mod error;
mod numeric;
mod time;
mod tls;
mod value;

pub use address::{Address, AddressError, Security};
pub use error::{Details, OpenError, QueryError, ValueError};
pub use numeric::Numeric;
pub use time::{Date, Time};
pub use value::{Bound, Column, DataType, Interval, Range, Row, Value};

use crate::meter::{Meter, Metered, Operation, metered};
use crate::task::AbortOnDrop;
use bobbin_inference::{Account, Charge};
use futures::TryStreamExt;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::tls::{NoTls, TlsConnect};
use tokio_postgres::{Client, RowStream};

/// What a statement costs the host besides its text and its parameters.
const STATEMENT_BYTES: usize = 4096;
/// What a row costs besides its values.
const ROW_BYTES: usize = size_of::<Row>();

/// A connection. Statements may be under way on it one behind the other.
pub struct Connection {
    client: Client,
    meter: Meter,
    _driver: AbortOnDrop,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Greets the server behind a stream that is already connected: `host`, one of the address's. `tls` is with whose
    /// certificates it is secured, where the address and the server want that.
    ///
    /// # Errors
    /// [`OpenError`]
    pub async fn open<S>(
        address: &Address,
        host: &str,
        stream: S,
        tls: Option<Arc<ClientConfig>>,
        account: &Account,
    ) -> Result<Self, OpenError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (stream, meter) = metered(stream);
        let _operation = meter.begin(account)?;
        let (client, driver) = match tls {
            Some(config) => {
                let name = ServerName::try_from(host.to_owned())?;
                greet(address, stream, tls::Rustls { config, name }).await?
            }
            None => greet(address, stream, NoTls).await?,
        };
        if let Some(read_only) = address.read_only() {
            let told = client.query_one("SHOW transaction_read_only", &[]).await.map_err(OpenError::Refused)?;
            let is: &str = told.try_get(0).map_err(OpenError::Refused)?;
            if (is == "on") != read_only {
                return Err(OpenError::Session);
            }
        }
        Ok(Self { client, meter: meter.clone(), _driver: driver })
    }

    /// Runs a statement, and returns its rows as they come.
    ///
    /// # Errors
    /// [`QueryError`]
    pub async fn query(
        self: &Arc<Self>,
        statement: &str,
        parameters: Vec<Value>,
        account: &Account,
    ) -> Result<Rows, QueryError> {
        let bytes = parameters.iter().map(Value::bytes).sum::<usize>() + statement.len() + STATEMENT_BYTES;
        let charge = account.charge(bytes as u64)?;
        let operation = self.meter.begin(account)?;
        let asked = async {
            let statement = self.client.prepare(statement).await?;
            let columns = statement.columns().iter().map(decode::column).collect();
            let rows = self.client.query_raw(&statement, parameters).await?;
            Ok((columns, rows))
        };
        let (columns, rows) = asked.await.map_err(|error| failed(&operation, error))?;
        Ok(Rows { columns, rows: Box::pin(rows), operation, _connection: Arc::clone(self), _charge: charge })
    }

    /// Runs a statement, and returns how many rows it has changed.
    ///
    /// # Errors
    /// [`QueryError`]
    pub async fn execute(
        self: &Arc<Self>,
        statement: &str,
        parameters: Vec<Value>,
        account: &Account,
    ) -> Result<u64, QueryError> {
        let mut rows = self.query(statement, parameters, account).await?;
        while let Some(row) = rows.rows.try_next().await.map_err(|error| failed(&rows.operation, error))? {
            rows.operation.passed_on(received(&row));
        }
        Ok(rows.rows.rows_affected().unwrap_or(0))
    }
}

async fn greet<S, T>(address: &Address, stream: Metered<S>, tls: T) -> Result<(Client, AbortOnDrop), OpenError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    T: TlsConnect<Metered<S>>,
    T::Stream: Send + 'static,
{
    let (client, connection) = address.config.connect_raw(stream, tls).await.map_err(OpenError::Refused)?;
    let driver = AbortOnDrop::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!("a connection to a PostgreSQL server broke: {}", crate::told(&error));
        }
    });
    Ok((client, driver))
}

fn failed(operation: &Operation, error: tokio_postgres::Error) -> QueryError {
    operation.over().map_or(QueryError::Refused(error), QueryError::OverAccount)
}

/// The bytes by which a row arrived: with its head, and with what TLS adds, at most. Otherwise a long result would seem to be
/// held for ever, in small parts.
fn received(row: &tokio_postgres::Row) -> usize {
    let bytes = row.raw_size_bytes() + 7;
    bytes + bytes / 128
}

/// The rows of a statement.
pub struct Rows {
    columns: Vec<Column>,
    rows: Pin<Box<RowStream>>,
    operation: Operation,
    _connection: Arc<Connection>,
    _charge: Charge,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl Rows {
    /// The columns of each row.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The next row. What it takes is added to `charge` before it is read from what the server sent.
    ///
    /// # Errors
    /// [`QueryError`]
    pub async fn next(&mut self, charge: &mut Charge) -> Result<Option<Row>, QueryError> {
        let next = self.rows.try_next().await.map_err(|error| failed(&self.operation, error))?;
        let Some(row) = next else { return Ok(None) };
        let mut raw = Vec::with_capacity(row.len());
        for column in 0..row.len() {
            raw.push(row.try_get::<_, Option<decode::Raw<'_>>>(column)?);
        }
        let mut bytes = ROW_BYTES;
        for (column, raw) in row.columns().iter().zip(&raw) {
            bytes += raw.as_ref().map_or(size_of::<Value>(), |raw| decode::bytes(column.type_(), raw.0));
        }
        charge.resize(charge.bytes() + bytes as u64)?;
        let mut values = Vec::with_capacity(raw.len());
        for (column, raw) in row.columns().iter().zip(raw) {
            let value = match raw {
                Some(raw) => decode::value(column.type_(), raw.0),
                None => Ok(Value::Null),
            };
            let named = |reason| QueryError::Value { column: column.name().to_owned(), reason };
            values.push(value.map_err(named)?);
        }
        self.operation.passed_on(received(&row));
        Ok(Some(values))
    }
}
