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
