//! What a running host says on standard error, besides its log.

use std::fmt::Arguments;
use std::io::Write;

/// Says a line. Whoever read it may be gone by then, a log collector or a terminal: the host goes on without.
pub(crate) fn say(line: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
