//! Memory: what this host could still use, and the watchdog over what a worker has resident.
//!
//! A worker limits its own data (`RLIMIT_DATA`), and an allocation over that fails inside it. What that limit
//! does not count (shared memory, mapped files), and a kernel on which it does not hold, are seen from here: a
//! worker that has more resident than it can need is killed, and started again like any that died.

mod available;

pub use available::available_memory;

use std::future::pending;
use std::io;
use std::time::Duration;
use tokio::time::MissedTickBehavior;

/// What a worker may have resident beyond its weights and the data it had when it was ready. Its own limit lets
/// that data grow by 1 GiB; the rest is for shared libraries, and so that its own limit speaks first.
const GROWTH: u64 = 3 << 29;

/// Memory of a process, in bytes. Source: `/proc/<pid>/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Memory {
    /// `VmRSS`: in memory now, mapped files included.
    pub(super) resident: u64,
    /// `VmData`: private writable memory, touched or not.
    pub(super) data: u64,
}

/// Reads the memory of one process, again and again.
pub(super) type Meter = Box<dyn FnMut() -> io::Result<Memory> + Send>;

impl Memory {
    /// Reads the memory of a process.
    ///
    /// # Errors
    /// When there is no such process, or the file does not read as the kernel documents it.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let path = format!("/proc/{pid}/status");
        let status = std::fs::read_to_string(&path).map_err(|error| {
            // The kernel's own words name no file.
            io::Error::new(error.kind(), format!("{path}: {error}"))
        })?;
        // A process that has ended and was not waited for yet has no memory, and no such lines.
        Self::parse(&status).ok_or_else(|| io::Error::other(format!("{path} names no VmRSS and VmData in kB")))
    }

    fn parse(status: &str) -> Option<Self> {
        let bytes = |name| {
            let kib = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            kib.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
        };
        Some(Self { resident: bytes("VmRSS")?, data: bytes("VmData")? })
    }
}

/// What a worker may have resident, in bytes: all of its mapped weights, all of the data that it had allocated
/// when it was ready (cells and compute buffers, of which it touches some only later), and [`GROWTH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Bound {
    weights: u64,
    data: u64,
}

impl Bound {
    fn bytes(self) -> u64 {
        self.weights.saturating_add(self.data).saturating_add(GROWTH)
    }

    /// What is wrong with a worker that has so much resident, if anything is.
    fn exceeded(self, resident: u64) -> Option<String> {
        let Self { weights, data } = self;
        (resident > self.bytes()).then(|| {
            format!(
                "it had {resident} bytes resident, over its bound of {} ({weights} of weights, {data} that it held \
                 when it was ready, and {GROWTH} more, which is more than serving needs)",
                self.bytes()
            )
        })
    }
}

/// Looks at a worker that is ready, every so often, until it has more resident than it may: returns what is
/// wrong. Never returns otherwise.
pub(super) async fn overgrown(bundle: &str, weights: u64, mut meter: Meter, every: Duration) -> String {
    let bound = match meter() {
        Ok(Memory { data, .. }) => Bound { weights, data },
        Err(error) => {
            tracing::warn!(bundle, %error, "the worker's memory is not watched, since it cannot be read");
            return pending().await;
        }
    };
    let mut looks = tokio::time::interval(every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        // A process without readable memory has ended, of which its supervision hears otherwise.
        if let Ok(now) = meter()
            && let Some(wrong) = bound.exceeded(now.resident)
        {
            return wrong;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn memory_is_read_in_bytes() {
        let status = "Name:\tbobbin\nVmRSS:\t    2048 kB\nVmData:\t     512 kB\nThreads:\t3\n";
        assert_eq!(Memory::parse(status), Some(Memory { resident: 2048 * 1024, data: 512 * 1024 }));
        assert_eq!(Memory::parse("Name:\tbobbin\nState:\tZ (zombie)\n"), None);
        let ours = Memory::of(std::process::id()).unwrap();
        assert!(ours.resident > 0 && ours.data > 0, "{ours:?}");
    }

    #[test]
    fn a_process_that_is_not_there_is_named() {
        let error = Memory::of(u32::MAX).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().contains("/proc/4294967295/status"), "{error}");
    }

    #[test]
    fn a_worker_may_touch_its_weights_and_its_data_and_grow_by_more_than_its_own_limit_allows() {
        let bound = Bound { weights: 100 * MIB, data: 300 * MIB };
        let own_limit = bound.data + 1024 * MIB;
        assert_eq!(bound.exceeded(bound.weights + own_limit), None);
        assert_eq!(bound.exceeded(1936 * MIB), None);
        let wrong = bound.exceeded(1936 * MIB + 1).unwrap();
        let (has, may) = ("had 2030043137 bytes resident", "over its bound of 2030043136");
        assert!(wrong.contains(has) && wrong.contains(may), "{wrong}");
    }

    #[test]
    fn a_bound_does_not_overflow() {
        assert_eq!(Bound { weights: u64::MAX, data: u64::MAX }.exceeded(u64::MAX), None);
    }
}
