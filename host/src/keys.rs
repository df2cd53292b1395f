//! The API keys of a host: where they are, what its routes make of them, and whether it may start as it is.

use crate::cli::Serve;
use anyhow::{Result, bail};
use bobbin_keys::{FILE_NAME, Keys};
use bobbin_manifest::{App, ErrorStyle, KeyPolicy, Route, Trigger};
use bobbin_server::Access;
use std::path::Path;
use std::sync::Arc;

/// Opens the keys of a host.
///
/// # Errors
/// Where there is a file that cannot be used.
pub(crate) fn open(args: &Serve, state: &Path) -> Result<Arc<Keys>> {
    let path = args.keys_file.clone().unwrap_or_else(|| state.join(FILE_NAME));
    Ok(Arc::new(Keys::open(path)?))
}

/// What holds for a route, in the server's terms.
pub(crate) fn access(app: &App, trigger: &Trigger) -> Access {
    let declared = app.access_of(trigger);
    let keys = match declared.keys {
        KeyPolicy::None => bobbin_server::KeyPolicy::None,
        KeyPolicy::Required => bobbin_server::KeyPolicy::Required,
        KeyPolicy::LoopbackOpen => bobbin_server::KeyPolicy::LoopbackOpen,
    };
    let errors = match declared.errors {
        ErrorStyle::Problem => bobbin_server::ErrorStyle::Problem,
        ErrorStyle::OpenAi => bobbin_server::ErrorStyle::OpenAi,
        ErrorStyle::Plain => bobbin_server::ErrorStyle::Plain,
    };
    Access { keys, errors }
}

/// Whether an application may be served where the host listens, with the keys that there are. What nobody can ask yet is
/// said on standard error.
///
/// # Errors
/// When routes would be open to other machines that are only meant to be open to this one.
pub(crate) fn check(app: &App, args: &Serve, keys: &Keys) -> Result<()> {
    if keys.is_configured() {
        return Ok(());
    }
    let step = format!("`{}`", create(args, keys));
    let open = routes(app, KeyPolicy::LoopbackOpen);
    if !open.is_empty() && !args.listen.ip().to_canonical().is_loopback() {
        let routes = open.join(", ");
        bail!(
            "{} says that {routes} needs an API key once there is one, and there is none: on {} other machines would be \
             answered without; make one with {step}, or listen on this machine alone: --listen 127.0.0.1:{}",
            app.manifest.display(),
            args.listen,
            args.listen.port()
        );
    }
    let closed = routes(app, KeyPolicy::Required);
    if !closed.is_empty() {
        eprintln!("note: nobody can ask {} yet, for want of an API key; make one with {step}", closed.join(", "));
    }
    Ok(())
}

fn routes(app: &App, policy: KeyPolicy) -> Vec<&str> {
    let with = |trigger: &&Trigger| app.access_of(trigger).keys == policy;
    let paths = app.triggers.iter().filter(with).filter_map(|trigger| match trigger.route()? {
        Route::Path(path) => Some(path.as_str()),
        Route::Private => None,
    });
    paths.collect()
}

/// The command that makes a key for this host.
fn create(args: &Serve, keys: &Keys) -> String {
    let file = keys.file().path();
    let folder = file.parent().filter(|_| args.keys_file.is_none());
    match folder {
        Some(folder) => format!("bobbin key create <who holds it> --state-dir {}", folder.display()),
        None => format!("bobbin key create <who holds it> --keys-file {}", file.display()),
    }
}
