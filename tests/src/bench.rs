//! How a benchmark begins and ends.

use crate::Result;
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
pub fn in_turn<T>(round: usize, mut turns: [T; 2]) -> [T; 2] {
    if !round.is_multiple_of(2) {
        turns.reverse();
    }
    turns
}
