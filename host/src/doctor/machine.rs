//! Looks at the machine. What cannot be read is not known, and that is all.

use super::cgroup::{self, Limits};
use super::cpu::{self, Feature};
use bobbin_inference::wire::{BUILD_ID, Examination, Greeting};
use bobbin_worker::supervisor::{Gpu, Search, available_memory};
use rustix::process::{Resource, getrlimit};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// How long a worker may take to say what it finds.
const PATIENCE: Duration = Duration::from_secs(30);
/// Files of GPUs that somebody could compute on.
const GPUS: &[&str] = &["/dev/nvidia0", "/dev/kfd", "/dev/dri/renderD128"];

/// What a machine is like, for whom it matters here.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Machine {
    pub(super) build: String,
    pub(super) processor: Option<String>,
    pub(super) features: Vec<Feature>,
    /// What a worker says that has closed its cage; or why there is none.
    pub(super) worker: Result<Examination, String>,
    /// Processors of the machine.
    pub(super) processors: Option<u32>,
    /// Those that this process may use at once, limits considered.
    pub(super) usable: Option<u32>,
    pub(super) limits: Limits,
    /// Bytes.
    pub(super) memory: Option<u64>,
    /// Bytes that could be used now.
    pub(super) available: Option<u64>,
    pub(super) gpus: Search,
    /// Device files of GPUs that are there.
    pub(super) devices: Vec<&'static str>,
    /// `always`, `madvise` or `never`.
    pub(super) huge_pages: Option<String>,
    /// Files that may be open: now, and at most; none for any number.
    pub(super) open_files: (Option<u64>, Option<u64>),
    /// Bytes of address space; none for all there is.
    pub(super) address_space: Option<u64>,
    pub(super) kernel: String,
}

impl Machine {
    pub(super) async fn look() -> Self {
        let read = |path: &Path| fs::read_to_string(path).ok();
        let files = getrlimit(Resource::Nofile);
        Self {
            build: BUILD_ID.to_owned(),
            processor: read(Path::new("/proc/cpuinfo")).and_then(|text| cpu::model(&text)),
            features: cpu::features(),
            worker: examine().await,
            processors: read(Path::new("/proc/cpuinfo")).map(|text| processors(&text)).filter(|count| *count > 0),
            usable: std::thread::available_parallelism().ok().and_then(|cores| cores.get().try_into().ok()),
            limits: cgroup::limits(read),
            memory: read(Path::new("/proc/meminfo")).and_then(|text| total(&text)),
            available: available_memory(),
            gpus: Gpu::search(None).await,
            devices: GPUS.iter().copied().filter(|path| Path::new(path).exists()).collect(),
            huge_pages: read(Path::new("/sys/kernel/mm/transparent_hugepage/enabled")).and_then(|text| chosen(&text)),
            open_files: (files.current, files.maximum),
            address_space: getrlimit(Resource::As).current,
            kernel: read(Path::new("/proc/sys/kernel/osrelease"))
                .map_or_else(|| "?".into(), |text| text.trim().to_owned()),
        }
    }
}

/// Has a process do what a worker does before it loads, and say how it went.
async fn examine() -> Result<Examination, String> {
    let mut command = Command::new("/proc/self/exe");
    command.arg("examine").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await;
    let output =
        output.map_err(|_late| format!("a worker has not said within {} s what it finds", PATIENCE.as_secs()))?;
    let output = output.map_err(|error| format!("no worker can be started: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        return Err(format!("a worker does not start here ({}): {}", output.status, last.trim()));
    }
    let found: Examination = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("a worker does not say what it finds: {error}"))?;
    if found.greeting != Greeting::ours() {
        return Err("the executable was replaced meanwhile; run `bobbin doctor` again".to_owned());
    }
    Ok(found)
}

fn processors(cpuinfo: &str) -> u32 {
    let count = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// `always [madvise] never`.
fn chosen(text: &str) -> Option<String> {
    let (_, rest) = text.split_once('[')?;
    rest.split_once(']').map(|(chosen, _)| chosen.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_read() {
        assert_eq!(processors("processor\t: 0\nflags\t: x\nprocessor\t: 1\n"), 2);
        assert_eq!(total("MemTotal:       2048 kB\nMemFree: 1 kB\n"), Some(2 << 20));
        assert_eq!(chosen("always [madvise] never\n").as_deref(), Some("madvise"));
        assert_eq!(chosen("always\n"), None);
    }
}
