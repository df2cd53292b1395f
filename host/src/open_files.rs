//! How many files the process may have open. Guests with file mounts open some of the host's.

use bobbin_loader::Unit;
use bobbin_runtime::OPEN_HANDLES;
use bobbin_server::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the host itself opens, at most: connections, models, logs.
const OWN: u64 = 4096;

/// Lets the process open as many files as the system allows it, where guests open some; and says where that may not do.
pub(crate) fn allow(units: &[Unit], limits: &Limits) {
    if units.iter().all(|unit| unit.mounts.is_empty()) {
        return;
    }
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let need = limits.max_in_flight as u64 * OPEN_HANDLES + OWN;
    if let Some(allowed) = getrlimit(Resource::Nofile).current.filter(|allowed| *allowed < need) {
        tracing::warn!(
            allowed,
            need,
            "guests that open all the files they may would leave none for connections; raise the limit (ulimit -n) or \
             lower max_in_flight"
        );
    }
}
