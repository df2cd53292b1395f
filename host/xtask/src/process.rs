//! Running commands: what is run, what it says, and errors that name the command, its end and the next step.

use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::{Duration, Instant};

/// How many lines of a captured command's output an error repeats.
const TAIL_LINES: usize = 40;

/// Why a task stopped. Every variant says what failed, where, why and what to do next.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line asks for something that does not exist.
    Usage { what: String, next: String },
    /// The machine or the working tree lacks something.
    Unready { what: String, next: String },
    /// A command could not be started.
    Start { shown: String, source: io::Error, next: String },
    /// A command ended without success. `said` is the end of its output where that was captured.
    Ended { shown: String, status: ExitStatus, said: String, next: String },
    /// A file or folder could not be used.
    File { action: &'static str, path: PathBuf, source: io::Error, next: String },
}

impl Failure {
    pub(crate) fn usage(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Usage { what: what.into(), next: next.into() }
    }

    pub(crate) fn unready(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Unready { what: what.into(), next: next.into() }
    }

    /// 2 for a wrong command line, the command's own status where one failed (128 plus the signal's number
    /// where one killed it), 1 for the rest.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } => 2,
            Self::Ended { status, .. } => {
                let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
                code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
            }
            Self::Unready { .. } | Self::Start { .. } | Self::File { .. } => 1,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let next = match self {
            Self::Usage { what, next } | Self::Unready { what, next } => {
                write!(out, "{what}")?;
                next
            }
            Self::Start { shown, source, next } => {
                write!(out, "`{shown}` could not be started: {source}")?;
                next
            }
            Self::Ended { shown, status, said, next } => {
                write!(out, "`{shown}` ended with {status}")?;
                for line in said.lines() {
                    write!(out, "\n  | {line}")?;
                }
                next
            }
            Self::File { action, path, source, next } => {
                write!(out, "could not {action} {}: {source}", path.display())?;
                next
            }
        };
        write!(out, "\n  next: {next}")
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Start { source, .. } | Self::File { source, .. } => Some(source),
            Self::Usage { .. } | Self::Unready { .. } | Self::Ended { .. } => None,
        }
    }
}

/// One command to run, and what to do if it fails.
pub(crate) struct Step {
    command: Command,
    next: String,
}

impl Step {
    pub(crate) fn new(program: impl AsRef<OsStr>) -> Self {
        Self { command: Command::new(program), next: "the output above says why".to_owned() }
    }

    /// Cargo itself, without the variables that `cargo run` set for this program: some build scripts watch
    /// them, and would run again whenever cargo is started another way.
    pub(crate) fn cargo() -> Self {
        let mut step = Self::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_set_by_cargo_run(name)) {
            step.command.env_remove(name);
        }
        step
    }

    pub(crate) fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub(crate) fn without_env(mut self, names: &[&str]) -> Self {
        for name in names {
            self.command.env_remove(name);
        }
        self
    }

    /// What a person does when this command fails.
    pub(crate) fn or_else(mut self, next: impl Into<String>) -> Self {
        self.next = next.into();
        self
    }

    /// Runs the command on this terminal.
    pub(crate) fn run(mut self) -> Result<(), Failure> {
        match self.command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(self.ended(status, String::new())),
            Err(source) => Err(self.not_started(source)),
        }
    }

    /// Runs the command out of sight and returns its standard output; an error repeats the end of what it said.
    pub(crate) fn output(mut self) -> Result<String, Failure> {
        match self.command.output() {
            Ok(output) if output.status.success() => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            Ok(output) => Err(self.ended(output.status, tail(&output))),
            Err(source) => Err(self.not_started(source)),
        }
    }

    /// Whether the command starts and succeeds, out of sight.
    pub(crate) fn succeeds(self) -> bool {
        self.output().is_ok()
    }

    /// Replaces this program with the command, which keeps its terminal, signals and exit status. Returns
    /// only if that fails.
    pub(crate) fn take_over(mut self) -> Failure {
        let source = self.command.exec();
        self.not_started(source)
    }

    fn ended(self, status: ExitStatus, said: String) -> Failure {
        Failure::Ended { shown: shown(&self.command), status, said, next: self.next }
    }

    fn not_started(self, source: io::Error) -> Failure {
        let next = match source.kind() {
            io::ErrorKind::NotFound => "install that program, or check that its folder is in PATH".to_owned(),
            _ => self.next,
        };
        Failure::Start { shown: shown(&self.command), source, next }
    }
}

/// The command as a person would type it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let mut words = vec![program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    let line = words.join(" ");
    match command.get_current_dir() {
        Some(folder) => format!("cd {} && {line}", folder.display()),
        None => line,
    }
}

fn is_set_by_cargo_run(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("CARGO_PKG_")
        || matches!(
            name.as_ref(),
            "CARGO_MANIFEST_DIR"
                | "CARGO_MANIFEST_PATH"
                | "CARGO_CRATE_NAME"
                | "CARGO_BIN_NAME"
                | "CARGO_PRIMARY_PACKAGE"
        )
}

fn tail(output: &Output) -> String {
    let said = if output.stderr.is_empty() { &output.stdout } else { &output.stderr };
    let said = String::from_utf8_lossy(said);
    let lines: Vec<&str> = said.trim_end().lines().collect();
    lines.get(lines.len().saturating_sub(TAIL_LINES)..).unwrap_or_default().join("\n")
}

/// Says which stage a task is in: one line each, with the time since the start.
pub(crate) struct Progress {
    started: Instant,
}

impl Progress {
    pub(crate) fn start() -> Self {
        Self { started: Instant::now() }
    }

    pub(crate) fn stage(&self, what: &str) {
        say(&format!("[{}] {what}", clock(self.started.elapsed())));
    }
}

fn clock(elapsed: Duration) -> String {
    format!("{:2}:{:02}", elapsed.as_secs() / 60, elapsed.as_secs() % 60)
}

/// Prints a failure to standard error.
pub(crate) fn complain(failure: &Failure) {
    say(&format!("error: {failure}"));
}

#[allow(clippy::print_stderr, reason = "this program's one voice; standard output is left to the commands it runs")]
fn say(line: &str) {
    eprintln!("{line}");
}

/// Arguments of any string-like kind as one list.
pub(crate) fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Step {
        Step::new("sh").args(["-c", script])
    }

    #[test]
    fn a_failed_command_reports_itself_its_status_its_words_and_the_next_step() {
        let failure = shell("echo first; echo cause >&2; exit 7").or_else("look there").output().unwrap_err();
        let text = failure.to_string();
        assert!(text.starts_with("`sh -c echo first; echo cause >&2; exit 7` ended with exit status: 7"), "{text}");
        assert!(text.contains("| cause") && text.ends_with("next: look there"), "{text}");
        assert_eq!(failure.exit_code(), 7);
    }

    #[test]
    fn a_command_killed_by_a_signal_has_the_shells_exit_code() {
        assert_eq!(shell("kill -TERM $$").run().unwrap_err().exit_code(), 128 + 15);
    }

    #[test]
    fn a_command_that_does_not_exist_is_named_with_its_cause() {
        let failure = Step::new("no-such-program-of-bobbin").run().unwrap_err();
        assert!(failure.to_string().contains("`no-such-program-of-bobbin` could not be started"), "{failure}");
        assert!(failure.source().is_some());
        assert_eq!(failure.exit_code(), 1);
    }

    #[test]
    fn a_wrong_command_line_exits_with_two() {
        assert_eq!(Failure::usage("what", "next").exit_code(), 2);
    }

    #[test]
    fn only_the_end_of_a_long_output_is_repeated() {
        let failure =
            shell("i=0; while [ $i -lt 90 ]; do echo line $i; i=$((i+1)); done; exit 1").output().unwrap_err();
        let text = failure.to_string();
        assert!(!text.contains("line 49\n") && text.contains("line 50\n") && text.contains("line 89\n"), "{text}");
    }

    #[test]
    fn a_shown_command_names_its_folder_and_not_the_programs() {
        let step = Step::new("/opt/toolchain/bin/cargo").args(["build", "--release"]).within(Path::new("guests"));
        assert_eq!(shown(&step.command), "cd guests && cargo build --release");
    }

    #[test]
    fn the_variables_of_cargo_run_do_not_reach_the_next_cargo() {
        assert!(is_set_by_cargo_run(OsStr::new("CARGO_PKG_NAME")));
        assert!(is_set_by_cargo_run(OsStr::new("CARGO_MANIFEST_DIR")));
        assert!(!is_set_by_cargo_run(OsStr::new("CARGO_TARGET_DIR")));
        assert!(!is_set_by_cargo_run(OsStr::new("CARGO_HOME")));
    }

    #[test]
    fn the_clock_counts_minutes_without_end() {
        assert_eq!(clock(Duration::from_secs(5)), " 0:05");
        assert_eq!(clock(Duration::from_secs(3725)), "62:05");
    }
}
