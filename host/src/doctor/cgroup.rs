//! The limits of this process's control groups: processor time and memory. The tightest of a group and of those that it
//! lies in counts.

use std::path::{Path, PathBuf};

/// Where control groups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// What the groups allow.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Limits {
    /// Cores' worth of processor time; none where it is not limited.
    pub(super) cores: Option<f64>,
    /// Periods in which the group had to wait because it had used up its time, and all periods.
    pub(super) throttled: Option<(u64, u64)>,
    /// Bytes; none where memory is not limited.
    pub(super) memory: Option<u64>,
}

/// Reads them, of files that `read` knows.
pub(super) fn limits(read: impl Fn(&Path) -> Option<String>) -> Limits {
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let mut limits = Limits::default();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(group)) = (fields.next(), fields.next(), fields.next()) else {
            continue;
        };
        if number == "0" && controllers.is_empty() {
            for folder in folders(Path::new(MOUNT), group) {
                limits.cores = least(limits.cores, quota_v2(read(&folder.join("cpu.max"))));
                limits.memory = limits.memory.into_iter().chain(number_in(read(&folder.join("memory.max")))).min();
                limits.throttled = limits.throttled.or_else(|| throttled(&read(&folder.join("cpu.stat"))?));
            }
        }
        for controller in controllers.split(',') {
            for folder in folders(&Path::new(MOUNT).join(controller), group) {
                match controller {
                    "cpu" => {
                        let of = |name| number_in::<i64>(read(&folder.join(name)));
                        limits.cores = least(limits.cores, quota(of("cpu.cfs_quota_us"), of("cpu.cfs_period_us")));
                        limits.throttled = limits.throttled.or_else(|| throttled(&read(&folder.join("cpu.stat"))?));
                    }
                    "memory" => {
                        // Without a limit it is the greatest number of pages there can be.
                        let limit = number_in::<u64>(read(&folder.join("memory.limit_in_bytes")));
                        let limit = limit.filter(|limit| *limit < 1 << 60);
                        limits.memory = limits.memory.into_iter().chain(limit).min();
                    }
                    _ => {}
                }
            }
        }
    }
    limits
}

/// The folders of a group and of all that it lies in.
fn folders(root: &Path, group: &str) -> Vec<PathBuf> {
    Path::new(group.trim_start_matches('/')).ancestors().map(|ancestor| root.join(ancestor)).collect()
}

fn least(a: Option<f64>, b: Option<f64>) -> Option<f64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// "max" is no number, and no limit.
fn number_in<N: std::str::FromStr>(text: Option<String>) -> Option<N> {
    text?.trim().parse().ok()
}

fn quota(quota: Option<i64>, period: Option<i64>) -> Option<f64> {
    let (quota, period) = (quota.filter(|quota| *quota > 0)?, period.filter(|period| *period > 0)?);
    Some(quota as f64 / period as f64)
}

/// `200000 100000`.
fn quota_v2(text: Option<String>) -> Option<f64> {
    let text = text?;
    let mut fields = text.split_whitespace().map(|field| field.parse().ok());
    quota(fields.next()?, fields.next()?)
}

fn throttled(stat: &str) -> Option<(u64, u64)> {
    let of = |name: &str| stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    Some((of("nr_throttled ")?, of("nr_periods ")?)).filter(|(_, periods)| *periods > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(files: &[(&str, &str)]) -> Limits {
        limits(|path| files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| (*text).to_owned()))
    }

    #[test]
    fn the_tightest_limit_on_the_way_up_counts() {
        let found = of(&[
            ("/proc/self/cgroup", "0::/pod/host\n"),
            ("/sys/fs/cgroup/pod/host/cpu.max", "max 100000\n"),
            ("/sys/fs/cgroup/pod/cpu.max", "150000 100000\n"),
            ("/sys/fs/cgroup/pod/host/memory.max", "4000\n"),
            ("/sys/fs/cgroup/pod/memory.max", "max\n"),
            ("/sys/fs/cgroup/pod/cpu.stat", "usage_usec 5\nnr_periods 10\nnr_throttled 4\n"),
        ]);
        assert_eq!(found, Limits { cores: Some(1.5), throttled: Some((4, 10)), memory: Some(4000) });
    }

    #[test]
    fn the_older_version_says_the_same_in_other_words() {
        let found = of(&[
            ("/proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a\n"),
            ("/sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "50000\n"),
            ("/sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n"),
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        assert_eq!(found, Limits { cores: Some(0.5), throttled: None, memory: None });
        assert_eq!(of(&[]), Limits::default());
    }
}
