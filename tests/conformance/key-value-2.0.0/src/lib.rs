//! `fermyon:spin/key-value@2.0.0`, by spin-sdk 5. The path is `/OPERATION/STORE/KEY`, the body a value; an error is status
//! 400.

use spin_sdk::key_value::{Error, Store};

shared::spin_5!(answer);

fn answer(path: &str, body: &[u8]) -> Result<String, Error> {
    let part = |index| path.split('/').nth(index).unwrap_or_default();
    let (store, key) = (Store::open(part(2))?, part(3));
    Ok(match part(1) {
        "get" => shared::text_or_none(store.get(key)?),
        "set" => store.set(key, body).map(|()| "set".to_owned())?,
        "delete" => store.delete(key).map(|()| "deleted".to_owned())?,
        "exists" => store.exists(key)?.to_string(),
        "keys" => store.get_keys()?.join(","),
        other => format!("no operation {other}"),
    })
}
