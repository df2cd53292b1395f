//! Tests of the real binary, with real models and real clients.

mod bad_requests;
mod bad_start;
mod batching;
mod clients_leave;
mod contract;
mod hostile_guests;
mod newcomer;
mod overload;
mod spin;
mod stopping;
mod workers;
