//! What is said on standard error and standard output besides logs and documents, and to whom.

use bobbin_bundle::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::env;
use std::fmt::Arguments;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

/// How often a spinner shows that it lives.
const TICK: Duration = Duration::from_millis(120);

/// Says a line. Whoever read it may be gone by then, a log collector or a terminal: the host goes on without.
pub(crate) fn say(line: Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Why something that was printed did not arrive. The first time counts.
static LOST: OnceLock<String> = OnceLock::new();

/// Prints a document. Whoever closed standard output has seen enough; what else keeps it from arriving is told at the end
/// ([`lost`]).
pub(crate) fn print(text: &str) {
    let mut stdout = io::stdout().lock();
    if let Err(error) = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        not_printed(&error);
    }
}

/// Standard output could not be written.
pub(crate) fn not_printed(error: &io::Error) {
    if error.kind() != io::ErrorKind::BrokenPipe {
        // Later failures follow from the first.
        let _ = LOST.set(error.to_string());
    }
}

/// Why something that was printed did not arrive, if anything did not.
pub(crate) fn lost() -> Option<&'static str> {
    LOST.get().map(String::as_str)
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
    /// What is done with the bytes that are counted.
    counting: &'static str,
    /// Bytes of the round that is shown; none while a step is.
    round: Option<u64>,
    /// The file that is shown.
    file: String,
}

impl Bar {
    /// `wanted`: it was not forbidden, as `--json` does. `counting` says what is done with bytes that are counted.
    pub(crate) fn new(wanted: bool, counting: &'static str) -> Self {
        let bar = (wanted && is_watched() && !is_dumb()).then(|| {
            let bar = ProgressBar::new_spinner().with_style(style("{spinner} {elapsed}  {wide_msg}"));
            bar.set_message(counting);
            bar.enable_steady_tick(TICK);
            bar
        });
        Self { bar, counting, round: None, file: String::new() }
    }

    /// What is being done now, for as long as it takes.
    pub(crate) fn step(&mut self, message: &str) {
        self.round = None;
        if let Some(bar) = &self.bar {
            bar.set_style(style("{spinner} {elapsed}  {wide_msg}"));
            bar.set_message(message.to_owned());
        }
    }

    /// From now on bytes are counted for something else.
    pub(crate) fn counting(&mut self, what: &'static str) {
        (self.counting, self.round) = (what, None);
    }

    /// So much is done. One bar is for all the files of a round.
    pub(crate) fn at(&mut self, progress: &Progress<'_>) {
        let Some(bar) = &self.bar else { return };
        if self.round != Some(progress.all) {
            self.round = Some(progress.all);
            // In this order no picture between has more done than there is.
            bar.set_position(0);
            bar.set_length(progress.all);
            bar.set_prefix(self.counting);
            bar.set_style(crate::release::bytes_style());
            self.file.clear();
        }
        // Each change may be a picture, and there are so many a second.
        if self.file != progress.path {
            progress.path.clone_into(&mut self.file);
            bar.set_message(self.file.clone());
        }
        bar.set_position(progress.all_done);
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
