//! `bobbin`: an edge and serverless runtime for language models.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

mod admin;
mod alone;
mod banner;
mod bench;
mod builds;
mod bundles;
mod cli;
mod client_tls;
mod doctor;
mod failure;
mod hosts;
mod images;
mod infer;
mod kept;
mod key;
mod keys;
mod launcher;
mod messages;
mod missing;
mod open_files;
mod output;
mod pages;
mod release;
mod releases;
mod site;
mod source;
mod terminal;
mod threads;
mod trigger;
mod up;
mod usage;
mod variables;
mod watch;
mod workshop;

use anyhow::Context;
use cli::{BundleCommand, Cli, Command};
use failure::Failure;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// What is logged where nobody says: of a host, and of a command, which itself says what became of its worker.
const HOST_LOG: &str = "warn,component=info";
const COMMAND_LOG: &str = "warn,bobbin_worker::supervisor=off";

fn main() -> ExitCode {
    bobbin_worker::memory::return_at_once();
    bobbin_worker::slice::short();
    let Cli { command } = match cli::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(ended) => return ended,
    };
    // No HTTP client can be built before.
    bobbin_images::provide_tls();
    let json = command.json();
    let result = match command {
        // Before anything else: a worker has no log, no threads and no runtime of the host's.
        Command::Worker(_) => return bobbin_worker::child::run(),
        Command::Examine => return bobbin_worker::child::examine(),
        Command::Up(up) => any(log(HOST_LOG).and_then(|()| up::run(&up))),
        Command::Watch(watch) => any(log(HOST_LOG).and_then(|()| watch::run(&watch))),
        Command::Trigger(trigger) => any(trigger::run(&trigger, || log(HOST_LOG))),
        Command::Infer(infer) => any(log(COMMAND_LOG)).and_then(|()| infer::run(&infer)),
        Command::Bench(bench) => bench::run(&bench),
        Command::Bundle(BundleCommand::New(new)) => any(log(COMMAND_LOG)).and_then(|()| bundles::new(&new)),
        Command::Bundle(BundleCommand::Import(import)) => bundles::import(&import),
        Command::Bundle(BundleCommand::Verify(verify)) => bundles::verify(&verify),
        Command::Bundle(BundleCommand::Show(show)) => bundles::show(&show),
        Command::Bundle(BundleCommand::List(list)) => bundles::list(&list),
        Command::Release(release) => release::run(&release),
        Command::Key(key) => key::run(&key),
        Command::Doctor(doctor) => doctor::run(&doctor),
        Command::Completions(completions) => Ok(pages::completions(&completions)),
        Command::Man(man) => pages::man(&man),
    };
    failure::told(json, result)
}

/// What a host reports has no exit codes.
fn any<T>(result: anyhow::Result<T>) -> Result<T, Failure> {
    result.map_err(|error| Failure::any(&error))
}

/// Logs go to standard error; `BOBBIN_LOG` chooses what (`debug`, `bobbin_worker=trace`, ..).
fn log(otherwise: &str) -> anyhow::Result<()> {
    let chosen = std::env::var("BOBBIN_LOG").unwrap_or_else(|_unset| otherwise.to_owned());
    let filter = EnvFilter::try_new(&chosen).with_context(|| {
        format!("BOBBIN_LOG=\"{chosen}\" is no log filter; try \"info\", or \"bobbin_worker=debug,warn\"")
    })?;
    let format = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    format.with_ansi(terminal::colours()).init();
    Ok(())
}
