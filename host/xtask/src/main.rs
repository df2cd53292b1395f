//! The project's own tasks: set-up, build, run, test, checks, benchmarks. `cargo xtask --help` lists them.
//!
//! This crate has no dependencies outside of the project, because it is compiled before anything is known to be
//! installed.

mod arguments;
mod browser;
mod checks;
mod clients;
mod features;
mod guests;
mod host;
mod means;
mod mounts;
mod node;
mod plugin;
mod prerequisites;
mod process;
mod project;
mod python;
mod servers;
mod synthesize;

use std::process::ExitCode;

use arguments::Task;
use process::{Failure, Progress};
use project::Project;

/// The benchmark that has components of its own.
const BENCHED: &str = "spin";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            process::complain(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run() -> Result<(), Failure> {
    let task = arguments::parse(std::env::args_os().skip(1))?;
    let project = Project::here()?;
    let progress = Progress::start();
    match task {
        Task::Help(command) => arguments::help(command, &project.benches()?),
        Task::Up(arguments) => {
            build(&project, &progress)?;
            Err(host::up(&project, &progress, arguments))
        }
        Task::Build => {
            build(&project, &progress)?;
            progress.stage(&format!("built {}", project.bobbin().display()));
            Ok(())
        }
        Task::Test(arguments) => {
            prerequisites::for_testing(&progress)?;
            test(&project, &progress, arguments, &[])
        }
        Task::Ci => {
            prerequisites::for_testing(&progress)?;
            prerequisites::for_checking(&progress)?;
            // First, since what cannot be tested here should be known before the checks have taken their minutes.
            let mut required = servers::required(&progress)?;
            required.extend(mounts::required(&progress)?);
            required.push(plugin::REQUIRE);
            required.extend(python::build(&project, &progress)?);
            required.extend(browser::prepare(&project, &progress)?);
            required.extend(clients::install(&project, &progress)?);
            checks::all(&project, &progress)?;
            test(&project, &progress, Vec::new(), &required)
        }
        Task::Bench { name, arguments } => {
            let names = arguments::chosen_benches(name, project.benches()?)?;
            build(&project, &progress)?;
            // Some benchmarks run components that misbehave, and one has components of its own.
            guests::build_fixtures(&project, &progress)?;
            if names.iter().any(|name| name == BENCHED) {
                guests::build_benched(&project, &progress)?;
            }
            host::bench(&project, &progress, &names, &arguments)
        }
        Task::Plugin => {
            build(&project, &progress)?;
            plugin::pack(&project, &progress)
        }
        Task::Synthesize { shape, quant, out } => synthesize::write(&progress, &shape, &quant, &out),
    }
}

/// What `up`, `build` and `bench` share: a machine that can build, the components, the binary.
fn build(project: &Project, progress: &Progress) -> Result<(), Failure> {
    prerequisites::for_building(progress)?;
    guests::build(project, progress)?;
    host::build(project, progress)
}

/// Builds what the tests run and becomes the test runner, whose summary is then the last line. `required` is a
/// variable that makes a test fail where it would else be skipped.
fn test(
    project: &Project,
    progress: &Progress,
    arguments: Vec<std::ffi::OsString>,
    required: &[&str],
) -> Result<(), Failure> {
    guests::build(project, progress)?;
    guests::build_fixtures(project, progress)?;
    guests::build_conformance(project, progress)?;
    guests::build_examples(project, progress)?;
    python::build(project, progress)?;
    browser::prepare(project, progress)?;
    clients::install(project, progress)?;
    // Arguments choose among the host's tests; whoever gives some has those in mind.
    if arguments.is_empty() {
        guests::test(project, progress)?;
    }
    host::build(project, progress)?;
    if arguments.is_empty() {
        plugin::pack(project, progress)?;
    }
    host::doc_tests(project, progress)?;
    Err(host::test(project, progress, arguments, required))
}
