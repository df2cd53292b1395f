//! One statement: its parameters in, its rows out, within bounds.

use super::SqliteError;
use crate::charged::Charged;
use bobbin_inference::{Account, CpuBudget, thread_time};
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, ToSql, params_from_iter};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Steps of SQLite's machine between two looks at the clock: some tens of microseconds.
const STEPS: i32 = 10_000;
/// The longest value that SQLite makes.
const VALUE_BYTES: usize = 1_000_000_000;

/// A value of a row, or a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// INTEGER
    Integer(i64),
    /// REAL
    Real(f64),
    /// TEXT
    Text(String),
    /// BLOB
    Blob(Vec<u8>),
    /// NULL
    Null,
}

impl Value {
    /// Bytes that it takes in the host.
    pub fn bytes(&self) -> usize {
        let more = match self {
            Self::Text(text) => text.len(),
            Self::Blob(blob) => blob.len(),
            Self::Integer(_) | Self::Real(_) | Self::Null => 0,
        };
        size_of::<Self>() + more
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(blob) => ValueRef::Blob(blob),
            Self::Null => ValueRef::Null,
        }))
    }
}

/// What a statement answers.
#[derive(Debug, Default)]
pub struct Rows {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The values of each row, in the order of the columns.
    pub rows: Vec<Vec<Value>>,
}

/// What a statement must keep within.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// What its rows are charged to.
    pub account: Account,
    /// When it is interrupted.
    pub end: Instant,
    /// What its work is taken from; where that is over, it is interrupted, too.
    pub cpu: Arc<CpuBudget>,
}

/// Stops a statement whose rows nobody waits for.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupt(Arc<AtomicBool>);

/// Interrupts when it is dropped.
pub(super) struct Leaving(Interrupt);

impl Interrupt {
    pub(super) fn on_drop(&self) -> Leaving {
        Leaving(self.clone())
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}

/// Bytes of the longest value that a request's statements may make.
pub(super) fn longest(account: &Account) -> usize {
    usize::try_from(account.limit()).unwrap_or(usize::MAX).min(VALUE_BYTES)
}

pub(super) fn run(
    connection: &mut Connection,
    statement: &str,
    parameters: Vec<Value>,
    bounds: &Bounds,
    interrupt: &Interrupt,
    is_room_left: impl FnOnce() -> bool,
) -> Result<Charged<Rows>, SqliteError> {
    let longest = i32::try_from(longest(&bounds.account)).unwrap_or(i32::MAX);
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, longest)?;
    let (end, left) = (bounds.end, Arc::clone(&interrupt.0));
    connection.busy_timeout(super::PATIENCE.min(end.saturating_duration_since(Instant::now())))?;
    let (begun, cpu) = (thread_time(), Arc::clone(&bounds.cpu));
    let is_spent = move || thread_time().saturating_sub(begun) >= cpu.left();
    let is_over = move || left.load(Ordering::Relaxed) || Instant::now() >= end || is_spent();
    connection.progress_handler(STEPS, Some(is_over))?;
    let rows = rows(connection, statement, parameters, &bounds.account, is_room_left);
    connection.progress_handler(0, None::<fn() -> bool>)?;
    bounds.cpu.spend(thread_time().saturating_sub(begun));
    match rows {
        Err(SqliteError::TimeOver) if bounds.cpu.is_over() => Err(SqliteError::CpuOver),
        rows => rows,
    }
}

fn rows(
    connection: &Connection,
    statement: &str,
    parameters: Vec<Value>,
    account: &Account,
    is_room_left: impl FnOnce() -> bool,
) -> Result<Charged<Rows>, SqliteError> {
    let mut statement = connection.prepare(statement)?;
    if !statement.readonly() && !is_room_left() {
        return Err(SqliteError::Full);
    }
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let width = columns.len();
    let mut bytes = columns.iter().map(|name| size_of::<String>() + name.len()).sum::<usize>();
    let mut charge = account.charge(bytes as u64)?;
    let mut all = Vec::new();
    let mut rows = statement.query(params_from_iter(parameters))?;
    while let Some(row) = rows.next()? {
        bytes += size_of::<Vec<Value>>();
        let mut values = Vec::with_capacity(width);
        for column in 0..width {
            let length = length(row.get_ref(column)?);
            bytes += size_of::<Value>() + length;
            // Before it is copied.
            charge.resize(bytes as u64)?;
            values.push(value(row, column)?);
        }
        all.push(values);
    }
    Ok(Charged::new(Rows { columns, rows: all }, charge))
}

fn length(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
    }
}

fn value(row: &Row<'_>, column: usize) -> Result<Value, SqliteError> {
    Ok(match row.get_ref(column)? {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
        ValueRef::Text(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => Value::Text(text.to_owned()),
            Err(_where) => return Err(SqliteError::NoText { column: column + 1 }),
        },
    })
}
