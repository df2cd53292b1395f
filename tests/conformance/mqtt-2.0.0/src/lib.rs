//! `fermyon:spin/mqtt@2.0.0`, by spin-sdk 5.
//!
//! The path is `/QUALITY/TOPIC`, the body a message; an error is status 400. The broker is in the variable `address`.

use spin_sdk::mqtt::{Connection, Error, Qos};

shared::spin_5!(answer);

fn answer(path: &str, body: &[u8]) -> Result<String, Error> {
    let (quality, topic) = path.trim_start_matches('/').split_once('/').unwrap_or_default();
    let quality = match quality {
        "0" => Qos::AtMostOnce,
        "1" => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    };
    let broker = Connection::open(&spin_sdk::variables::get("address").expect("an address"), "", "", 30)?;
    broker.publish(topic, body, quality).map(|()| "published".to_owned())
}
