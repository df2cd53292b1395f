//! What a runtime configuration says of requests to other hosts: `[outbound_networking]` and `[outbound_http]`.

use super::{MOST, refuse};
use crate::config;
use crate::errors::{Problem, ProblemKind};
use crate::network::Network;
use crate::reader::Table;

/// `[outbound_networking]`: networks that no component reaches, whatever it is granted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OutboundNetworking {
    /// Those that are listed.
    pub blocked: Vec<Network>,
    /// Whether every network that is not for everybody is one of them: `"private"` in the list.
    pub block_private: bool,
}

/// `[outbound_http]`: bounds on the outbound HTTP requests of all components.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboundHttp {
    /// Whether connections are kept for the next request. As in Spin, a table that does not say so turns it off.
    pub connection_pooling: bool,
    /// Connections at once.
    pub max_connections: Option<usize>,
}

impl Default for OutboundHttp {
    fn default() -> Self {
        Self { connection_pooling: true, max_connections: None }
    }
}

/// What Spin reads besides in `[outbound_networking]`, and what to do about it here.
const NETWORKING_ELSEWHERE: [(&str, &str); 2] = [
    ("max_socket_connections", "remove it: components open no sockets of their own here"),
    ("max_total_connections", "remove it, and set max_connections in [outbound_http]"),
];

pub(super) fn networking(mut table: Table<'_>) -> OutboundNetworking {
    refuse(&mut table, &NETWORKING_ELSEWHERE);
    let mut read = OutboundNetworking::default();
    for text in table.strings("block_networks") {
        match text.value.parse() {
            Ok(network) => read.blocked.push(network),
            Err(_) if text.value == "private" => read.block_private = true,
            Err(cause) => {
                let what = format!("{:?} is nothing that `block_networks` may list", text.value);
                let help = "list networks such as \"10.0.0.0/8\", or \"private\" for all that are not for everybody";
                table.found.error(text.place, Problem::new(ProblemKind::Schema, what, help).caused_by(cause));
            }
        }
    }
    table.finish();
    read
}

pub(super) fn http(mut table: Table<'_>) -> OutboundHttp {
    let connection_pooling = table.boolean("connection_pooling").is_some_and(|flag| flag.value);
    let place = table.place;
    let mut bound = |key| {
        let number = config::number(&mut table, key, 0, MOST)?;
        Some(usize::try_from(number).unwrap_or(usize::MAX))
    };
    let most = bound("max_connections");
    // Spin's older name for it counted one more.
    let older = bound("max_concurrent_requests").map(|requests| requests.saturating_add(1));
    if most.is_some() && older.is_some() {
        let what = "`max_connections` and `max_concurrent_requests` are two names of one bound";
        table.found.error(place, Problem::new(ProblemKind::Schema, what, "keep `max_connections` alone"));
    }
    table.finish();
    OutboundHttp { connection_pooling, max_connections: most.or(older) }
}

#[cfg(test)]
mod tests {
    use super::super::RuntimeConfigFile;
    use super::*;
    use std::path::Path;

    fn parse(text: &str) -> RuntimeConfigFile {
        RuntimeConfigFile::parse(text, Path::new("rc.toml")).unwrap()
    }

    #[test]
    fn what_an_operator_says_of_outbound_requests_memory_and_logs_is_read() {
        let config = parse(
            r#"
log_dir = "logs"
max_instance_memory = 10000000
[outbound_networking]
block_networks = ["1.1.1.1/32", "private"]
[outbound_http]
connection_pooling = true
max_connections = 0
"#,
        );
        assert_eq!((config.log_dir, config.max_instance_memory), (Some("logs".into()), Some(10_000_000)));
        let networking = config.outbound_networking;
        assert_eq!((networking.blocked, networking.block_private), (vec!["1.1.1.1/32".parse().unwrap()], true));
        assert_eq!(config.outbound_http, OutboundHttp { connection_pooling: true, max_connections: Some(0) });
        let default = parse("");
        assert_eq!(default.outbound_http, OutboundHttp { connection_pooling: true, max_connections: None });
        let older = parse("[outbound_http]\nmax_concurrent_requests = 0").outbound_http;
        assert_eq!(older, OutboundHttp { connection_pooling: false, max_connections: Some(1) });
    }
}
