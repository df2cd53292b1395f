//! `spin:redis@3.0.0`: asynchronous, so one guest may have any number of commands under way.

use super::v3_wit::spin::redis::redis::{
    Error, Host, HostConnection, HostConnectionWithStore, RedisParameter, RedisResult,
};
use super::{OpenRedis, Operation, open};
use crate::spin::{HasSpin, Spin};
use wasmtime::component::{Accessor, Resource};

type Answer<T> = wasmtime::Result<Result<T, Error>>;
type Access<T> = Accessor<T, HasSpin>;
type This = Resource<OpenRedis>;

fn operation<T>(accessor: &Access<T>, this: &This) -> wasmtime::Result<Operation> {
    accessor.with(|mut access| access.get().redis(this))
}

impl Host for Spin {}

impl HostConnection for Spin {
    async fn drop(&mut self, this: This) -> wasmtime::Result<()> {
        self.close_redis(this)
    }
}

impl<T> HostConnectionWithStore<T> for HasSpin {
    async fn open(accessor: &Access<T>, address: String) -> Answer<This> {
        let way = accessor.with(|mut access| access.get().way());
        let opened = open(way, address).await;
        let kept = opened.and_then(|open| accessor.with(|mut access| access.get().keep_redis(open)));
        Ok(kept.map_err(Error::from))
    }

    async fn publish(accessor: &Access<T>, this: This, channel: String, payload: Vec<u8>) -> Answer<()> {
        Ok(operation(accessor, &this)?.publish(channel, payload).await.map_err(Error::from))
    }

    async fn get(accessor: &Access<T>, this: This, key: String) -> Answer<Option<Vec<u8>>> {
        Ok(operation(accessor, &this)?.get(key).await.map_err(Error::from))
    }

    async fn set(accessor: &Access<T>, this: This, key: String, value: Vec<u8>) -> Answer<()> {
        Ok(operation(accessor, &this)?.set(key, value).await.map_err(Error::from))
    }

    async fn incr(accessor: &Access<T>, this: This, key: String) -> Answer<i64> {
        Ok(operation(accessor, &this)?.incr(key).await.map_err(Error::from))
    }

    async fn del(accessor: &Access<T>, this: This, keys: Vec<String>) -> Answer<u32> {
        Ok(operation(accessor, &this)?.del(keys).await.map_err(Error::from))
    }

    async fn sadd(accessor: &Access<T>, this: This, key: String, values: Vec<String>) -> Answer<u32> {
        Ok(operation(accessor, &this)?.sadd(key, values).await.map_err(Error::from))
    }

    async fn smembers(accessor: &Access<T>, this: This, key: String) -> Answer<Vec<String>> {
        Ok(operation(accessor, &this)?.smembers(key).await.map_err(Error::from))
    }

    async fn srem(accessor: &Access<T>, this: This, key: String, values: Vec<String>) -> Answer<u32> {
        Ok(operation(accessor, &this)?.srem(key, values).await.map_err(Error::from))
    }

    async fn execute(
        accessor: &Access<T>,
        this: This,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Answer<Vec<RedisResult>> {
        Ok(operation(accessor, &this)?.execute(command, arguments).await.map_err(Error::from))
    }
}
