//! Every folder of tests/conformance is a test, and so is every example of docs/spin.md: the real binary serves the
//! application, and a real client sends the requests. A harness of its own finds them when it runs, so that a new one is a
//! test without being named anywhere.

use bobbin_tests::{Example, Result, behaviours, examples};
use libtest_mimic::{Arguments, Failed, Trial};
use std::process::ExitCode;

fn main() -> Result<ExitCode> {
    let arguments = Arguments::from_args();
    let behaviours = behaviours()?.into_iter().map(|behaviour| {
        let name = behaviour.name().to_owned();
        Trial::test(name, move || run(behaviour.run()))
    });
    let examples = match examples() {
        Ok(examples) => examples.into_iter().map(trial_of).collect(),
        Err(error) => vec![Trial::test("docs/spin.md", move || Err(Failed::from(format!("{error:#}"))))],
    };
    Ok(libtest_mimic::run(&arguments, behaviours.chain(examples).collect()).exit_code())
}

fn trial_of(example: Example) -> Trial {
    let name = example.name().to_owned();
    Trial::test(name, move || run(example.run()))
}

fn run(test: impl Future<Output = Result>) -> std::result::Result<(), Failed> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(test).map_err(|error| Failed::from(format!("{error:#}")))
}
