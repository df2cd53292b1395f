//! `spin:variables@3.0.0`, by spin-sdk 7. The path is `/NAME`; an error is status 400.

use spin_sdk::variables::{self, Error};

shared::spin_7!(answer);

async fn answer(path: &str, _body: &[u8]) -> Result<String, Error> {
    variables::get(path.trim_start_matches('/')).await
}
