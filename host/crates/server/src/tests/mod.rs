//! Behaviour of the server, over real sockets, with components made of closures.

mod admin;
mod answers;
mod bounds;
mod host;
mod routing;
mod stopping;
mod uploads;
