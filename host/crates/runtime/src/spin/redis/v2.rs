//! `fermyon:spin/redis@2.0.0`.

use super::v2_wit::fermyon::spin::redis::{Error, Host, HostConnection, RedisParameter, RedisResult};
use super::{OpenRedis, open};
use crate::spin::Spin;
use wasmtime::component::Resource;

type Answer<T> = wasmtime::Result<Result<T, Error>>;

impl Host for Spin {}

impl HostConnection for Spin {
    async fn open(&mut self, address: String) -> Answer<Resource<OpenRedis>> {
        let opened = open(self.way(), address).await;
        Ok(opened.and_then(|open| self.keep_redis(open)).map_err(Error::from))
    }

    async fn publish(&mut self, this: Resource<OpenRedis>, channel: String, payload: Vec<u8>) -> Answer<()> {
        Ok(self.redis(&this)?.publish(channel, payload).await.map_err(Error::from))
    }

    async fn get(&mut self, this: Resource<OpenRedis>, key: String) -> Answer<Option<Vec<u8>>> {
        Ok(self.redis(&this)?.get(key).await.map_err(Error::from))
    }

    async fn set(&mut self, this: Resource<OpenRedis>, key: String, value: Vec<u8>) -> Answer<()> {
        Ok(self.redis(&this)?.set(key, value).await.map_err(Error::from))
    }

    async fn incr(&mut self, this: Resource<OpenRedis>, key: String) -> Answer<i64> {
        Ok(self.redis(&this)?.incr(key).await.map_err(Error::from))
    }

    async fn del(&mut self, this: Resource<OpenRedis>, keys: Vec<String>) -> Answer<u32> {
        Ok(self.redis(&this)?.del(keys).await.map_err(Error::from))
    }

    async fn sadd(&mut self, this: Resource<OpenRedis>, key: String, values: Vec<String>) -> Answer<u32> {
        Ok(self.redis(&this)?.sadd(key, values).await.map_err(Error::from))
    }

    async fn smembers(&mut self, this: Resource<OpenRedis>, key: String) -> Answer<Vec<String>> {
        Ok(self.redis(&this)?.smembers(key).await.map_err(Error::from))
    }

    async fn srem(&mut self, this: Resource<OpenRedis>, key: String, values: Vec<String>) -> Answer<u32> {
        Ok(self.redis(&this)?.srem(key, values).await.map_err(Error::from))
    }

    async fn execute(
        &mut self,
        this: Resource<OpenRedis>,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Answer<Vec<RedisResult>> {
        Ok(self.redis(&this)?.execute(command, arguments).await.map_err(Error::from))
    }

    async fn drop(&mut self, this: Resource<OpenRedis>) -> wasmtime::Result<()> {
        self.close_redis(this)
    }
}
