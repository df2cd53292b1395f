//! `spin:postgres@3.0.0`.

use super::OpenPostgres;
use super::v3_wit::spin::postgres::postgres::{Error, Host, HostConnection, ParameterValue, RowSet};
use crate::spin::Spin;
use wasmtime::component::Resource;

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl Host for Spin {}

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
