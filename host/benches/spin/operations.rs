//! What one operation costs: a component that does some within a request, beside the same component that does none, and
//! beside those who do the same without a sandbox.

use crate::application::Servers;
use anyhow::Result;
use bobbin_tests::{Bound, Lasts, Report, Window, in_turn};
use std::net::SocketAddr;
use std::time::Duration;

/// Connections that ask, one request after the other.
pub(crate) const CONNECTIONS: [usize; 2] = [1, 8];
/// Operations within one request.
const EACH: u32 = 20;
pub(crate) const LASTS: Lasts = Lasts { warm: Duration::from_millis(200), counted: Duration::from_millis(600) };

/// One kind of operation.
pub(crate) struct Kind<'a> {
    /// For the table.
    pub(crate) what: &'a str,
    /// The component's path, to which the count is added.
    pub(crate) path: &'a str,
    /// Who does the same without a sandbox.
    pub(crate) native: &'a str,
    /// The most that one may take of what the native one takes.
    pub(crate) aim: f64,
}

/// What one server made of one round.
struct Turn {
    plain: Window,
    busy: Window,
}

impl Turn {
    async fn of(server: SocketAddr, kind: &Kind<'_>, connections: usize) -> Result<Self> {
        let path = format!("/operations/{}/{EACH}", kind.path);
        let plain = Window::of((server, "/operations/hello"), connections, LASTS).await?;
        Ok(Self { plain, busy: Window::of((server, &path), connections, LASTS).await? })
    }

    /// Microseconds between two operations.
    fn each(&self) -> f64 {
        1e6 * (self.busy.rate.recip() - self.plain.rate.recip()) / f64::from(EACH)
    }
}

/// Measures one kind. `native` makes operations for the given time, as many at once as there are connections, and returns
/// how many a second.
pub(crate) async fn measure(
    servers: &Servers,
    kind: &Kind<'_>,
    (connections, rounds): (usize, usize),
    native: impl AsyncFn(usize) -> Result<f64>,
    report: &mut Report,
) -> Result<()> {
    let (mut ours, mut theirs, mut natives) = (Vec::new(), Vec::new(), Vec::new());
    let (own, spin) = servers.addresses("operations");
    for round in 0..rounds {
        for (server, turns) in in_turn(round, [(Some(own), &mut ours), (spin, &mut theirs)]) {
            if let Some(server) = server {
                turns.push(Turn::of(server, kind, connections).await?);
            }
        }
        natives.push(1e6 / native(connections).await?);
    }
    let plural = if connections == 1 { "" } else { "s" };
    let what = format!("{}, {connections} connection{plural}: each, by {}", kind.what, kind.native);
    let each = |turns: &[Turn]| turns.iter().map(Turn::each).collect::<Vec<f64>>();
    report.beside(&what, "µs", Bound::AtMost(kind.aim), &each(&ours), &natives);
    if !theirs.is_empty() {
        report.beside("- by Spin", "µs", Bound::AtMost(1.0), &each(&ours), &each(&theirs));
    }
    report_requests(&ours, report);
    Ok(())
}

/// Requests with operations beside those without.
fn report_requests(turns: &[Turn], report: &mut Report) {
    let figures = |figure: fn(&Window) -> f64| {
        let busy = turns.iter().map(|turn| figure(&turn.busy)).collect::<Vec<f64>>();
        (busy, turns.iter().map(|turn| figure(&turn.plain)).collect::<Vec<f64>>())
    };
    let (busy, plain) = figures(|window| window.rate);
    report.beside(&format!("- {EACH} in a request, by a request with none"), "requests/s", Bound::None, &busy, &plain);
    for (name, figure) in [
        ("- latency, p50", (|window| window.latency.at(0.5)) as fn(&Window) -> f64),
        ("- latency, p99", |window| window.latency.at(0.99)),
    ] {
        let (busy, plain) = figures(figure);
        report.beside(name, "ms", Bound::None, &busy, &plain);
    }
}
