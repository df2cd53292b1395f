//! What a process holds besides memory.

use crate::Result;
use anyhow::Context;
use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// Ticks of `/proc` in a second: `USER_HZ`, which is the same on every machine that this runs on.
const TICKS: u32 = 100;

/// Open files of a process, connections of clients apart: [`connections`].
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
        let links = links()?;
        let mut files = Self { links: 0, others: 0 };
        for target in open(pid)? {
            match socket(&target) {
                Some(inode) if links.contains(inode) => files.links += 1,
                Some(_connection) => {}
                None => files.others += 1,
            }
        }
        Ok(files)
    }
}

/// Sockets of a process that neither listen nor lead to workers: connections, also those that their client has left.
///
/// # Errors
/// When the process has ended.
pub fn connections(pid: u32) -> Result<usize> {
    let (links, listeners) = (links()?, listeners());
    let is_one =
        |target: &String| socket(target).is_some_and(|inode| !links.contains(inode) && !listeners.contains(inode));
    Ok(open(pid)?.iter().filter(|target| is_one(target)).count())
}

/// What the descriptors of a process lead to.
fn open(pid: u32) -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // One may be closed between the listing and the look.
        let Ok(target) = fs::read_link(entry?.path()) else { continue };
        targets.push(target.to_string_lossy().into_owned());
    }
    Ok(targets)
}

/// The inode of a socket, where a descriptor leads to one.
fn socket(target: &str) -> Option<&str> {
    target.strip_prefix("socket:[")?.strip_suffix(']')
}

/// Inodes of Unix sockets.
fn links() -> Result<HashSet<String>> {
    let all = fs::read_to_string("/proc/net/unix")?;
    Ok(all.lines().filter_map(|line| line.split_whitespace().nth(6)).map(str::to_owned).collect())
}

/// Inodes of TCP sockets that listen. What the kernel lists nowhere, as a connection that was reset, is none of them.
fn listeners() -> HashSet<String> {
    // A kernel without IPv6 has one table.
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
    let listening = |line: &str| {
        let mut words = line.split_whitespace().skip(3);
        (words.next()? == "0A").then(|| words.nth(5).map(str::to_owned))?
    };
    tables.iter().flat_map(|table| table.lines()).filter_map(listening).collect()
}

/// How long ago a process was started, to a hundredth of a second.
///
/// # Errors
/// When it has ended.
pub fn age(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').context("the process has no name")?;
    let started = rest.split_whitespace().nth(19).context("the process has no start")?.parse()?;
    let up = fs::read_to_string("/proc/uptime")?;
    let up = up.split_whitespace().next().context("the machine has no start")?.parse()?;
    Ok(Duration::try_from_secs_f64(up)?.saturating_sub(Duration::from_secs(started) / TICKS))
}

/// Folders in `/proc` of the threads of this name.
///
/// # Errors
/// When the process has ended.
pub fn threads_named(pid: u32, name: &str) -> Result<Vec<PathBuf>> {
    let mut named = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let folder = task?.path();
        // One that ends meanwhile has no name any more.
        if fs::read_to_string(folder.join("comm")).is_ok_and(|comm| comm.trim_end() == name) {
            named.push(folder);
        }
    }
    Ok(named)
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
