//! What a process holds besides memory.

use crate::Result;
use std::collections::HashSet;
use std::fs;

/// Open files of a process, connections of clients apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Files {
    /// Ends of links to workers.
    pub links: usize,
    /// Whatever else has a descriptor.
    pub others: usize,
}

impl Files {
    /// Those that are open now.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn of(pid: u32) -> Result<Self> {
        let links = fs::read_to_string("/proc/net/unix")?;
        let links: HashSet<&str> = links.lines().filter_map(|line| line.split_whitespace().nth(6)).collect();
        let mut files = Self { links: 0, others: 0 };
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
            // One may be closed between the listing and the look.
            let Ok(target) = fs::read_link(entry?.path()) else { continue };
            let target = target.to_string_lossy();
            match target.strip_prefix("socket:[").and_then(|inode| inode.strip_suffix(']')) {
                Some(inode) if links.contains(inode) => files.links += 1,
                Some(_connection) => {}
                None => files.others += 1,
            }
        }
        Ok(files)
    }
}

/// Children of a process, those included that have ended and were not waited for.
///
/// # Errors
/// When the process has ended.
pub fn children(pid: u32) -> Result<Vec<u32>> {
    let mut all = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let children = fs::read_to_string(task?.path().join("children")).unwrap_or_default();
        all.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    Ok(all)
}

/// How many children of a process have ended and were not waited for.
///
/// # Errors
/// When the process has ended.
pub fn zombies(pid: u32) -> Result<usize> {
    let ended =
        |pid: &u32| fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains("State:\tZ"));
    Ok(children(pid)?.iter().filter(|pid| ended(pid)).count())
}
