//! Stores on a Redis server: each key there is a key here, without any prefix, as in Spin.
//!
//! All requests share one connection, on which any number of commands are under way. It is made with the first command
//! and again after it broke.

use super::{Answer, Cursor, Found, Page, Store, StoreError};
use crate::charged::Charged;
use bobbin_inference::{Account, Charge};
use futures::FutureExt;
use futures::future::try_join_all;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{Client, Cmd, FromRedisValue, RedisError, Value, cmd};
use std::fmt;
use std::time::Duration;

/// How long a connection may take to be made, and an answer to come. Requests have deadlines besides.
const CONNECTING: Duration = Duration::from_secs(3);
const ANSWERING: Duration = Duration::from_secs(30);
/// Times that a broken connection is made again before a command fails.
const RETRIES: usize = 1;

/// What is charged before a value's length is known.
const SHORT_BYTES: u64 = 16 << 10;
/// What an entry of a list costs besides its bytes.
const ENTRY_BYTES: usize = 64;
/// Keys that the server looks at for one page.
const PAGE: usize = 256;

/// The value, or its length where it is longer than what there is room for.
const GET: &str = "local value = redis.call('GET', KEYS[1])
    if value and #value > tonumber(ARGV[1]) then return #value end
    return value";
/// Where the next page begins and the keys of this one, or what they would cost where that is more than there is room for.
const KEYS: &str = "local page = redis.call('SCAN', ARGV[1], 'COUNT', ARGV[2])
    local cost = 0
    for _, key in ipairs(page[2]) do cost = cost + #key + tonumber(ARGV[3]) end
    if cost > tonumber(ARGV[4]) then return cost end
    return page";
/// Sets the third argument where the value is the second, or absent if the first is 0.
const SWAP: &str = "local value = redis.call('GET', KEYS[1])
    if (ARGV[1] == '1' and value == ARGV[2]) or (ARGV[1] == '0' and not value) then
        redis.call('SET', KEYS[1], ARGV[3])
        return 1
    end
    return 0";

/// A server's address that cannot be used. The address may have a password, so it is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It makes no sense.
    #[error(
        "this is no address of a Redis server that can be used: {0}; write redis://[user:password@]host[:port][/number], or \
         rediss:// for TLS; in a user or a password, / is %2F, : is %3A, @ is %40, # is %23, ? is %3F and % is %25"
    )]
    Unusable(String),
    /// It asks for TLS without a check of the server's certificate.
    #[error("TLS without a check of the server's certificate is not possible; remove #insecure from the address")]
    Insecure,
}

/// What the client says is wrong with an address, without its word for the kind of error behind that, and without what it
/// quotes from the address.
fn words(error: &RedisError) -> String {
    let text = error.to_string();
    text.split(" - ").next().unwrap_or(&text).to_owned()
}

/// A store on a server.
#[derive(Clone)]
pub struct RedisStore {
    connection: ConnectionManager,
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore").finish_non_exhaustive()
    }
}

impl RedisStore {
    /// The store at an address, such as `redis://127.0.0.1:6379/0`, or `rediss://` for TLS with whom
    /// this machine trusts. Nothing is sent yet; there must be a tokio runtime.
    ///
    /// # Errors
    /// When it is no address.
    pub fn at(url: &str) -> Result<Self, AddressError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECTING))
            .set_response_timeout(Some(ANSWERING))
            .set_number_of_retries(RETRIES);
        if url.ends_with("#insecure") {
            return Err(AddressError::Insecure);
        }
        let client = Client::open(url).map_err(|error| AddressError::Unusable(words(&error)))?;
        let connection = ConnectionManager::new_lazy_with_config(client, config);
        let connection = connection.map_err(|error| AddressError::Unusable(words(&error)))?;
        Ok(Self { connection })
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        Ok(command.query_async(&mut self.connection.clone()).await?)
    }

    /// A value is charged before the server sends it.
    async fn read(&self, key: &str, account: &Account) -> Result<Found, StoreError> {
        let mut charge = account.charge(SHORT_BYTES)?;
        loop {
            let mut get = cmd("EVAL");
            get.arg(GET).arg(1).arg(key).arg(charge.bytes());
            match self.ask(&get).await? {
                Value::Nil => return Ok(None),
                Value::BulkString(value) => return Ok(Some(held(value, charge)?)),
                // It may have grown again when the answer to the next question is made.
                Value::Int(length) => charge.resize(u64::try_from(length).unwrap_or(u64::MAX))?,
                other => return Err(StoreError::Unexpected(format!("{:.100}", format!("{other:?}")))),
            }
        }
    }

    /// The keys of a page are charged before the server sends them: a key may be as long as a value.
    async fn page(&self, at: u64, account: &Account) -> Result<(u64, Vec<Vec<u8>>, Charge), StoreError> {
        let mut charge = account.charge(SHORT_BYTES)?;
        loop {
            let mut keys = cmd("EVAL");
            keys.arg(KEYS).arg(0).arg(at).arg(PAGE).arg(ENTRY_BYTES).arg(charge.bytes());
            match self.ask(&keys).await? {
                Value::Int(cost) => charge.resize(u64::try_from(cost).unwrap_or(u64::MAX))?,
                page => {
                    let (next, keys): (u64, Vec<Vec<u8>>) = redis::from_redis_value(page).map_err(RedisError::from)?;
                    let bytes = keys.iter().map(|key| key.len() + ENTRY_BYTES).sum::<usize>();
                    charge.resize(bytes as u64)?;
                    return Ok((next, keys, charge));
                }
            }
        }
    }
}

fn held(value: Vec<u8>, mut charge: Charge) -> Result<Charged<Vec<u8>>, StoreError> {
    charge.resize((value.len() + ENTRY_BYTES) as u64)?;
    Ok(Charged::new(value, charge))
}

impl Store for RedisStore {
    fn get(&self, key: String, account: &Account) -> Answer<'_, Found> {
        let account = account.clone();
        async move { self.read(&key, &account).await }.boxed()
    }

    fn set(&self, key: String, value: Vec<u8>) -> Answer<'_, ()> {
        async move { self.ask(cmd("SET").arg(key).arg(value)).await }.boxed()
    }

    fn delete(&self, key: String) -> Answer<'_, ()> {
        async move { self.ask(cmd("DEL").arg(key)).await }.boxed()
    }

    fn exists(&self, key: String) -> Answer<'_, bool> {
        async move { self.ask(cmd("EXISTS").arg(key)).await }.boxed()
    }

    fn keys(&self, from: Option<Cursor>, account: &Account) -> Answer<'_, Page> {
        let account = account.clone();
        let at = match from {
            Some(Cursor::At(at)) => at,
            // The other kind belongs to other stores.
            Some(Cursor::After(_)) | None => 0,
        };
        async move {
            let (next, keys, charge) = self.page(at, &account).await?;
            let keys = keys.into_iter().map(|key| String::from_utf8(key).or(Err(StoreError::NoText)));
            let keys = Charged::new(keys.collect::<Result<_, _>>()?, charge);
            Ok(Page { keys, next: (next != 0).then_some(Cursor::At(next)) })
        }
        .boxed()
    }

    fn get_many(&self, keys: Vec<String>, account: &Account) -> Answer<'_, Vec<(String, Found)>> {
        let account = account.clone();
        async move {
            let values = try_join_all(keys.iter().map(|key| self.read(key, &account))).await?;
            Ok(keys.into_iter().zip(values).collect())
        }
        .boxed()
    }

    fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Answer<'_, ()> {
        async move {
            let mut set = cmd("MSET");
            pairs.iter().for_each(|(key, value)| {
                set.arg(key).arg(value.as_slice());
            });
            // The server wants at least one.
            if pairs.is_empty() { Ok(()) } else { self.ask(&set).await }
        }
        .boxed()
    }

    fn delete_many(&self, keys: Vec<String>) -> Answer<'_, ()> {
        async move { if keys.is_empty() { Ok(()) } else { self.ask(cmd("DEL").arg(&keys)).await } }.boxed()
    }

    /// Numbers are text, as Redis has them.
    fn increment(&self, key: String, delta: i64) -> Answer<'_, i64> {
        async move {
            self.ask(cmd("INCRBY").arg(key).arg(delta)).await.map_err(|error| match error {
                StoreError::Redis(error) if error.to_string().contains("not an integer") => StoreError::NoNumber,
                StoreError::Redis(error) if error.to_string().contains("overflow") => StoreError::Overflow,
                error => error,
            })
        }
        .boxed()
    }

    fn swap(&self, key: String, old: Option<Vec<u8>>, new: Vec<u8>) -> Answer<'_, bool> {
        async move {
            let mut swap = cmd("EVAL");
            swap.arg(SWAP).arg(1).arg(key).arg(i64::from(old.is_some())).arg(old.unwrap_or_default()).arg(new);
            self.ask(&swap).await
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_that_is_none_is_refused_without_showing_it() {
        for url in [
            "hunter2",
            "http://hunter2@localhost",
            "redis://:hunter2@localhost:port",
            "rediss://:hunter2@localhost/#insecure",
        ] {
            let error = RedisStore::at(url).map(drop);
            let error = error.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        let garbled = RedisStore::at("redis://localhost?protocol=hunter2").map(drop).unwrap_err().to_string();
        assert!(garbled.contains("can be used: Invalid protocol version; write redis://"), "{garbled}");
        assert!(garbled.contains("/ is %2F") && !garbled.contains("InvalidClientConfig"), "{garbled}");
        let store = RedisStore::at("redis://:hunter2@127.0.0.1:1/3").unwrap();
        assert!(!format!("{store:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_an_error_and_no_wait() {
        let store = RedisStore::at("redis://127.0.0.1:1").unwrap();
        let account = Account::new(1 << 20);
        assert!(matches!(store.get("k".into(), &account).await, Err(StoreError::Redis(_))));
        assert_eq!(account.held(), 0);
    }
}
