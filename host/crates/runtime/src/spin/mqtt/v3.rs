//! `spin:mqtt@3.0.0`: asynchronous.

use super::v3_wit::spin::mqtt::mqtt::{Error, Host, HostConnection, HostConnectionWithStore, Qos};
use super::{OpenMqtt, Opening};
use crate::spin::{HasSpin, Spin};
use wasmtime::component::{Accessor, Resource};

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl Host for Spin {}

impl HostConnection for Spin {
    async fn drop(&mut self, this: Resource<OpenMqtt>) -> wasmtime::Result<()> {
        self.close_mqtt(this)
    }
}

impl<T> HostConnectionWithStore<T> for HasSpin {
    async fn open(
        accessor: &Accessor<T, Self>,
        address: String,
        username: String,
        password: String,
        keep_alive: u64,
    ) -> Answer<Resource<OpenMqtt>> {
        let opening = Opening { address, username, password, keep_alive };
        Ok(accessor.with(|mut access| access.get().open_mqtt(&opening)).map_err(Error::from))
    }

    async fn publish(
        accessor: &Accessor<T, Self>,
        this: Resource<OpenMqtt>,
        topic: String,
        payload: Vec<u8>,
        qos: Qos,
    ) -> Answer<()> {
        let operation = accessor.with(|mut access| access.get().mqtt(&this))?;
        Ok(operation.publish(topic, payload, qos.into()).await.map_err(Error::from))
    }
}
