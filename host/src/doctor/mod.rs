//! `bobbin doctor`: what this machine can do, what prevents running, and what would make it faster or safer.
//!
//! `machine` looks, `judge` decides what to say of it, without looking at anything, and `view` says it.

mod cgroup;
mod cpu;
mod judge;
mod machine;

use crate::failure::Failure;
use crate::release::{Exit, table};
use crate::terminal::print;
use clap::Args;
use judge::{Finding, State, judge};
use machine::Machine;
use serde_json::json;
use std::process::ExitCode;

/// For `--help`.
pub(crate) const HELP: &str = "Examples:
  bobbin doctor
  bobbin doctor --json

Exit codes:
  0  nothing prevents running
  1  something does
  2  the command line makes no sense";

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Looks at the machine and says what it found.
///
/// # Errors
/// What prevents running; for programs the findings stand beside it.
pub(crate) fn run(args: &Doctor) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let machine = runtime.block_on(Machine::look());
    let findings = judge(&machine);
    let fails: Vec<&str> =
        findings.iter().filter(|finding| finding.state == State::Fails).map(|finding| finding.about).collect();
    let document = json!({
        "ok": fails.is_empty(),
        "version": env!("CARGO_PKG_VERSION"),
        "build": machine.build,
        "findings": findings,
    });
    if !args.json {
        print(&text(&findings));
    }
    if !fails.is_empty() {
        let message = format!("nothing runs on this machine until this is mended: {}", fails.join(", "));
        return Err(Failure::new(Exit::Failed, message).beside(document));
    }
    if args.json {
        print(&format!("{document:#}\n"));
    }
    Ok(ExitCode::SUCCESS)
}

/// A line for each finding, and one below it where there is something to do.
fn text(findings: &[Finding]) -> String {
    let rows = findings.iter().flat_map(|finding| {
        let line = [finding.state.as_str().to_owned(), finding.about.to_owned(), finding.says.clone()];
        let next = finding.next.as_ref().map(|next| [String::new(), String::new(), format!("-> {next}")]);
        [Some(line), next].into_iter().flatten()
    });
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    let end = match (count(State::Fails), count(State::Note)) {
        (0, 0) => "nothing prevents running, and nothing here would make it faster".to_owned(),
        (0, notes) => format!("nothing prevents running; {notes} of these could be better"),
        (fails, _) => format!("{fails} of these prevent running"),
    };
    format!("{}\n{end}\n", table(&rows.collect::<Vec<_>>(), ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_done_stands_below_what_it_is_about() {
        let ok = Finding::ok("cores", "2");
        let note = Finding::note("gpu", "a GPU, and no worker for it", "install one");
        let all = text(&[ok.clone(), note]);
        assert!(all.contains("note  gpu    a GPU, and no worker for it\n             -> install one\n"), "{all}");
        assert!(all.ends_with("1 of these could be better\n"), "{all}");
        assert!(text(&[ok]).contains("nothing here would make it faster"));
    }
}
