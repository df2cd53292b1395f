//! Files that people name: they may name a pipe.

use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::path::Path;

/// Opens a regular file. Anything else is an error and no wait: a pipe would have its reader wait for whoever writes into
/// it, and no signal would end that.
///
/// # Errors
/// What the system says; that it is no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let is_file = |is: bool| if is { Ok(()) } else { Err(io::Error::other("it is no regular file")) };
    is_file(std::fs::metadata(path)?.is_file())?;
    // Between the look and the opening something may have changed; this flag makes that an error, too.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    is_file(file.metadata()?.is_file())?;
    Ok(file)
}
