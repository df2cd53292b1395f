//! `fermyon:spin/mqtt@2.0.0`.

use super::v2_wit::fermyon::spin::mqtt::{Error, Host, HostConnection, Qos};
use super::{OpenMqtt, Opening};
use crate::spin::Spin;
use wasmtime::component::Resource;

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl Host for Spin {}

impl HostConnection for Spin {
    async fn open(
        &mut self,
        address: String,
        username: String,
        password: String,
        keep_alive: u64,
    ) -> Answer<Resource<OpenMqtt>> {
        Ok(self.open_mqtt(&Opening { address, username, password, keep_alive }).map_err(Error::from))
    }

    async fn publish(&mut self, this: Resource<OpenMqtt>, topic: String, payload: Vec<u8>, qos: Qos) -> Answer<()> {
        Ok(self.mqtt(&this)?.publish(topic, payload, qos.into()).await.map_err(Error::from))
    }

    async fn drop(&mut self, this: Resource<OpenMqtt>) -> wasmtime::Result<()> {
        self.close_mqtt(this)
    }
}
