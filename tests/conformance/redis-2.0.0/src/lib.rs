//! `fermyon:spin/redis@2.0.0`, by spin-sdk 5.
//!
//! The path is `/OPERATION/KEY/ARGUMENTS`, with commas between arguments, the body a value; an error is status 400. The
//! server is in the variable `address`.

use spin_sdk::redis::{Connection, Error, RedisParameter, RedisResult};

shared::spin_5!(answer);

fn answer(path: &str, body: &[u8]) -> Result<String, Error> {
    let part = |index| path.split('/').nth(index).unwrap_or_default();
    let redis = Connection::open(&spin_sdk::variables::get("address").expect("an address"))?;
    let key = part(2);
    let arguments: Vec<String> = part(3).split_terminator(',').map(str::to_owned).collect();
    Ok(match part(1) {
        "get" => shared::text_or_none(redis.get(key)?),
        "set" => redis.set(key, body).map(|()| "set".to_owned())?,
        "incr" => redis.incr(key)?.to_string(),
        "del" => redis.del(&arguments)?.to_string(),
        "sadd" => redis.sadd(key, &arguments)?.to_string(),
        "srem" => redis.srem(key, &arguments)?.to_string(),
        "smembers" => shared::sorted(redis.smembers(key)?),
        "publish" => redis.publish(key, body).map(|()| "published".to_owned())?,
        "execute" => shown(&redis.execute(key, &parameters(&arguments))?),
        other => format!("no operation {other}"),
    })
}

shared::redis!();
