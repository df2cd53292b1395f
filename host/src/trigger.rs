//! `trigger-bobbin`: what `spin up` starts for an application with `[[trigger.bobbin]]`.
//!
//! Spin locks the application, writes it to a file, and says where in the environment. Before, it may ask which options
//! there are: as help for people, or as JSON for itself.

use crate::cli::Trigger;
use crate::source;
use crate::up::{self, Again};
use anyhow::{Context, Result, bail};
use bobbin_manifest::TriggerKind;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// The URL of the locked application.
const LOCKED_URL: &str = "SPIN_LOCKED_URL";
/// A folder of Spin's own, for as long as it runs.
const WORKING_DIR: &str = "SPIN_WORKING_DIR";
/// The folder of the spin.toml, where the application was read from one.
const LOCAL_APP_DIR: &str = "SPIN_LOCAL_APP_DIR";

/// Which options there are, in the form that Spin reads.
#[derive(Debug, Serialize)]
struct LaunchMetadata {
    all_flags: Vec<Flag>,
}

#[derive(Debug, Serialize)]
struct Flag {
    #[serde(skip_serializing_if = "Option::is_none")]
    short: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    long: Option<String>,
}

pub(crate) fn run(args: &Trigger, log: impl FnOnce() -> Result<()>) -> Result<ExitCode> {
    if args.help_args_only {
        command().print_long_help()?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.launch_metadata_only {
        eprintln!("{}", serde_json::to_string_pretty(&launch_metadata())?);
        return Ok(ExitCode::SUCCESS);
    }
    log()?;
    let locked = source::in_files(locked_application()?, None)?;
    let mut app = bobbin_manifest::load_locked(&locked, Some(&root()?))?;
    app.keep(TriggerKind::Bobbin);
    if app.triggers.is_empty() {
        bail!("{}: the application has no trigger of the type `bobbin`; write [[trigger.bobbin]]", locked.display());
    }
    up::start(&args.serve, &app, Again::CtrlC)
}

/// The options alone, without a command around them.
fn command() -> clap::Command {
    let command = clap::Command::new("trigger-bobbin").next_help_heading("Bobbin Trigger Options");
    Trigger::augment_args(command).disable_help_flag(true).help_template("{all-args}\n")
}

fn launch_metadata() -> LaunchMetadata {
    let command = command();
    let flag = |option: &clap::Arg| Flag {
        short: option.get_short().map(|short| format!("-{short}")),
        long: option.get_long().map(|long| format!("--{long}")),
    };
    LaunchMetadata { all_flags: command.get_arguments().map(flag).collect() }
}

fn variable(name: &str) -> Result<String> {
    std::env::var(name)
        .with_context(|| format!("{name} is not set; `spin up` starts this command, and people start `bobbin up`"))
}

fn locked_application() -> Result<PathBuf> {
    let text = variable(LOCKED_URL)?;
    let path = url::Url::parse(&text).ok().filter(|url| url.scheme() == "file").and_then(|url| url.to_file_path().ok());
    path.with_context(|| {
        format!("{LOCKED_URL} is \"{text}\", which is no URL of a file, such as file:///tmp/spin.lock")
    })
}

/// What relative paths of the application's settings are relative to, and where its state goes. An application from
/// elsewhere has no folder of its own.
fn root() -> Result<PathBuf> {
    match std::env::var_os(LOCAL_APP_DIR) {
        // Spin calls the folder in which it runs itself by an empty name.
        Some(folder) if folder.is_empty() => Ok(PathBuf::from(".")),
        Some(folder) => Ok(folder.into()),
        None => Ok(variable(WORKING_DIR)?.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spin_learns_every_option_by_its_names() {
        let json = serde_json::to_value(launch_metadata()).unwrap();
        let flags = json["all_flags"].as_array().unwrap();
        for long in ["--listen", "--admin-listen", "--state-dir", "--help-args-only"] {
            assert!(flags.iter().any(|flag| flag["long"] == long), "{long} is missing in {json}");
        }
        assert!(flags.iter().all(|flag| flag["long"] != "--file"), "the application is Spin's to choose: {json}");
    }
}
