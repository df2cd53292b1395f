//! Behaviour of the server, over real sockets, with components made of closures.

mod admin;
mod admin_events;
mod admin_releases;
mod answers;
mod bounds;
mod calls;
mod console;
mod contract;
mod fixed;
mod host;
mod keys;
mod messages;
mod routing;
pub(crate) mod schema;
mod stopping;
mod uploads;
mod versions;
pub(crate) mod workshop;
