//! Clients for what components reach elsewhere: Redis, PostgreSQL, MySQL and MQTT.
//!
//! Nothing here knows wasmtime, and nothing here decides whom a component may reach: whoever calls has checked the address,
//! resolved it, and connected. What a server sends is counted against the request's account as it arrives ([`Meter`]), before
//! anybody has looked at it.

#![forbid(unsafe_code)]

mod meter;
pub mod mqtt;
pub mod mysql;
pub mod postgres;
pub mod redis;
mod task;
mod told;

pub use meter::{Meter, Metered, Operation, metered};
pub use told::told;
