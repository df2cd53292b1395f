//! `wasi:keyvalue@0.2.0-draft2`: `store`, `batch` and `atomics`. The path is `/OPERATION/STORE/KEY`, the body a value; an
//! error is status 400. Batches are of the keys `a`, `b` and `c`.

use shared::text_or_none;
use spin_sdk::experimental::wasi::keyvalue::atomics::{self, Cas, CasError};
use spin_sdk::experimental::wasi::keyvalue::batch;
use spin_sdk::experimental::wasi::keyvalue::store::{self, Bucket, Error};

shared::spin_7!(answer);

async fn answer(path: &str, body: &[u8]) -> Result<String, Error> {
    let part = |index| path.split('/').nth(index).unwrap_or_default();
    let (bucket, key) = (store::open(part(2))?, part(3));
    let batch = || ["a", "b", "c"].map(str::to_owned);
    Ok(match part(1) {
        "get" => text_or_none(bucket.get(key)?),
        "set" => bucket.set(key, body).map(|()| "set".to_owned())?,
        "delete" => bucket.delete(key).map(|()| "deleted".to_owned())?,
        "exists" => bucket.exists(key)?.to_string(),
        "keys" => {
            let page = bucket.list_keys(None)?;
            format!("{}, cursor {:?}", page.keys.join(","), page.cursor)
        }
        "keys-from" => bucket.list_keys(Some(key))?.keys.join(","),
        "set-many" => {
            let pairs = batch().map(|key| (key.clone(), key.into_bytes()));
            batch::set_many(&bucket, &pairs).map(|()| "set".to_owned())?
        }
        "get-many" => {
            let found = batch::get_many(&bucket, &batch())?.into_iter();
            found.map(|(key, value)| format!("{key}={}", text_or_none(value))).collect::<Vec<_>>().join(",")
        }
        "delete-many" => batch::delete_many(&bucket, &batch()).map(|()| "deleted".to_owned())?,
        "increment" => {
            let by = std::str::from_utf8(body).unwrap_or_default().parse().unwrap_or(1);
            atomics::increment(&bucket, key, by)?.to_string()
        }
        "swap" => swap(&bucket, key, None, body)?,
        "swap-late" => swap(&bucket, key, Some(b"somebody else's"), body)?,
        other => format!("no operation {other}"),
    })
}

/// Replaces a value if it is still what it was; `meanwhile` is set after it was looked at.
fn swap(bucket: &Bucket, key: &str, meanwhile: Option<&[u8]>, value: &[u8]) -> Result<String, Error> {
    let cas = Cas::new(bucket, key)?;
    let before = text_or_none(cas.current()?);
    if let Some(meanwhile) = meanwhile {
        bucket.set(key, meanwhile)?;
    }
    match atomics::swap(cas, value) {
        Ok(()) => Ok(format!("swapped {before}")),
        Err(CasError::CasFailed(again)) => Ok(format!("not swapped: it is {}", text_or_none(again.current()?))),
        Err(CasError::StoreError(error)) => Err(error),
    }
}
