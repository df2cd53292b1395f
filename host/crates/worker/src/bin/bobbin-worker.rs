//! The worker as an executable of its own: what a node with a GPU installs beside the host.

use std::process::ExitCode;

fn main() -> ExitCode {
    bobbin_worker::memory::return_at_once();
    bobbin_worker::child::run()
}
