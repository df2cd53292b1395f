//! `spin:sqlite@3.1.0`, and `@3.0.0`, which has a part of it: what changed, and asynchronous calls with streams of rows.

use super::convert::values;
use super::stream::RowStream;
use super::v3_wit::spin::sqlite::sqlite::{
    Error, Host, HostConnection, HostConnectionWithStore, QueryResult, RowResult, Value,
};
use super::{OpenConnection, Rows};
use crate::spin::{HasSpin, Spin};
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

type Answer<T> = wasmtime::Result<Result<T, Error>>;

/// Columns, rows as they are read, and how it ended.
type Streamed = (Vec<String>, StreamReader<RowResult>, FutureReader<Result<(), Error>>);

impl Host for Spin {}

impl HostConnection for Spin {
    async fn open(&mut self, database: String) -> Answer<Resource<OpenConnection>> {
        Ok(self.open_database(&database).map_err(Error::from))
    }

    async fn execute(
        &mut self,
        this: Resource<OpenConnection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> Answer<QueryResult> {
        let rows = self.statement(&this)?.run(statement, values(parameters)).await;
        Ok(rows.map(QueryResult::from).map_err(Error::from))
    }

    async fn last_insert_rowid(&mut self, this: Resource<OpenConnection>) -> wasmtime::Result<i64> {
        Ok(self.connection(&this)?.last_insert_rowid())
    }

    async fn changes(&mut self, this: Resource<OpenConnection>) -> wasmtime::Result<u64> {
        Ok(self.connection(&this)?.changes())
    }

    async fn drop(&mut self, this: Resource<OpenConnection>) -> wasmtime::Result<()> {
        self.close_connection(this)
    }
}

impl<T> HostConnectionWithStore<T> for HasSpin {
    async fn open_async(accessor: &Accessor<T, Self>, database: String) -> Answer<Resource<OpenConnection>> {
        Ok(accessor.with(|mut access| access.get().open_database(&database)).map_err(Error::from))
    }

    /// What fails is told where the guest asks how it ended, as in Spin; then there are no columns and no rows.
    async fn execute_async(
        accessor: &Accessor<T, Self>,
        this: Resource<OpenConnection>,
        statement: String,
        parameters: Vec<Value>,
    ) -> Answer<Streamed> {
        let operation = accessor.with(|mut access| access.get().statement(&this))?;
        let (columns, rows, ended) = match operation.run(statement, values(parameters)).await {
            Ok(found) => {
                let (Rows { columns, rows }, charge) = found.into_parts();
                (columns, RowStream::new(rows, Some(charge)), Ok(()))
            }
            Err(failure) => (Vec::new(), RowStream::new(Vec::new(), None), Err(Error::from(failure))),
        };
        accessor.with(|mut access| {
            let rows = StreamReader::new(&mut access, rows)?;
            let ended = FutureReader::new(&mut access, async move { wasmtime::error::Ok(ended) })?;
            Ok(Ok((columns, rows, ended)))
        })
    }

    async fn last_insert_rowid_async(
        accessor: &Accessor<T, Self>,
        this: Resource<OpenConnection>,
    ) -> wasmtime::Result<i64> {
        accessor.with(|mut access| Ok(access.get().connection(&this)?.last_insert_rowid()))
    }

    async fn changes_async(accessor: &Accessor<T, Self>, this: Resource<OpenConnection>) -> wasmtime::Result<u64> {
        accessor.with(|mut access| Ok(access.get().connection(&this)?.changes()))
    }
}
