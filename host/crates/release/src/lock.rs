//! One host uses a state folder at a time: it holds the lock on a file there, which the kernel gives up when the host
//! ends, however it ends.

use crate::store::StoreError;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) const LOCK: &str = "lock";
/// How long children of a dead host may keep its lock before that is called an error.
const ORPHANS: Duration = Duration::from_secs(5);

/// Takes the lock, and writes into it who has it.
///
/// # Errors
/// [`StoreError::Locked`] where another host has it.
pub(crate) fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join(LOCK);
    let failed = |action, source| StoreError::Io { path: path.clone(), action, source };
    let mut options = File::options();
    let mut file = options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .map_err(|source| failed("opened", source))?;
    let asked = Instant::now();
    while let Err(errno) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
        if errno != rustix::io::Errno::WOULDBLOCK {
            return Err(failed("locked", errno.into()));
        }
        // Who holds it is a help, not a need.
        let pid = holder_of(&mut file);
        let alive = pid.is_none_or(is_alive);
        if alive || asked.elapsed() > ORPHANS {
            return Err(StoreError::Locked { folder: folder.to_owned(), pid });
        }
        // A host that was killed may leave children that it had just forked; they end by themselves.
        std::thread::sleep(Duration::from_millis(10));
    }
    let write = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    write(&mut file).map_err(|source| failed("written", source))?;
    Ok(file)
}

fn holder_of(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.rewind().ok()?;
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Whether a process runs. One that has ended and was not waited for has no command line any more.
fn is_alive(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}
