//! `spin:mysql@3.0.0`: asynchronous, with streams of rows.

use super::v3_wit::spin::mysql::mysql::{
    Column, DbValue, Error, Host, HostConnection, HostConnectionWithStore, ParameterValue,
};
use super::{OpenMysql, Operation, Row, open};
use crate::spin::batches::Producer;
use crate::spin::rows::Fetch;
use crate::spin::{HasSpin, Spin};
use tokio::sync::oneshot;
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

type Answer<T> = wasmtime::Result<Result<T, Error>>;
type Access<T> = Accessor<T, HasSpin>;
type This = Resource<OpenMysql>;

/// Columns, rows as they are read, and how it ended.
type Streamed = (Vec<Column>, StreamReader<Vec<DbValue>>, FutureReader<Result<(), Error>>);

fn operation<T>(accessor: &Access<T>, this: &This) -> wasmtime::Result<Operation> {
    accessor.with(|mut access| access.get().mysql(this))
}

fn values(row: Row) -> Vec<DbValue> {
    row.into_iter().map(DbValue::from).collect()
}

impl Host for Spin {}

impl HostConnection for Spin {
    async fn drop(&mut self, this: This) -> wasmtime::Result<()> {
        self.close_mysql(this)
    }
}

impl<T> HostConnectionWithStore<T> for HasSpin {
    async fn open(accessor: &Access<T>, address: String) -> Answer<This> {
        let way = accessor.with(|mut access| access.get().way());
        let opened = open(way, address).await;
        let kept = opened.and_then(|open| accessor.with(|mut access| access.get().keep_mysql(open)));
        Ok(kept.map_err(Error::from))
    }

    /// Rows are read from the server as the guest reads them.
    async fn query(
        accessor: &Access<T>,
        this: This,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Answer<Streamed> {
        let operation = operation(accessor, &this)?;
        let rows = match operation.begin(statement, params).await {
            Ok(rows) => rows,
            Err(failure) => return Ok(Err(failure.into())),
        };
        let columns = rows.columns().iter().cloned().map(Column::from).collect();
        let batches = rows.batches(operation.context, values);
        let (result, ended) = oneshot::channel();
        let rows = Producer::new(batches, result);
        accessor.with(|mut access| {
            Ok(Ok((columns, StreamReader::new(&mut access, rows)?, FutureReader::new(&mut access, ended)?)))
        })
    }

    async fn execute(accessor: &Access<T>, this: This, statement: String, params: Vec<ParameterValue>) -> Answer<()> {
        Ok(operation(accessor, &this)?.execute(statement, params).await.map_err(Error::from))
    }
}
