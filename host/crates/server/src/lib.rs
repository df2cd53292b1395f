//! HTTP in: routing, admission, streaming and a bounded stop on the application's listener; health, readiness,
//! metrics and the API that changes releases on the admin listener. And `messages` in, which share everything that bounds
//! requests.
//!
//! A connection's bytes become requests in `connection`, a request becomes an answer in `app`, and what was
//! promised of that answer (its record in log and metrics, its place among the requests in flight, never looking
//! whole when it broke) is kept by `exchange`. Components are reached through [`Handle`] and [`Listen`] alone.

#![forbid(unsafe_code)]

mod accept;
mod access;
mod admin;
mod admission;
mod app;
mod asker;
mod bearer;
mod body;
mod browser;
mod connection;
mod exchange;
mod fixed;
mod fresh_keys;
mod handle;
mod inside;
mod key_metrics;
mod ledger;
mod limits;
mod listen;
mod messages;
mod metrics;
mod problem;
mod reach;
mod release_metrics;
mod routes;
mod series;
mod server;
mod spin_headers;
#[cfg(test)]
mod tests;
mod tls;
mod upload;
mod versions;
mod wire;

pub use access::{Access, ErrorStyle, KeyPolicy};
pub use fixed::{FixedAnswer, FixedAnswerError};
pub use handle::Handle;
pub use ledger::Ledger;
pub use limits::Limits;
pub use listen::{BindError, Listeners, Sockets};
pub use messages::{Listen, Subscriber};
pub use metrics::Metrics;
pub use routes::{Answerer, RouteEntry, RouteError, RoutePath};
pub use server::{AppInfo, Drained, Replacer, Served, Server};
pub use tls::{Tls, TlsError};
