//! `fermyon:spin/mysql`, without a version: each call has a connection of its own.

use super::v1_wit::fermyon::spin::mysql::{Host, MysqlError, ParameterValue, RowSet};
use super::{Failure, OpenMysql, Operation, Way, open};
use crate::spin::Spin;
use std::sync::Arc;

/// A connection for one call, open for as long as its first part is there.
async fn once(way: Way, address: String) -> Result<(OpenMysql, Operation), Failure> {
    let context = Arc::clone(&way.context);
    let open = open(way, address).await?;
    let operation = Operation { connection: Arc::clone(&open.connection), context };
    Ok((open, operation))
}

impl Host for Spin {
    async fn query(
        &mut self,
        address: String,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<RowSet, MysqlError> {
        let (_open, operation) = once(self.way(), address).await?;
        Ok(operation.query(statement, params).await?.into())
    }

    async fn execute(
        &mut self,
        address: String,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Result<(), MysqlError> {
        let (_open, operation) = once(self.way(), address).await?;
        Ok(operation.execute(statement, params).await?)
    }
}
