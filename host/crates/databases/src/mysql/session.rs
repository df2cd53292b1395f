//! What a server and a client say to each other in turn, once they know each other.

use super::decode::{self, Definition, Header, Next, Prepared};
use super::encode;
use super::error::{Lost, QueryError};
use super::reader::Malformed;
use super::value::Value;
use super::wire::{Wire, received};
use crate::meter::Operation;
use bobbin_inference::Charge;
use bytes::BytesMut;

/// What a connection that nobody uses may hold of a packet: no more than what is charged for the connection itself.
const KEPT_BYTES: usize = 64 << 10;

/// What the server says next. It is right between any two packets, so that whoever stops waiting leaves it to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing, before it is asked.
    Idle,
    /// How a statement went.
    Header,
    /// So many definitions of columns, and their end.
    Columns(u16),
    /// Rows, and their end.
    Rows,
    /// Nobody knows.
    Lost,
}

/// The talk on one connection.
pub(super) struct Session {
    wire: Wire,
    state: State,
    /// A prepared statement that is not needed once the server is asked for another.
    close: Option<u32>,
}

impl Session {
    pub(super) fn new(wire: Wire) -> Self {
        Self { wire, state: State::Idle, close: None }
    }

    /// Reads what somebody else was answered and did not want. The error of that is not this one's.
    pub(super) async fn settle(&mut self, operation: &Operation) -> Result<(), QueryError> {
        match self.finish(operation).await {
            Err(QueryError::Refused(_)) => Ok(()),
            other => other,
        }
    }

    /// Prepares a statement.
    pub(super) async fn prepare(&mut self, statement: &str, operation: &Operation) -> Result<Prepared, QueryError> {
        self.state = State::Lost;
        if let Some(old) = self.close.take() {
            self.wire.command(&encode::close(old));
        }
        self.wire.command(&encode::prepare(statement));
        self.send(operation).await?;
        let packet = self.packet(operation).await?;
        let prepared = match self.read(decode::prepared(&packet))? {
            Ok(prepared) => prepared,
            Err(error) => {
                self.state = State::Idle;
                return Err(QueryError::Refused(error));
            }
        };
        operation.passed_on(received(packet.len()));
        // Of both lists the server says the same again, or knows it only then.
        for count in [prepared.parameters, prepared.columns] {
            for _definition in 0..count {
                let packet = self.packet(operation).await?;
                operation.passed_on(received(packet.len()));
            }
            if count > 0 {
                let packet = self.packet(operation).await?;
                self.read(decode::end(&packet))?;
                operation.passed_on(received(packet.len()));
            }
        }
        self.state = State::Idle;
        self.close = Some(prepared.statement);
        Ok(prepared)
    }

    /// Runs a prepared statement. Returns the columns, if it has rows; they are added to `charge`.
    pub(super) async fn execute(
        &mut self,
        statement: Prepared,
        parameters: Vec<Value>,
        charge: &mut Charge,
        operation: &Operation,
    ) -> Result<Option<Vec<Definition>>, QueryError> {
        self.state = State::Lost;
        let packet = encode::execute(statement.statement, &parameters);
        drop(parameters);
        self.wire.command(&packet);
        drop(packet);
        self.send(operation).await?;
        self.state = State::Header;
        self.header(operation).await?;
        if !matches!(self.state, State::Columns(_)) {
            return Ok(None);
        }
        let mut definitions = Vec::new();
        while let Some(packet) = self.column(operation).await? {
            let definition = self.read(Definition::read(&packet))?;
            charge.resize(charge.bytes() + definition.bytes() as u64)?;
            definitions.push(definition);
            operation.passed_on(received(packet.len()));
        }
        Ok(Some(definitions))
    }

    /// The next row as it was sent, until there are no more. It is held until somebody says that it was passed on.
    pub(super) async fn row(&mut self, operation: &Operation) -> Result<Option<BytesMut>, QueryError> {
        if self.state == State::Lost {
            // A part of a row that nobody waited for is gone, and what comes next is the rest of it.
            return Err(Lost::GivenUp.into());
        }
        let packet = self.packet(operation).await?;
        match self.read(decode::next(&packet))? {
            Next::Row => return Ok(Some(packet)),
            Next::End { more } => self.state = after(more),
            Next::Failed(error) => {
                self.state = State::Idle;
                return Err(QueryError::Refused(error));
            }
        }
        operation.passed_on(received(packet.len()));
        Ok(None)
    }

    /// Reads on to the end of all that a statement is answered.
    pub(super) async fn finish(&mut self, operation: &Operation) -> Result<(), QueryError> {
        loop {
            match self.state {
                State::Idle => return Ok(()),
                State::Lost => return Err(Lost::GivenUp.into()),
                State::Header => self.header(operation).await?,
                State::Columns(_) => {
                    if let Some(packet) = self.column(operation).await? {
                        operation.passed_on(received(packet.len()));
                    }
                }
                State::Rows => {
                    if let Some(packet) = self.row(operation).await? {
                        operation.passed_on(received(packet.len()));
                    }
                }
            }
        }
    }

    async fn header(&mut self, operation: &Operation) -> Result<(), QueryError> {
        let packet = self.packet(operation).await?;
        match self.read(decode::header(&packet))? {
            Header::Done { more } => self.state = after(more),
            Header::Columns(count) => self.state = State::Columns(count),
            Header::Failed(error) => {
                self.state = State::Idle;
                return Err(QueryError::Refused(error));
            }
        }
        operation.passed_on(received(packet.len()));
        Ok(())
    }

    /// The next definition of a column. After the last one there are rows.
    async fn column(&mut self, operation: &Operation) -> Result<Option<BytesMut>, QueryError> {
        let State::Columns(left) = self.state else { return Ok(None) };
        let packet = self.packet(operation).await?;
        if let Some(left) = left.checked_sub(1) {
            self.state = State::Columns(left);
            return Ok(Some(packet));
        }
        self.read(decode::end(&packet))?;
        self.state = State::Rows;
        operation.passed_on(received(packet.len()));
        Ok(None)
    }

    async fn send(&mut self, operation: &Operation) -> Result<(), QueryError> {
        let sent = self.wire.send().await;
        sent.map_err(|lost| failed(operation, lost))
    }

    async fn packet(&mut self, operation: &Operation) -> Result<BytesMut, QueryError> {
        let mut reading = Reading { session: self, ended: false };
        let packet = reading.session.wire.packet().await;
        reading.ended = packet.is_ok();
        drop(reading);
        packet.map_err(|lost| {
            self.state = State::Lost;
            failed(operation, lost)
        })
    }

    /// A server that says what makes no sense is not listened to any more.
    fn read<T>(&mut self, read: Result<T, Malformed>) -> Result<T, QueryError> {
        read.map_err(|malformed| {
            self.state = State::Lost;
            QueryError::Lost(malformed.into())
        })
    }
}

/// A packet that is being read. What has arrived of it is charged to the operation, so it does not stay when the operation
/// fails or is given up; nobody knows then what the server says next.
struct Reading<'a> {
    session: &'a mut Session,
    ended: bool,
}

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        if !self.ended && self.session.wire.forget_more_than(KEPT_BYTES) {
            self.session.state = State::Lost;
        }
    }
}

fn after(more: bool) -> State {
    if more { State::Header } else { State::Idle }
}

fn failed(operation: &Operation, lost: Lost) -> QueryError {
    operation.over().map_or(QueryError::Lost(lost), QueryError::OverAccount)
}
