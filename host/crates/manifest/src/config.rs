//! `[application.trigger.bobbin]`: what a manifest says to Bobbin alone.
//!
//! Spin ignores the table and carries it along, also into locked applications and OCI images.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::access::AccessSettings;
use crate::names::{ComponentId, GraphName, TriggerId};
use crate::place::{At, Place};
use crate::reader::Table;
use crate::releases::{self, DeclaredRelease, ReleaseDoc};
use crate::settings;

/// The bundle repository where the manifest does not say, relative to it.
const DEFAULT_REPOSITORY: &str = "models";

/// The checked `[application.trigger.bobbin]`.
#[derive(Debug, Clone)]
pub struct BobbinConfig {
    /// The bundle repository: an absolute path.
    pub repository: std::path::PathBuf,
    /// The bounds of requests and guests.
    pub limits: Limits,
    /// The components whose instances answer one request after another, instead of one each.
    pub reuse_instances: BTreeSet<ComponentId>,
    /// The components that are told of a request what the client sent, without Spin's headers.
    pub plain_requests: BTreeSet<ComponentId>,
    /// Who may ask, and how they are refused, where a trigger does not say otherwise.
    pub access: AccessSettings,
    /// The releases of every trigger whose component is granted the name.
    pub releases: BTreeMap<GraphName, DeclaredRelease>,
    /// Releases that replace those for one trigger.
    pub overrides: BTreeMap<TriggerId, BTreeMap<GraphName, DeclaredRelease>>,
    /// The same for one trigger.
    pub access_overrides: BTreeMap<TriggerId, AccessSettings>,
    /// A request that shows what the application does.
    pub example: Option<Example>,
}

/// A request that shows what an application does: `bobbin up` prints it as a line to paste.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The path, with a query where there is one.
    pub path: String,
    /// What is sent; without a body it is a GET.
    pub body: Option<String>,
}

/// The bounds of requests and guests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Requests at once; more are refused with 503. Default 64.
    pub max_in_flight: u32,
    /// The soft deadline of a request, after which computes answer `timeout`. Default 120 s.
    pub request: Duration,
    /// From the soft to the hard deadline, at which the guest is dropped. Default 5 s.
    pub grace: Duration,
    /// The longest request body, in bytes. Default 1 MiB.
    pub body_bytes: u64,
    /// The linear memory of one instance, in bytes. Default 128 MiB, at most 4 GiB.
    pub guest_memory_bytes: u64,
    /// What the host holds for one request (tensors, queues, table entries), in bytes. Default 64 MiB.
    pub account_bytes: u64,
    /// The CPU time of one guest. Default 30 s.
    pub guest_cpu: Duration,
    /// How long a graceful stop waits for requests in flight. Default 30 s.
    pub drain: Duration,
    /// The files that all components together may mount. Default 65,536.
    pub mounted_files: u64,
    /// What those files may have, in bytes. Default 1 GiB.
    pub mounted_bytes: u64,
    /// What each file of key-value stores may have, in bytes. Default 1 GiB.
    pub key_value_bytes: u64,
    /// What each SQLite database of components may have, in bytes. Default 1 GiB.
    pub database_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_in_flight: 64,
            request: Duration::from_secs(120),
            grace: Duration::from_secs(5),
            body_bytes: 1 << 20,
            guest_memory_bytes: 128 << 20,
            account_bytes: 64 << 20,
            guest_cpu: Duration::from_secs(30),
            drain: Duration::from_secs(30),
            mounted_files: 1 << 16,
            mounted_bytes: 1 << 30,
            key_value_bytes: 1 << 30,
            database_bytes: 1 << 30,
        }
    }
}

/// The table as it was read, with the places that later checks point at.
#[derive(Debug, Default)]
pub(crate) struct ConfigDoc {
    pub(crate) repository: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) reuse_instances: Vec<At<ComponentId>>,
    pub(crate) plain_requests: Vec<At<ComponentId>>,
    pub(crate) access: AccessSettings,
    pub(crate) releases: BTreeMap<GraphName, ReleaseDoc>,
    /// By trigger id.
    pub(crate) overrides: BTreeMap<String, OverrideDoc>,
    pub(crate) example: Option<Example>,
}

/// What is said of one trigger.
#[derive(Debug)]
pub(crate) struct OverrideDoc {
    /// Of the trigger's id.
    pub(crate) place: Place,
    pub(crate) access: AccessSettings,
    pub(crate) releases: BTreeMap<GraphName, ReleaseDoc>,
}

impl ConfigDoc {
    /// The repository's path, relative to the manifest.
    pub(crate) fn repository(&self) -> &str {
        self.repository.as_deref().unwrap_or(DEFAULT_REPOSITORY)
    }
}

pub(crate) fn read(mut table: Table<'_>) -> ConfigDoc {
    let repository = table.string("repository").and_then(|path| repository(&table, path));
    let limits = table.table("limits").map(limits).unwrap_or_default();
    let mut components =
        |key| table.strings(key).into_iter().map(|id| id.map(ComponentId::new)).collect::<Vec<At<ComponentId>>>();
    let (reuse_instances, plain_requests) = (components("reuse_instances"), components("plain_requests"));
    let access = access(&mut table);
    let releases = table.table("releases").map(|table| releases::read(&table)).unwrap_or_default();
    let overrides = table.table("triggers").map(|table| overrides(&table)).unwrap_or_default();
    let example = table.table("example").and_then(example);
    table.finish();
    ConfigDoc { repository, limits, reuse_instances, plain_requests, access, releases, overrides, example }
}

fn example(mut table: Table<'_>) -> Option<Example> {
    let path = table.required("path", "path = \"/story\"").and_then(|node| node.string());
    let body = table.string("body").map(|body| body.value);
    let found = table.found;
    table.finish();
    let path = path?;
    // It is printed between what a shell would understand.
    let printable = |c: char| c.is_ascii_graphic() && !"'\"`$\\".contains(c);
    if !path.value.starts_with('/') || !path.value.chars().all(printable) {
        let help = "write the path of a request as it is sent, from its first slash on, such as \"/story\"";
        found.schema(path.place, format!("`path` is {:?}, which is none", path.value), help);
        return None;
    }
    Some(Example { path: path.value, body })
}

fn access(table: &mut Table<'_>) -> AccessSettings {
    AccessSettings {
        keys: table.get("keys").and_then(|node| settings::read(&node)),
        errors: table.get("errors").and_then(|node| settings::read(&node)),
    }
}

fn repository(table: &Table<'_>, path: At<String>) -> Option<String> {
    if path.value.is_empty() {
        let help = "name the folder that holds the bundles, such as \"models\", or remove the line";
        table.found.schema(path.place, "`repository` is empty", help);
        return None;
    }
    Some(path.value)
}

fn overrides(table: &Table<'_>) -> BTreeMap<String, OverrideDoc> {
    let mut overrides = BTreeMap::new();
    for (id, node) in table.entries() {
        let Some(mut trigger) = node.table() else { continue };
        let access = access(&mut trigger);
        let releases = trigger.table("releases").map(|table| releases::read(&table)).unwrap_or_default();
        trigger.finish();
        overrides.insert(id.value.to_owned(), OverrideDoc { place: id.place, access, releases });
    }
    overrides
}

fn limits(mut table: Table<'_>) -> Limits {
    const DAY: u64 = 24 * 60 * 60;
    const GIB: u64 = 1 << 30;
    let default = Limits::default();
    let t = &mut table;
    let in_flight = number(t, "max_in_flight", 1, 4096);
    let limits = Limits {
        max_in_flight: in_flight.and_then(|n| u32::try_from(n).ok()).unwrap_or(default.max_in_flight),
        request: number(t, "request_seconds", 1, DAY).map_or(default.request, Duration::from_secs),
        grace: number(t, "grace_seconds", 0, DAY).map_or(default.grace, Duration::from_secs),
        body_bytes: number(t, "body_bytes", 0, 4 * GIB).unwrap_or(default.body_bytes),
        guest_memory_bytes: number(t, "guest_memory_bytes", 1 << 16, 4 * GIB).unwrap_or(default.guest_memory_bytes),
        account_bytes: number(t, "account_bytes", 8 << 20, 64 * GIB).unwrap_or(default.account_bytes),
        guest_cpu: number(t, "guest_cpu_seconds", 1, DAY).map_or(default.guest_cpu, Duration::from_secs),
        drain: number(t, "drain_seconds", 0, DAY).map_or(default.drain, Duration::from_secs),
        mounted_files: number(t, "mounted_files", 1, 1 << 24).unwrap_or(default.mounted_files),
        mounted_bytes: number(t, "mounted_bytes", 0, 1024 * GIB).unwrap_or(default.mounted_bytes),
        key_value_bytes: number(t, "key_value_bytes", 1 << 20, 1024 * GIB).unwrap_or(default.key_value_bytes),
        database_bytes: number(t, "database_bytes", 1 << 20, 1024 * GIB).unwrap_or(default.database_bytes),
    };
    table.finish();
    limits
}

/// A whole number within its bounds; none where it is not written or an error was reported.
pub(crate) fn number(table: &mut Table<'_>, key: &'static str, least: u64, most: u64) -> Option<u64> {
    let node = table.get(key)?;
    let written = node.integer()?;
    let value = u64::try_from(written.value).ok().filter(|value| (least..=most).contains(value));
    if value.is_none() {
        let what = format!("`{}` is {}, outside of what is possible", node.name, written.value);
        table.found.schema(written.place, what, format!("write a whole number from {least} to {most}"));
    }
    value
}
