//! Key-value stores: in SQLite, which is the default, and on a Redis server.

use crate::application::Servers;
use crate::floor::{Redis, Sqlite};
use crate::operations::{self, CONNECTIONS, Kind};
use anyhow::Result;
use bobbin_tests::{RedisServer, Report};

/// What an operation on SQLite may take of one that has a thread and a connection for itself. A value that is there in
/// memory is got in two microseconds, so that the way to it is most of it.
const GET: f64 = 10.0;
const SET: f64 = 4.0;
/// A server is another process for both.
const REDIS: f64 = 1.5;

pub(crate) async fn measure(
    servers: &Servers,
    redis: Option<&RedisServer>,
    rounds: usize,
    report: &mut Report,
) -> Result<()> {
    let sqlite = Sqlite::new()?;
    // Whoever gets finds what was set.
    for connections in CONNECTIONS {
        let kind = Kind { what: "SQLite, set", path: "set/default", native: "SQLite in a thread", aim: SET };
        let native = async |connections| sqlite.set(connections).await;
        operations::measure(servers, &kind, (connections, rounds), native, report).await?;
        let kind = Kind { what: "SQLite, get", path: "get/default", native: "SQLite in a thread", aim: GET };
        let native = async |connections| sqlite.get(connections).await;
        operations::measure(servers, &kind, (connections, rounds), native, report).await?;
    }
    let Some(server) = redis else { return Ok(()) };
    let redis = Redis::new(server.port()).await?;
    for connections in CONNECTIONS {
        let kind = Kind { what: "Redis, set", path: "set/redis", native: "a native client", aim: REDIS };
        let native = async |connections| redis.set(connections).await;
        operations::measure(servers, &kind, (connections, rounds), native, report).await?;
        let kind = Kind { what: "Redis, get", path: "get/redis", native: "a native client", aim: REDIS };
        let native = async |connections| redis.get(connections).await;
        operations::measure(servers, &kind, (connections, rounds), native, report).await?;
    }
    Ok(())
}
