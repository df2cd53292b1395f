//! How much memory this host could still use: the machine's, within the limits of its control groups.

use std::path::{Path, PathBuf};

/// Where control groups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";

/// Bytes that could be used now without taking them from anybody: what the kernel calls available, or what is left
/// under the tightest limit of this process's control groups (version 1 or 2) where that is less. Cached pages of
/// files that nobody used lately count as free. `None` where the kernel does not say.
///
/// Reads a handful of small files, each time.
#[must_use]
pub fn available_memory() -> Option<u64> {
    // A file that is not there says nothing, and most of those that are tried are not.
    available(|path| std::fs::read_to_string(path).ok())
}

/// The same, of files that `read` knows.
fn available(read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let machine = mem_available(&read(Path::new("/proc/meminfo"))?)?;
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let rooms = groups.lines().filter_map(Version::of_line).flat_map(|(version, group)| {
        let rooms: Vec<u64> = version.folders(&group).iter().filter_map(|folder| version.room(folder, &read)).collect();
        rooms
    });
    Some(rooms.fold(machine, u64::min))
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn mem_available(meminfo: &str) -> Option<u64> {
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    kib.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// The two ways in which control groups say things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    /// What a line of `/proc/self/cgroup` says of the group that bounds memory: `4:memory:/a/b`, or `0::/a/b`.
    fn of_line(line: &str) -> Option<(Self, String)> {
        let mut fields = line.splitn(3, ':');
        let (number, controllers, group) = (fields.next()?, fields.next()?, fields.next()?);
        if number == "0" && controllers.is_empty() {
            return Some((Self::Two, group.to_owned()));
        }
        let memory = controllers.split(',').any(|controller| controller == "memory");
        memory.then(|| (Self::One, group.to_owned()))
    }

    /// The folders of a group and of all that it lies in: a limit on any of them counts. Inside a container the
    /// group's path may be that of the machine, and the mount begins further down; then the last one is the group.
    fn folders(self, group: &str) -> Vec<PathBuf> {
        let root = match self {
            Self::One => Path::new(MOUNT).join("memory"),
            Self::Two => PathBuf::from(MOUNT),
        };
        let within = Path::new(group.trim_start_matches('/'));
        within.ancestors().map(|ancestor| root.join(ancestor)).collect()
    }

    /// Bytes left under the limit of one group; `None` where it has none.
    fn room(self, folder: &Path, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
        let (limit, usage, inactive) = match self {
            Self::One => ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
            Self::Two => ("memory.max", "memory.current", "inactive_file"),
        };
        let number = |file| read(&folder.join(file))?.trim().parse::<u64>().ok();
        // "max" is no number, and no limit.
        let (limit, usage) = (number(limit)?, number(usage)?);
        let stat = read(&folder.join("memory.stat")).unwrap_or_default();
        let inactive = stat.lines().find_map(|line| line.strip_prefix(inactive)?.trim().parse::<u64>().ok());
        Some(limit.saturating_sub(usage.saturating_sub(inactive.unwrap_or(0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str =
        "MemTotal:       24600000 kB\nMemFree:         100 kB\nMemAvailable:    2000 kB\nBuffers: 1 kB\n";

    fn available_with(files: &[(&str, &str)]) -> Option<u64> {
        available(|path| {
            let found = files.iter().find(|(name, _)| Path::new(name) == path);
            found.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn without_control_groups_it_is_what_the_machine_has() {
        assert_eq!(available_with(&[("/proc/meminfo", MEMINFO)]), Some(2000 * 1024));
        assert_eq!(available_with(&[("/proc/meminfo", "MemTotal: 5 kB\n")]), None);
        assert_eq!(available_with(&[]), None);
    }

    #[test]
    fn the_limit_of_a_group_counts_and_files_that_nobody_uses_are_free() {
        let files = [
            ("/proc/meminfo", MEMINFO),
            ("/proc/self/cgroup", "0::/pod/host\n"),
            ("/sys/fs/cgroup/pod/host/memory.max", "1000000\n"),
            ("/sys/fs/cgroup/pod/host/memory.current", "900000\n"),
            ("/sys/fs/cgroup/pod/host/memory.stat", "anon 5\nactive_file 7\ninactive_file 300000\n"),
        ];
        assert_eq!(available_with(&files), Some(400_000));
    }

    #[test]
    fn the_tightest_of_a_group_and_those_around_it_counts() {
        let files = [
            ("/proc/meminfo", MEMINFO),
            ("/proc/self/cgroup", "0::/pod/host\n"),
            ("/sys/fs/cgroup/pod/host/memory.max", "max\n"),
            ("/sys/fs/cgroup/pod/host/memory.current", "900000\n"),
            ("/sys/fs/cgroup/pod/memory.max", "1000000\n"),
            ("/sys/fs/cgroup/pod/memory.current", "1200000\n"),
        ];
        assert_eq!(available_with(&files), Some(0), "it is over its limit already");
    }

    #[test]
    fn groups_of_the_first_version_say_it_in_their_own_words() {
        let group = "9:name=systemd:/\n4:cpu,memory:/box\n0::/\n";
        let files = [
            ("/proc/meminfo", MEMINFO),
            ("/proc/self/cgroup", group),
            ("/sys/fs/cgroup/memory/box/memory.limit_in_bytes", "1000000\n"),
            ("/sys/fs/cgroup/memory/box/memory.usage_in_bytes", "600000\n"),
            ("/sys/fs/cgroup/memory/box/memory.stat", "inactive_file 9\ntotal_inactive_file 100000\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "700000\n"),
        ];
        assert_eq!(available_with(&files), Some(500_000));
    }

    #[test]
    fn a_container_that_sees_only_its_own_part_of_the_mount_finds_its_limit_there() {
        let files = [
            ("/proc/meminfo", MEMINFO),
            ("/proc/self/cgroup", "4:memory:/docker/0123\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000000\n"),
            ("/sys/fs/cgroup/memory/memory.usage_in_bytes", "250000\n"),
        ];
        assert_eq!(available_with(&files), Some(750_000));
    }

    #[test]
    fn this_machine_says_something() {
        assert!(available_memory().is_some_and(|bytes| bytes > 0));
    }
}
