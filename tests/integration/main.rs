//! Tests of the real binary, with real models and real clients.

mod bad_requests;
mod bad_start;
mod batching;
mod bundles;
mod chaining;
mod clients_leave;
mod contract;
mod gpu;
mod guest_time;
mod hostile_guests;
mod kills;
mod newcomer;
mod outbound;
mod overload;
mod piles;
mod releases;
mod remote_llm;
mod reuse;
mod spin;
mod spin_llm;
mod stopping;
mod stubs;
mod workers;
