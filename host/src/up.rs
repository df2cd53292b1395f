//! `bobbin up`: check everything, bring the models to life, serve, and stop without cutting an answer.

use crate::banner;
use crate::builds;
use crate::cli::{Serve, Up};
use crate::launcher::Workers;
use crate::releases;
use crate::site::{self, Operator, Site};
use crate::source;
use crate::terminal::say;
use crate::watch::Changes;
use anyhow::{Context, Result};
use bobbin_manifest::App;
use bobbin_server::{Ledger, Listeners, Metrics, Server, Sockets, Tls};
use bobbin_worker::supervisor::{Gpu, Search, Supervisor, SupervisorConfig};
use futures::FutureExt;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long a worker may take to end once nothing needs it any more.
const WORKER_GRACE: Duration = Duration::from_secs(2);

pub(crate) fn run(args: &Up) -> Result<ExitCode> {
    if args.build {
        builds::run(&bobbin_manifest::open(&args.file, args.profile.as_deref())?)?;
    }
    let app = source::load(args)?;
    start(&args.serve, &app, Again::AnySignal)
}

/// Serves an application until a signal stops it.
pub(crate) fn start(args: &Serve, app: &App, again: Again) -> Result<ExitCode> {
    // Without changes there is one way to end.
    start_on(args, app, again, None, None)?;
    Ok(ExitCode::SUCCESS)
}

/// Why a host ended.
pub(crate) enum Ended {
    /// A signal stopped it.
    Stopped,
    /// The application has become one that takes a new host, which listens where the old one did.
    Changed(Box<App>, Sockets),
}

/// Serves an application, and whatever `changes` makes of it, until a signal stops the host or it takes another one.
/// `sockets` are those of the host before it.
pub(crate) fn start_on(
    args: &Serve,
    app: &App,
    again: Again,
    sockets: Option<Sockets>,
    changes: Option<&mut Changes<'_>>,
) -> Result<Ended> {
    // Here, since a worker begins in the same `main` and may have no thread besides its own.
    bobbin_worker::memory::return_soon();
    app.check_supported()?;
    for warning in &app.warnings {
        say(format_args!("warning: {warning}"));
    }
    let operator = Operator::new(args, app)?;
    let runtime = operator.threads.runtime()?;
    let result = runtime.block_on(serve(&operator, app, again, sockets, changes));
    match result {
        // The next host opens what this one has open: nothing of it may be left.
        Ok(Ended::Changed(..)) => runtime.shutdown_timeout(WORKER_GRACE),
        // A bundle that is still being hashed is no reason to stay.
        Ok(Ended::Stopped) | Err(_) => runtime.shutdown_background(),
    }
    result
}

async fn serve(
    operator: &Operator<'_>,
    app: &App,
    again: Again,
    sockets: Option<Sockets>,
    changes: Option<&mut Changes<'_>>,
) -> Result<Ended> {
    let args = operator.args;
    let limits = site::limits(app, args);
    let tls = args.tls_cert.as_deref().zip(args.tls_key.as_deref());
    let tls = tls.map(|(certificates, key)| Tls::read(certificates, key)).transpose()?;
    let state_dir = operator.state_dir(app);
    let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
    let ledger = Arc::new(Ledger::new(metrics, Arc::clone(&operator.keys)));
    let search = gpu(args).await;
    let cores = operator.threads.compute;
    let supervised = SupervisorConfig { gpu: search.gpu.clone(), cores, ..SupervisorConfig::default() };
    let supervisor = Supervisor::new(supervised).context("no thread to start workers from")?;
    let workers = Workers::new(supervisor, args.model_memory);
    let (releases, Site { served, runtime }) = tokio::task::block_in_place(|| {
        // Before anything is built: another host may have the state.
        let releases = releases::open(app, &state_dir, workers, Arc::clone(&ledger) as _)?;
        Ok::<_, anyhow::Error>((releases, operator.prepare(app, &limits)?))
    })?;
    let channels = banner::channels(&served.subscribers);
    let server = Server::new(served, Arc::clone(&releases), &ledger, limits.clone())?;

    // Nobody would get an answer from an application without routes.
    let listen = app.answers_requests().then_some(args.listen);
    let mut listeners = match sockets {
        Some(sockets) => sockets.listen(listen).await?,
        None => Listeners::bind(listen, args.admin_listen, args.admin_token.clone()).await?,
    };
    if let Some(tls) = tls {
        listeners = listeners.with_tls(tls);
    }
    let (listen, admin) = (listeners.app_addr(), listeners.admin_addr());
    let sockets = changes.is_some().then(|| listeners.sockets()).transpose()?;
    runtime.keep_from(admin);
    let stop = CancellationToken::new();
    let replacer = server.replacer();
    let serving = tokio::spawn(server.serve(listeners, stop.clone()));
    let signals = tokio::spawn(stop_on_signal(stop.clone(), again)?);
    let _watch = releases::watch(app, &state_dir, &releases)?;
    tokio::select! {
        () = releases.bring_to_life() => {
            // Somebody may have made keys while the models were loaded.
            tokio::task::block_in_place(|| operator.keys.refresh());
            // Nobody knows whom the certificate is for.
            let plain = listen.filter(|_| args.tls_cert.is_none());
            let paste = plain.and_then(|listen| banner::paste(app, listen, operator.keys.is_configured()));
            let listen = listen.map(|listen| shown(listen, args)).unwrap_or_default();
            let banner = banner::render(app, &releases, &search, &listen, &channels, admin, paste.as_deref());
            // A closed standard output is no reason not to serve.
            let _ = std::io::stdout().lock().write_all(banner.as_bytes());
        }
        () = stop.cancelled() => {}
    }
    let next = match changes {
        Some(changes) => {
            tokio::select! {
                next = changes.follow(operator, app, &limits, &replacer, admin) => Some(next),
                () = stop.cancelled() => None,
            }
        }
        None => None,
    };
    if next.is_some() {
        stop.cancel();
        signals.abort();
    }
    let drained = serving.await?;
    releases.stop(WORKER_GRACE).await;
    tracing::info!(?drained, "stopped");
    Ok(match next.zip(sockets) {
        Some((app, sockets)) => Ended::Changed(app, sockets),
        None => Ended::Stopped,
    })
}

/// Where the application listens, as a browser writes it.
fn shown(listen: SocketAddr, args: &Serve) -> String {
    let scheme = if args.tls_cert.is_some() { "https" } else { "http" };
    format!("{scheme}://{listen}")
}

/// The worker for a GPU that is installed beside this executable.
async fn gpu(args: &Serve) -> Search {
    if args.gpu_layers == Some(0) {
        return Search::default();
    }
    let search = Gpu::search(args.gpu_layers).await;
    for unusable in &search.unusable {
        tracing::error!("{unusable}; the processor computes");
    }
    search
}

/// Which signals stop the host at once, after one has begun to drain it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Again {
    /// Any.
    AnySignal,
    /// Ctrl-C alone, and not what comes with the first: Spin passes each one on as SIGTERM, more than once.
    CtrlC,
}

/// How long one ctrl-C may take to arrive by all the ways that it takes under Spin.
const SAME_STOP: Duration = Duration::from_secs(1);

/// The first signal drains; workers sit in process groups of their own, so ctrl-C does not reach them first.
///
/// A terminal that is closed (SIGHUP) begins a drain, too, unless the host was started so that it outlives its terminal. It
/// may tell so more than once, by the shell and by the kernel, so that never ends a drain.
pub(crate) fn stop_on_signal(stop: CancellationToken, again: Again) -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
    Ok(async move {
        let mut hangup = hangup;
        let closed = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = closed => {}
        }
        say(format_args!("stopping: requests in flight may finish; again to stop at once"));
        stop.cancel();
        match again {
            Again::AnySignal => tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            },
            Again::CtrlC => {
                tokio::time::sleep(SAME_STOP).await;
                // What has come until now.
                let _ = interrupt.recv().now_or_never();
                interrupt.recv().await;
            }
        }
        say(format_args!("stopped at once"));
        std::process::exit(130);
    })
}

/// Whether this process was started with SIGHUP ignored, as `nohup` does it; a handler would undo that. Another host in the
/// same process, after a change of its application, finds what the first one found.
fn ignores_hangup() -> bool {
    static IGNORED: LazyLock<bool> = LazyLock::new(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        is_first_signal_ignored(&status)
    });
    *IGNORED
}

/// Reads it from what Linux says of a process: a mask of signals, SIGHUP the lowest of them.
fn is_first_signal_ignored(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
    u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_says_of_ignored_signals_is_understood() {
        for (status, ignored) in [
            ("Name:\tbobbin\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n", true),
            ("SigIgn:\t0000000000001000\nSigCgt:\t0000000000000001\n", false),
            ("", false),
            ("SigIgn:\tnothing\n", false),
        ] {
            assert_eq!(is_first_signal_ignored(status), ignored, "{status}");
        }
    }
}
