//! Interfaces that a component is linked to and does not use.

use crate::application::{LINKED, NONE, Servers};
use anyhow::{Result, ensure};
use bobbin_tests::{Bound, Lasts, Report, Window, in_turn};
use std::net::SocketAddr;
use std::time::Duration;

const CONNECTIONS: usize = 8;
/// Short windows, and more of them: what the machine does meanwhile meets both of a pair.
const LASTS: Lasts = Lasts { warm: Duration::from_millis(100), counted: Duration::from_millis(500) };
/// What is left of the rate of a component that is linked to none.
const AIM: f64 = 0.97;

pub(crate) async fn measure(servers: &Servers, rounds: usize, report: &mut Report) -> Result<()> {
    for linked in LINKED {
        is_there(servers, linked).await?;
        let (ours, spin) = servers.addresses(linked);
        let what =
            format!("linked to {}, {CONNECTIONS} connections, by one linked to nothing", linked.replace('_', " "));
        beside(ours, linked, rounds, (&what, Bound::AtLeast(AIM)), report).await?;
        if let Some(spin) = spin {
            beside(spin, linked, rounds, ("- the same in Spin", Bound::None), report).await?;
        }
    }
    Ok(())
}

/// A compiler that left the imports out would make the comparison void.
async fn is_there(servers: &Servers, linked: &str) -> Result<()> {
    let used = servers.ours.get(&format!("/{linked}/use")).await?;
    let interfaces = used.text().lines().filter(|line| line.contains(": ok ") || line.contains(": error ")).count();
    let expected = if linked == "all" { LINKED.len() - 1 } else { 1 };
    ensure!(used.status() == 200 && interfaces == expected, "{linked}: {} {}", used.status(), used.text());
    Ok(())
}

async fn beside(
    server: SocketAddr,
    linked: &str,
    rounds: usize,
    (what, bound): (&str, Bound),
    report: &mut Report,
) -> Result<()> {
    let (linked, none) = (format!("/{linked}/hello"), format!("/{NONE}/hello"));
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for round in 0..=2 * rounds {
        for (path, rates) in in_turn(round, [(&linked, &mut with), (&none, &mut without)]) {
            rates.push(Window::of((server, path), CONNECTIONS, LASTS).await?.rate);
        }
    }
    report.beside(what, "requests/s", bound, &with, &without);
    Ok(())
}
