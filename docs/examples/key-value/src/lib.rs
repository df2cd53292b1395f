//! Counts how often each path was asked for.

use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::key_value::Store;

#[http_service]
async fn handle_key_value(request: Request) -> anyhow::Result<impl IntoResponse> {
    let path = request.uri().path();
    let store = Store::open_default().await?;
    let before = match store.get(path).await? {
        Some(count) => String::from_utf8(count)?.parse::<u64>()?,
        None => 0,
    };
    let count = before + 1;
    store.set(path, count.to_string()).await?;
    Ok(format!("{path} was asked for {count} times\n"))
}
