//! Tests of the real binary, with real models and real clients.

mod bad_requests;
mod bad_start;
mod batching;
mod bundles;
mod clients_leave;
mod contract;
mod core_modules;
mod dependencies;
mod files;
mod gpu;
mod guest_time;
mod hostile_guests;
mod kills;
mod locked;
mod middleware;
mod newcomer;
mod overload;
mod piles;
mod releases;
mod reuse;
mod spin;
mod static_responses;
mod stopping;
mod trigger_plugin;
mod workers;
