//! SQLite: `fermyon:spin/sqlite`, without a version and `@2.0.0`, and `spin:sqlite@3.0.0` and `@3.1.0`.
//!
//! A component opens the databases whose labels it is granted. The statements of one request run one after the other,
//! so that no request has more than one of the threads that statements run on.

mod bindings;
mod convert;
mod stream;
mod v1;
mod v2;
mod v3;

use super::{HasSpin, Spin, spin};
use crate::state::State;
use bindings::{v1 as v1_wit, v2 as v2_wit, v3 as v3_wit};
use bobbin_inference::{Charge, CpuBudget, RequestContext};
use bobbin_stores::Charged;
use bobbin_stores::sqlite::{Bounds, Connection, Rows, SqliteError, Value};
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;
use wasmtime::component::{Linker, Resource};

/// What a connection costs the host besides its results: its cache of pages, above all.
const CONNECTION_BYTES: u64 = 1 << 20;
/// What a statement costs besides its text and its parameters.
const ENTRY_BYTES: usize = 1024;
/// Connections of one instance: each has files open.
const CONNECTIONS: usize = 16;

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    v1_wit::fermyon::spin::sqlite::add_to_linker::<State, HasSpin>(linker, spin)?;
    v2_wit::fermyon::spin::sqlite::add_to_linker::<State, HasSpin>(linker, spin)?;
    v3_wit::spin::sqlite::sqlite::add_to_linker::<State, HasSpin>(linker, spin)
}

/// A connection that a guest has opened.
pub struct OpenConnection {
    connection: Arc<Connection>,
    _charge: Charge,
}

/// Why an operation failed; each interface has its own error of the same name.
#[derive(Debug)]
enum Failure {
    AccessDenied,
    Full,
    Io(String),
}

impl From<SqliteError> for Failure {
    fn from(error: SqliteError) -> Self {
        if let SqliteError::Unopened(cause) = &error {
            tracing::warn!("{error}: {cause}");
        }
        match error {
            SqliteError::Full => Self::Full,
            error => Self::Io(error.to_string()),
        }
    }
}

/// A connection and the request that uses it: what a statement needs when it waits outside of wasmtime's store.
struct Operation {
    connection: Arc<Connection>,
    context: Arc<RequestContext>,
    cpu: Arc<CpuBudget>,
    turn: Arc<Semaphore>,
}

impl Spin {
    /// Opens a database that the component is granted. Whether another one exists is nobody's business.
    fn open_database(&mut self, label: &str) -> Result<Resource<OpenConnection>, Failure> {
        let database = self.kept.databases.get(label).ok_or(Failure::AccessDenied)?;
        self.connections.retain(|known| known.strong_count() > 0);
        if self.connections.len() >= CONNECTIONS {
            return Err(Failure::Io(format!("too many connections are open; {CONNECTIONS} are possible")));
        }
        let charge = self.context.account.charge(CONNECTION_BYTES).map_err(|over| Failure::Io(over.to_string()))?;
        let connection = Arc::new(database.connect());
        self.connections.push(Arc::downgrade(&connection));
        let open = OpenConnection { connection, _charge: charge };
        self.table.push(open).map_err(|full| Failure::Io(full.to_string()))
    }

    fn connection(&self, connection: &Resource<OpenConnection>) -> wasmtime::Result<&Arc<Connection>> {
        Ok(&self.table.get(connection)?.connection)
    }

    fn statement(&self, connection: &Resource<OpenConnection>) -> wasmtime::Result<Operation> {
        let connection = Arc::clone(self.connection(connection)?);
        let (context, cpu) = (Arc::clone(&self.context), Arc::clone(&self.cpu));
        Ok(Operation { connection, context, cpu, turn: Arc::clone(&self.turn) })
    }

    fn close_connection(&mut self, connection: Resource<OpenConnection>) -> wasmtime::Result<()> {
        self.table.delete(connection)?;
        Ok(())
    }
}

impl Operation {
    async fn run(&self, statement: String, parameters: Vec<Value>) -> Result<Charged<Rows>, Failure> {
        let bytes = parameters.iter().map(Value::bytes).sum::<usize>() + statement.len() + ENTRY_BYTES;
        let account = &self.context.account;
        let _charge = account.charge(bytes as u64).map_err(|over| Failure::Io(over.to_string()))?;
        let end = self.context.deadlines.soft;
        let _turn = match timeout_at(end.into(), self.turn.acquire()).await {
            Ok(turn) => turn.map_err(|closed| Failure::Io(closed.to_string()))?,
            Err(_elapsed) => return Err(SqliteError::TimeOver.into()),
        };
        let bounds = Bounds { account: account.clone(), end, cpu: Arc::clone(&self.cpu) };
        Ok(self.connection.query(statement, parameters, bounds).await?)
    }
}
