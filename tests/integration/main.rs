//! Tests of the real binary, with real models and real clients.

mod bad_requests;
mod bad_start;
mod batching;
mod bundles;
mod clients_leave;
mod contract;
mod gpu;
mod guest_time;
mod hostile_guests;
mod key_value;
mod kills;
mod newcomer;
mod overload;
mod piles;
mod redis;
mod releases;
mod reuse;
mod spin;
mod sqlite;
mod stopping;
mod variables;
mod workers;
