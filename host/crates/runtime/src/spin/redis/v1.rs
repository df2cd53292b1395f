//! `fermyon:spin/redis`, without a version: each call has a connection of its own.

use super::v1_wit::fermyon::spin::redis::{Error, Host, RedisParameter, RedisResult};
use super::{OpenRedis, Operation, Way, open};
use crate::spin::Spin;
use std::sync::Arc;

impl super::v1_wit::fermyon::spin::redis_types::Host for Spin {}

/// A connection for one call, open for as long as its first part is there.
async fn once(way: Way, address: String) -> Result<(OpenRedis, Operation), Error> {
    let context = Arc::clone(&way.context);
    let open = open(way, address).await?;
    let operation = Operation { connection: Arc::clone(&open.connection), context };
    Ok((open, operation))
}

impl Host for Spin {
    async fn publish(&mut self, address: String, channel: String, payload: Vec<u8>) -> Result<(), Error> {
        let (_open, operation) = once(self.way(), address).await?;
        Ok(operation.publish(channel, payload).await?)
    }

    /// A key that is not there has no bytes.
    async fn get(&mut self, address: String, key: String) -> Result<Vec<u8>, Error> {
        let (_open, operation) = once(self.way(), address).await?;
        Ok(operation.get(key).await?.unwrap_or_default())
    }

    async fn set(&mut self, address: String, key: String, value: Vec<u8>) -> Result<(), Error> {
        let (_open, operation) = once(self.way(), address).await?;
        Ok(operation.set(key, value).await?)
    }

    async fn incr(&mut self, address: String, key: String) -> Result<i64, Error> {
        let (_open, operation) = once(self.way(), address).await?;
        Ok(operation.incr(key).await?)
    }

    async fn del(&mut self, address: String, keys: Vec<String>) -> Result<i64, Error> {
        let (_open, operation) = once(self.way(), address).await?;
        Ok(operation.del(keys).await?.into())
    }

    async fn sadd(&mut self, address: String, key: String, values: Vec<String>) -> Result<i64, Error> {
        let (_open, operation) = once(self.way(), address).await?;
        Ok(operation.sadd(key, values).await?.into())
    }

    async fn smembers(&mut self, address: String, key: String) -> Result<Vec<String>, Error> {
        let (_open, operation) = once(self.way(), address).await?;
        Ok(operation.smembers(key).await?)
    }

    async fn srem(&mut self, address: String, key: String, values: Vec<String>) -> Result<i64, Error> {
        let (_open, operation) = once(self.way(), address).await?;
        Ok(operation.srem(key, values).await?.into())
    }

    async fn execute(
        &mut self,
        address: String,
        command: String,
        arguments: Vec<RedisParameter>,
    ) -> Result<Vec<RedisResult>, Error> {
        let (_open, operation) = once(self.way(), address).await?;
        Ok(operation.execute(command, arguments).await?)
    }
}
