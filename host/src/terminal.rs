//! What is said on standard error and standard output besides logs and documents, and to whom.

use indicatif::{ProgressBar, ProgressStyle};
use std::env;
use std::fmt::Arguments;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// How often a spinner shows that it lives.
const TICK: Duration = Duration::from_millis(120);

/// Says a line. Whoever read it may be gone by then, a log collector or a terminal: the host goes on without.
pub(crate) fn say(line: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints a document. Whoever closed standard output has seen enough.
pub(crate) fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

/// Whether somebody watches standard error, so that progress and summaries are worth showing.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}

/// Whether standard error may have colours: it is a terminal that has some, and nobody has set `NO_COLOR`.
pub(crate) fn colours() -> bool {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    is_watched() && !refused && !is_dumb()
}

/// A terminal that cannot move its cursor.
fn is_dumb() -> bool {
    env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// Progress on standard error, where somebody watches; elsewhere nothing at all.
pub(crate) struct Bar {
    bar: Option<ProgressBar>,
    /// Bytes of the files before the present one, and the present one.
    before: u64,
    file: (String, u64),
}

impl Bar {
    /// `wanted`: it was not forbidden, as `--json` does.
    pub(crate) fn new(wanted: bool, message: &str) -> Self {
        let bar = (wanted && is_watched() && !is_dumb()).then(|| {
            let bar = ProgressBar::new_spinner().with_style(style("{spinner} {elapsed}  {wide_msg}"));
            bar.set_message(message.to_owned());
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { bar, before: 0, file: (String::new(), 0) }
    }

    /// What is being done now, for as long as it takes.
    pub(crate) fn step(&self, message: &str) {
        if let Some(bar) = &self.bar {
            bar.set_style(style("{spinner} {elapsed}  {wide_msg}"));
            bar.set_message(message.to_owned());
        }
    }

    /// From now on bytes are counted, of so many in all.
    pub(crate) fn count(&mut self, total: u64) {
        (self.before, self.file) = (0, (String::new(), 0));
        if let Some(bar) = &self.bar {
            bar.set_style(crate::release::bytes_style());
            bar.set_length(total);
            bar.set_position(0);
        }
    }

    /// So many bytes of a file are done.
    pub(crate) fn at(&mut self, path: &str, done: u64) {
        if self.file.0 != path {
            self.before += self.file.1;
            path.clone_into(&mut self.file.0);
            if let Some(bar) = &self.bar {
                bar.set_message(path.to_owned());
            }
        }
        self.file.1 = done;
        if let Some(bar) = &self.bar {
            bar.set_position(self.before + done);
        }
    }
}

impl Drop for Bar {
    /// Leaves the terminal as it was.
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A template that this program got wrong is no reason to fail a command.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_wrong| ProgressStyle::default_spinner())
}
