//! `wasi:config/store@0.2.0-draft-2024-09-27`. The path is `/NAME`, or `/` for all; an error is status 400.

use spin_sdk::experimental::wasi::config::store::{self, Error};

shared::spin_7!(answer);

async fn answer(path: &str, _body: &[u8]) -> Result<String, Error> {
    match path.trim_start_matches('/') {
        "" => {
            let mut all = store::get_all()?;
            all.sort();
            Ok(all.into_iter().map(|(name, value)| format!("{name}={value}\n")).collect())
        }
        name => Ok(store::get(name)?.unwrap_or_else(|| "(none)".to_owned())),
    }
}
