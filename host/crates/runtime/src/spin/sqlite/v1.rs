//! `fermyon:spin/sqlite`, without a version: handles are numbers.

use super::OpenConnection;
use super::convert::values;
use super::v1_wit::fermyon::spin::sqlite::{Error, Host, QueryResult, Value};
use crate::spin::Spin;
use wasmtime::component::Resource;

impl Host for Spin {
    async fn open(&mut self, database: String) -> Result<u32, Error> {
        Ok(self.open_database(&database)?.rep())
    }

    async fn execute(
        &mut self,
        connection: u32,
        statement: String,
        parameters: Vec<Value>,
    ) -> Result<QueryResult, Error> {
        // The guest makes the number up, so it may be none of ours.
        let operation = self.statement(&Resource::new_borrow(connection)).or(Err(Error::InvalidConnection))?;
        Ok(operation.run(statement, values(parameters)).await?.into())
    }

    async fn close(&mut self, connection: u32) {
        // Closing what is not open has no effect.
        let _ = self.close_connection(Resource::<OpenConnection>::new_own(connection));
    }
}
