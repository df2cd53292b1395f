//! A process's memory, as the kernel counts it.

use crate::Result;
use anyhow::Context;
use std::fs;

/// The resident memory of one process since some moment, what it starts not included.
#[derive(Debug)]
pub struct MemoryWatch {
    pid: u32,
    before: u64,
}

impl MemoryWatch {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        // 5 makes the kernel forget the peak so far: compiling components, before this, takes a lot.
        fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        Ok(Self { pid, before: resident(pid)? })
    }

    /// By how many bytes it was ever larger than when the watch began. The kernel keeps the peak itself, so none is
    /// missed between two looks.
    ///
    /// # Errors
    /// When it has ended.
    pub fn peak_growth(&self) -> Result<u64> {
        Ok((process_status(self.pid, "VmHWM:")? * 1024).saturating_sub(self.before))
    }
}

/// Resident memory of a process now, in bytes.
pub(crate) fn resident(pid: u32) -> Result<u64> {
    Ok(process_status(pid, "VmRSS:")? * 1024)
}

/// A number from the status of a process, such as `VmHWM:`; memory is in KiB.
///
/// # Errors
/// When it has ended, or its status has no such number.
pub fn process_status(pid: u32, key: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let number = status.lines().find_map(|line| line.strip_prefix(key)).with_context(|| format!("no {key}"))?;
    Ok(number.trim().trim_end_matches(" kB").parse()?)
}
