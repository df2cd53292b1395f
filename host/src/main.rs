//! `bobbin`: an edge and serverless runtime for language models.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the command line")]

mod admin;
mod banner;
mod builds;
mod bundles;
mod cli;
mod client_tls;
mod hosts;
mod images;
mod kept;
mod key;
mod keys;
mod launcher;
mod messages;
mod open_files;
mod output;
mod release;
mod releases;
mod site;
mod source;
mod terminal;
mod trigger;
mod up;
mod variables;
mod watch;
mod workshop;

use anyhow::Context;
use clap::Parser;
use cli::{BundleCommand, Cli, Command};
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    bobbin_worker::memory::return_at_once();
    bobbin_worker::slice::short();
    let cli = Cli::parse_from(cli::arguments(std::env::args_os()));
    // No HTTP client can be built before.
    bobbin_images::provide_tls();
    let result = match cli.command {
        // Before anything else: a worker has no log, no threads and no runtime of the host's.
        Command::Worker(_) => return bobbin_worker::child::run(),
        Command::Up(up) => log().and_then(|()| up::run(&up)),
        Command::Watch(watch) => log().and_then(|()| watch::run(&watch)),
        Command::Trigger(trigger) => trigger::run(&trigger, log),
        Command::Bundle(BundleCommand::Verify(verify)) => bundles::verify(&verify),
        Command::Bundle(BundleCommand::Show(show)) => bundles::show(&show),
        Command::Bundle(BundleCommand::List(list)) => bundles::list(&list),
        Command::Release(release) => release::run(&release),
        Command::Key(key) => key::run(&key),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", bundles::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// Logs go to standard error; `BOBBIN_LOG` chooses what (`debug`, `bobbin_worker=trace`, ..).
fn log() -> anyhow::Result<()> {
    let chosen = std::env::var("BOBBIN_LOG").unwrap_or_else(|_unset| "warn,component=info".into());
    let filter = EnvFilter::try_new(&chosen).with_context(|| {
        format!("BOBBIN_LOG=\"{chosen}\" is no log filter; try \"info\", or \"bobbin_worker=debug,warn\"")
    })?;
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).init();
    Ok(())
}
