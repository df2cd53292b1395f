//! `fermyon:spin/sqlite@2.0.0`.

use super::OpenConnection;
use super::convert::values;
use super::v2_wit::fermyon::spin::sqlite::{Error, Host, HostConnection, QueryResult, Value};
use crate::spin::Spin;
use wasmtime::component::Resource;

type Answer<T> = wasmtime::Result<Result<T, Error>>;

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

    async fn drop(&mut self, this: Resource<OpenConnection>) -> wasmtime::Result<()> {
        self.close_connection(this)
    }
}
