//! `fermyon:spin/mysql@2.0.0`.

use super::v2_wit::fermyon::spin::mysql::{Error, Host, HostConnection, ParameterValue, RowSet};
use super::{OpenMysql, open};
use crate::spin::Spin;
use wasmtime::component::Resource;

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl Host for Spin {}

impl HostConnection for Spin {
    async fn open(&mut self, address: String) -> Answer<Resource<OpenMysql>> {
        let opened = open(self.way(), address).await;
        Ok(opened.and_then(|open| self.keep_mysql(open)).map_err(Error::from))
    }

    async fn query(
        &mut self,
        this: Resource<OpenMysql>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Answer<RowSet> {
        let found = self.mysql(&this)?.query(statement, params).await;
        Ok(found.map(RowSet::from).map_err(Error::from))
    }

    async fn execute(
        &mut self,
        this: Resource<OpenMysql>,
        statement: String,
        params: Vec<ParameterValue>,
    ) -> Answer<()> {
        Ok(self.mysql(&this)?.execute(statement, params).await.map_err(Error::from))
    }

    async fn drop(&mut self, this: Resource<OpenMysql>) -> wasmtime::Result<()> {
        self.close_mysql(this)
    }
}
