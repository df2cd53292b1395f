//! `spin:key-value@3.0.0`, by spin-sdk 7. The path is `/OPERATION/STORE/KEY`, the body a value; an error is status 400.
//! Keys come as a stream: `keys` reads all of it, and `first` one key, and lets go.

use spin_sdk::key_value::{Error, Store};

shared::spin_7!(answer);

async fn answer(path: &str, body: &[u8]) -> Result<String, Error> {
    let part = |index| path.split('/').nth(index).unwrap_or_default();
    let (store, key) = (Store::open(part(2)).await?, part(3));
    Ok(match part(1) {
        "get" => shared::text_or_none(store.get(key).await?),
        "set" => store.set(key, body).await.map(|()| "set".to_owned())?,
        "delete" => store.delete(key).await.map(|()| "deleted".to_owned())?,
        "exists" => store.exists(key).await?.to_string(),
        "keys" => store.get_keys().await.collect().await?.join(","),
        "first" => store.get_keys().await.next().await.unwrap_or_default(),
        other => format!("no operation {other}"),
    })
}
