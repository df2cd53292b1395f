//! `spin:redis@3.0.0`, by spin-sdk 7.
//!
//! The path is `/OPERATION/KEY/ARGUMENTS`, with commas between arguments, the body a value; an error is status 400. The
//! server is in the variable `address`.

use spin_sdk::redis::{Connection, Error, RedisParameter, RedisResult};

shared::spin_7!(answer);

async fn answer(path: &str, body: &[u8]) -> Result<String, Error> {
    let part = |index| path.split('/').nth(index).unwrap_or_default();
    let redis = Connection::open(spin_sdk::variables::get("address").await.expect("an address")).await?;
    let key = part(2);
    let arguments: Vec<String> = part(3).split_terminator(',').map(str::to_owned).collect();
    Ok(match part(1) {
        "get" => shared::text_or_none(redis.get(key).await?),
        "set" => redis.set(key, body).await.map(|()| "set".to_owned())?,
        "incr" => redis.incr(key).await?.to_string(),
        "del" => redis.del(arguments).await?.to_string(),
        "sadd" => redis.sadd(key, arguments).await?.to_string(),
        "srem" => redis.srem(key, arguments).await?.to_string(),
        "smembers" => shared::sorted(redis.smembers(key).await?),
        "publish" => redis.publish(key, body).await.map(|()| "published".to_owned())?,
        "execute" => shown(&redis.execute(key, parameters(&arguments)).await?),
        other => format!("no operation {other}"),
    })
}

shared::redis!();
