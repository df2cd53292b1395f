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
mod open_files;
mod output;
mod pages;
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
use cli::{BundleCommand, Cli, Command};
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    bobbin_worker::memory::return_at_once();
    bobbin_worker::slice::short();
    let Cli { command } = cli::parse(std::env::args_os());
    // No HTTP client can be built before.
    bobbin_images::provide_tls();
    let result = match command {
        // Before anything else: a worker has no log, no threads and no runtime of the host's.
        Command::Worker(_) => return bobbin_worker::child::run(),
        Command::Examine => return bobbin_worker::child::examine(),
        Command::Up(up) => log().and_then(|()| up::run(&up)),
        Command::Watch(watch) => log().and_then(|()| watch::run(&watch)),
        Command::Trigger(trigger) => trigger::run(&trigger, log),
        Command::Infer(infer) => log().and_then(|()| infer::run(&infer)),
        Command::Bench(bench) => bench::run(&bench),
        Command::Bundle(BundleCommand::New(new)) => log().and_then(|()| bundles::new(&new)),
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
    let format = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    format.with_ansi(terminal::colours()).init();
    Ok(())
}
