//! `spin:postgres@4.2.0`, and `@4.0.0` and `@4.1.0`, which have parts of it: what a guest builds a connection with, and
//! asynchronous calls with streams of rows.

use super::v4_wit::spin::postgres::postgres::{
    Column, DbValue, Error, Host, HostConnection, HostConnectionBuilder, HostConnectionBuilderWithStore,
    HostConnectionWithStore, ParameterValue, RowSet,
};
use super::{Builder, Failure, OpenPostgres, Operation, Row, open};
use crate::spin::batches::Producer;
use crate::spin::rows::Fetch;
use crate::spin::{HasSpin, Spin};
use rustls::pki_types::CertificateDer;
use tokio::sync::oneshot;
use wasmtime::component::{Accessor, FutureReader, Resource, StreamReader};

type Answer<T> = wasmtime::Result<Result<T, Error>>;
type Access<T> = Accessor<T, HasSpin>;

/// Columns, rows as they are read, and how it ended.
type Streamed = (Vec<Column>, StreamReader<Vec<DbValue>>, FutureReader<Result<(), Error>>);

impl Host for Spin {}

impl HostConnectionBuilder for Spin {
    async fn new(&mut self, address: String) -> wasmtime::Result<Resource<Builder>> {
        let builder = Builder::new(address, &self.context.account)?;
        Ok(self.table.push(builder)?)
    }

    async fn set_ca_root(&mut self, this: Resource<Builder>, certificate: String) -> Answer<()> {
        Ok(self.table.get_mut(&this)?.trust(&certificate).map_err(Error::from))
    }

    async fn build(&mut self, this: Resource<Builder>) -> Answer<Resource<OpenPostgres>> {
        let (address, authorities) = self.table.get(&this)?.parts();
        Ok(self.open_postgres(address, authorities).await.map_err(Error::from))
    }

    async fn drop(&mut self, this: Resource<Builder>) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl HostConnection for Spin {
    async fn open(&mut self, address: String) -> Answer<Resource<OpenPostgres>> {
        Ok(self.open_postgres(address, Vec::new()).await.map_err(Error::from))
    }

    async fn query(
        &mut self,
        this: Resource<OpenPostgres>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Answer<RowSet> {
        let found = self.postgres(&this)?.query(statement, params).await;
        Ok(found.map(RowSet::from).map_err(Error::from))
    }

    async fn execute(
        &mut self,
        this: Resource<OpenPostgres>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Answer<u64> {
        Ok(self.postgres(&this)?.execute(statement, params).await.map_err(Error::from))
    }

    async fn drop(&mut self, this: Resource<OpenPostgres>) -> wasmtime::Result<()> {
        self.close_postgres(this)
    }
}

async fn connect<T>(
    accessor: &Access<T>,
    address: String,
    authorities: Vec<CertificateDer<'static>>,
) -> Result<Resource<OpenPostgres>, Failure> {
    let way = accessor.with(|mut access| access.get().way());
    let open = open(way, address, authorities).await?;
    accessor.with(|mut access| access.get().keep_postgres(open))
}

fn operation<T>(accessor: &Access<T>, this: &Resource<OpenPostgres>) -> wasmtime::Result<Operation> {
    accessor.with(|mut access| access.get().postgres(this))
}

fn values(row: Row) -> Vec<DbValue> {
    row.into_iter().map(DbValue::from).collect()
}

impl<T> HostConnectionBuilderWithStore<T> for HasSpin {
    async fn build_async(accessor: &Access<T>, this: Resource<Builder>) -> Answer<Resource<OpenPostgres>> {
        let (address, authorities) =
            accessor.with(|mut access| wasmtime::error::Ok(access.get().table.get(&this)?.parts()))?;
        Ok(connect(accessor, address, authorities).await.map_err(Error::from))
    }
}

impl<T> HostConnectionWithStore<T> for HasSpin {
    async fn open_async(accessor: &Access<T>, address: String) -> Answer<Resource<OpenPostgres>> {
        Ok(connect(accessor, address, Vec::new()).await.map_err(Error::from))
    }

    /// Rows are read from the server as the guest reads them.
    #[allow(clippy::result_large_err, reason = "the interface's own error is as large as it is")]
    async fn query_async(
        accessor: &Access<T>,
        this: Resource<OpenPostgres>,
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

    async fn execute_async(
        accessor: &Access<T>,
        this: Resource<OpenPostgres>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Answer<u64> {
        Ok(operation(accessor, &this)?.execute(statement, params).await.map_err(Error::from))
    }
}
