//! `GET /admin/v1/workers`: each version that is loaded, or on its way there, and what its process does.

use super::answer::{Answer, json};
use super::edit;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::series::Totals;
use bobbin_inference::Class;
use bobbin_release::{Releases, State, Version, Vitals};
use http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use std::time::SystemTime;

#[derive(Serialize)]
struct Workers {
    workers: Vec<WorkerView>,
}

#[derive(Serialize)]
struct WorkerView {
    bundle: Arc<str>,
    class: Class,
    state: State,
    since: String,
    reason: Option<String>,
    leases: usize,
    /// By calculation; nothing before the bundle was verified.
    need_bytes: Option<u64>,
    /// Nothing while there is no worker.
    process: Option<ProcessView>,
    /// Since the host started.
    totals: Totals,
}

#[derive(Serialize)]
struct ProcessView {
    pid: Option<u32>,
    restarts: u64,
    resident_bytes: Option<u64>,
    gpu: Option<GpuView>,
    cage: Vec<RuleView>,
    sequences: u32,
    running: u32,
    waiting: u32,
    paused: u32,
    cells: u32,
    cells_reserved: u32,
    cells_cached: u32,
    steps: u64,
    cancelled: u64,
}

#[derive(Serialize)]
struct GpuView {
    computes: bool,
    detail: String,
}

#[derive(Serialize)]
struct RuleView {
    rule: String,
    holds: bool,
    reason: Option<String>,
}

pub(super) fn list(releases: &Releases, metrics: &Metrics, query: Option<&str>) -> Result<Answer, Problem> {
    edit::nothing(query)?;
    let workers = releases.versions().iter().map(|version| view(version, metrics)).collect();
    Ok(json(StatusCode::OK, &Workers { workers }))
}

fn view(version: &Version, metrics: &Metrics) -> WorkerView {
    let status = version.status();
    WorkerView {
        bundle: Arc::clone(version.bundle()),
        class: version.class(),
        state: status.state,
        since: written(status.since),
        reason: status.reason,
        leases: version.leases(),
        need_bytes: Some(version.need_bytes()).filter(|bytes| *bytes > 0),
        process: version.live().map(|live| process(live.vitals())),
        totals: metrics.series().totals(version.bundle()),
    }
}

fn process(vitals: Vitals) -> ProcessView {
    let stats = vitals.stats;
    let gpu = vitals.gpu.map(|gpu| match gpu {
        Ok(detail) => GpuView { computes: true, detail },
        Err(detail) => GpuView { computes: false, detail },
    });
    let rule = |(rule, reason): (String, Option<String>)| RuleView { rule, holds: reason.is_none(), reason };
    ProcessView {
        pid: vitals.pid,
        restarts: vitals.restarts,
        resident_bytes: vitals.resident_bytes,
        gpu,
        cage: vitals.cage.into_iter().map(rule).collect(),
        sequences: stats.sequences,
        running: stats.running,
        waiting: stats.waiting,
        paused: stats.paused,
        cells: stats.cells,
        cells_reserved: stats.cells_reserved,
        cells_cached: stats.cells_cached,
        steps: stats.steps,
        cancelled: stats.cancelled,
    }
}

/// A time as the API writes it.
pub(crate) fn written(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}
