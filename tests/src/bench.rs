//! How a benchmark begins and ends.

use crate::{Result, TestHost};
use anyhow::ensure;
use rustix::process::Signal;
use std::process::ExitCode;

/// Runs a benchmark to its end, and says why where it failed.
pub fn bench(run: impl Future<Output = Result>) -> ExitCode {
    let runtime = tokio::runtime::Runtime::new();
    match runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(run)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Two that are compared, in the order of their turns: whoever begins changes from round to round.
pub fn in_turn<T, const N: usize>(round: usize, mut turns: [T; N]) -> [T; N] {
    if !round.is_multiple_of(2) {
        turns.reverse();
    }
    turns
}

/// Ends a host as its users do. What it and its workers computed counts for this process afterwards.
///
/// # Errors
/// When it does not end, or not well.
pub async fn stop(mut host: TestHost) -> Result {
    host.signal(host.pid()?, Signal::TERM)?;
    let code = host.ended().await?;
    ensure!(code == 0, "the host ended with {code}: {}", host.log().lines().last().unwrap_or_default());
    Ok(())
}
