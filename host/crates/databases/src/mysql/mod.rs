//! MySQL and MariaDB: one connection for each that a component opens, and prepared statements on it.
//!
//! The protocol is written out here. The clients that there are connect by themselves, to a host and a port or to a file, and
//! read a packet as a whole, however long it is: what a server sends could neither be charged as it arrives nor be bounded.

mod address;
mod auth;
mod decode;
mod encode;
mod error;
mod handshake;
mod login;
mod privacy;
mod reader;
mod rsa;
mod session;
#[cfg(test)]
mod tests;
mod value;
mod wire;

pub use address::{Address, AddressError};
pub use error::{Lost, OpenError, QueryError, ServerError, ValueError};
pub use privacy::Privacy;
pub use reader::Malformed;
pub use rsa::KeyError;
pub use value::{Column, DataType, Row, Value};

use crate::meter::{Meter, Operation, metered};
use bobbin_inference::{Account, Charge};
use decode::Definition;
use session::Session;
use std::fmt;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, OwnedMutexGuard};
use wire::{Wire, received};

/// What a statement costs the host besides its text and its parameters.
const STATEMENT_BYTES: usize = 4096;

/// A connection. Its statements run one behind the other: the next one begins when the rows of the one before were read, or
/// nobody wants them any more.
pub struct Connection {
    session: Arc<Mutex<Session>>,
    meter: Meter,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Connection {
    /// Greets the server behind a stream that is already connected: `host`, in its usual form. `privacy` says who is between,
    /// and how that is changed where the address wants it.
    ///
    /// # Errors
    /// [`OpenError`]
    pub async fn open<S>(
        address: &Address,
        host: &str,
        stream: S,
        privacy: Privacy,
        account: &Account,
    ) -> Result<Self, OpenError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (stream, meter) = metered(stream);
        let operation = meter.begin(account)?;
        let wire = login::login(address, host, Wire::new(Box::new(stream)), privacy).await;
        let wire = wire.map_err(|error| operation.over().map_or(error, OpenError::OverAccount))?;
        drop(operation);
        Ok(Self { session: Arc::new(Mutex::new(Session::new(wire))), meter })
    }

    /// Runs a statement with a parameter for each of its question marks, and returns its rows as they come.
    ///
    /// # Errors
    /// [`QueryError`]
    pub async fn query(&self, statement: &str, parameters: Vec<Value>, account: &Account) -> Result<Rows, QueryError> {
        match self.run(statement, parameters, account).await? {
            Ran::Rows(rows) => Ok(rows),
            Ran::Done(mut session, operation) => {
                session.finish(&operation).await?;
                Err(QueryError::NoRows)
            }
        }
    }

    /// Runs a statement. Rows that it has are not kept.
    ///
    /// # Errors
    /// [`QueryError`]
    pub async fn execute(&self, statement: &str, parameters: Vec<Value>, account: &Account) -> Result<(), QueryError> {
        match self.run(statement, parameters, account).await? {
            Ran::Rows(mut rows) => rows.session.finish(&rows.operation).await,
            Ran::Done(mut session, operation) => session.finish(&operation).await,
        }
    }

    async fn run(&self, statement: &str, parameters: Vec<Value>, account: &Account) -> Result<Ran, QueryError> {
        // What is sent is a copy, and of the text there is one more.
        let parts = 2 * parameters.iter().map(Value::bytes).sum::<usize>() + 3 * statement.len();
        let bytes = parts + STATEMENT_BYTES;
        let sent = account.charge(bytes as u64)?;
        let mut session = Arc::clone(&self.session).lock_owned().await;
        let operation = self.meter.begin(account)?;
        session.settle(&operation).await?;
        let prepared = session.prepare(statement, &operation).await?;
        let (required, given) = (usize::from(prepared.parameters), parameters.len());
        if required != given {
            return Err(QueryError::Parameters { required, given });
        }
        let mut charge = account.charge(STATEMENT_BYTES as u64)?;
        let definitions = session.execute(prepared, parameters, &mut charge, &operation).await?;
        drop(sent);
        Ok(match definitions {
            Some(definitions) => {
                let columns = definitions.iter().map(|definition| definition.column.clone()).collect();
                Ran::Rows(Rows { columns, definitions, session, operation, ended: false, _charge: charge })
            }
            None => Ran::Done(session, operation),
        })
    }
}

/// A statement that was run.
enum Ran {
    Rows(Rows),
    Done(OwnedMutexGuard<Session>, Operation),
}

/// The rows of a statement. While they are there, no other statement of the connection begins.
pub struct Rows {
    columns: Vec<Column>,
    definitions: Vec<Definition>,
    session: OwnedMutexGuard<Session>,
    operation: Operation,
    /// There are no more of them.
    ended: bool,
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

    /// The next row. What it takes is added to `charge` before it is read from what the server sent. Whoever stops waiting for
    /// a row gets it the next time.
    ///
    /// # Errors
    /// [`QueryError`]
    pub async fn next(&mut self, charge: &mut Charge) -> Result<Option<Row>, QueryError> {
        if !self.ended {
            if let Some(packet) = self.session.row(&self.operation).await? {
                let bytes = decode::bytes(&self.definitions, &packet);
                charge.resize(charge.bytes() + bytes as u64)?;
                let row = decode::row(&self.definitions, &packet)?;
                self.operation.passed_on(received(packet.len()));
                return Ok(Some(row));
            }
            self.ended = true;
        }
        // A procedure may have more results, of which the interfaces know the first one.
        self.session.finish(&self.operation).await?;
        Ok(None)
    }
}
