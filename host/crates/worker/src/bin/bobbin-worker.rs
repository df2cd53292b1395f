//! The worker as an executable of its own: what a node with a GPU installs beside the host.
//!
//! `--probe` has it say what it can compute on.

use std::process::ExitCode;

fn main() -> ExitCode {
    bobbin_worker::memory::return_at_once();
    if std::env::args().any(|argument| argument == "--probe") {
        return bobbin_worker::child::probe();
    }
    bobbin_worker::child::run()
}
