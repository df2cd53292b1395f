//! Requests to another host: a server in this process.

use crate::application::Servers;
use crate::floor::in_tasks;
use crate::loopback::Loopback;
use crate::operations::{self, CONNECTIONS, Kind};
use anyhow::{Result, ensure};
use bobbin_tests::Report;
use std::cell::Cell;

/// What a request may take of one that a native client makes. Both take their turns with the server on the same cores.
const AIM: f64 = 2.0;

pub(crate) async fn measure(servers: &Servers, rounds: usize, report: &mut Report) -> Result<()> {
    let server = Loopback::start().await?;
    let (path, url) = (format!("ask/{}", server.port()), format!("http://127.0.0.1:{}/", server.port()));
    let client = bobbin_tests::http().build()?;
    // Of this process: what is left is the host's.
    let (asked, connected) = (Cell::new(0), Cell::new(0));
    let native = async |connections| {
        let before = server.seen();
        let rate = in_tasks(connections, async |_number| {
            let answer = client.get(&url).send().await?;
            ensure!(answer.status() == 200, "the server answered {}", answer.status());
            answer.bytes().await?;
            Ok(())
        });
        let rate = rate.await?;
        let after = server.seen();
        asked.set(asked.get() + after.0 - before.0);
        connected.set(connected.get() + after.1 - before.1);
        Ok(rate)
    };
    for connections in CONNECTIONS {
        let kind = Kind { what: "outbound HTTP", path: &path, native: "a native client", aim: AIM };
        operations::measure(servers, &kind, (connections, rounds), &native, report).await?;
    }
    let (requests, all) = server.seen();
    let ours = format!("{} over {}", requests - asked.get(), all - connected.get());
    report.note(
        "- requests over so many connections; the native client's",
        format!("{ours}; {} over {}", asked.get(), connected.get()),
    );
    Ok(())
}
