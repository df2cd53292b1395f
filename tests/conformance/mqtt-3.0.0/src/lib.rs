//! `spin:mqtt@3.0.0`, by spin-sdk 7.
//!
//! The path is `/QUALITY/TOPIC`, the body a message; an error is status 400. The broker is in the variable `address`.

use spin_sdk::mqtt::{Connection, Error, Qos};

shared::spin_7!(answer);

async fn answer(path: &str, body: &[u8]) -> Result<String, Error> {
    let (quality, topic) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    let quality = match quality {
        "0" => Qos::AtMostOnce,
        "1" => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    };
    let address = spin_sdk::variables::get("address").await.expect("an address");
    let broker = Connection::open(address, String::new(), String::new(), 30).await?;
    broker.publish(topic, body.to_vec(), quality).await.map(|()| "published".to_owned())
}
