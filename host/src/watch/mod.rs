//! `bobbin watch`: an application that is built and loaded anew when its files change, without a request lost.
//!
//! Where only components, routes, channels and what they are granted are others, the next requests and messages meet the
//! new ones, and those in flight finish with what they began with; models stay loaded. Where releases, limits or the runtime
//! configuration are others, the host drains and another one takes its place in the same process: whoever connects
//! meanwhile waits. What cannot be built or loaded is reported, and the last application that could be goes on.

mod sources;

use crate::builds;
use crate::bundles;
use crate::cli;
use crate::site::{self, Operator, Site};
use crate::source;
use crate::terminal::say;
use crate::up::{self, Again, Ended};
use anyhow::Result;
use bobbin_manifest::{App, GraphName, Manifest, Trigger, TriggerId};
use bobbin_runtime::Handler;
use bobbin_server::{Limits, Replacer, Sockets};
use sources::Sources;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often files are looked at.
const LOOK: Duration = Duration::from_millis(100);

pub(crate) fn run(args: &cli::Watch) -> Result<ExitCode> {
    let mut changes = Changes::new(args);
    let mut kept: Option<Sockets> = None;
    let mut app = None;
    loop {
        if let Some(next) = app.take().or_else(|| changes.made()) {
            let sockets = kept.as_ref().map(Sockets::again).transpose()?;
            match up::start_on(&args.up.serve, &next, Again::AnySignal, sockets, Some(&mut changes)) {
                Ok(Ended::Stopped) => return Ok(ExitCode::SUCCESS),
                Ok(Ended::Changed(next, sockets)) => {
                    (app, kept) = (Some(next), Some(sockets));
                    continue;
                }
                // Whoever connects meanwhile waits for the next one that can be served.
                Err(error) if kept.is_some() => report(&error),
                Err(error) => return Err(error),
            }
        }
        if !changes.come()? {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// The application as its files are, and what has become of them.
pub(crate) struct Changes<'a> {
    args: &'a cli::Watch,
    sources: Sources,
    /// A change that has not counted yet, for files may still be written to.
    unsettled: Option<(Sources, Instant)>,
    /// Whether what has changed must be built before it is loaded.
    to_build: bool,
}

impl<'a> Changes<'a> {
    fn new(args: &'a cli::Watch) -> Self {
        let sources = Sources::only(&args.up.file);
        Self { args, sources, unsettled: None, to_build: !args.skip_build }
    }

    /// The application, where it can be loaded; what is wrong with it is reported.
    fn made(&mut self) -> Option<Box<App>> {
        self.make().map(Box::new).inspect_err(report).ok()
    }

    /// Waits for a change while no host runs. False when a signal ends that.
    fn come(&mut self) -> Result<bool> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let stop = CancellationToken::new();
            let _signals = tokio::spawn(up::stop_on_signal(stop.clone(), Again::AnySignal)?);
            while !self.wait() {
                tokio::select! {
                    () = stop.cancelled() => return Ok(false),
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
            Ok(true)
        })
    }

    /// Builds what must be built, and loads the application.
    fn make(&mut self) -> Result<App> {
        let built = self.build();
        // What is wrong is mended by a change of what is watched, so it is noted in any case; and after the build, which
        // changes what is loaded.
        self.look_anew();
        built?;
        self.to_build = false;
        source::load(&self.args.up)
    }

    fn build(&self) -> Result<()> {
        let up = &self.args.up;
        let manifest = bobbin_manifest::open(&up.file, up.profile.as_deref())?;
        if self.to_build { builds::run(&manifest) } else { Ok(()) }
    }

    /// Notes how the files are. A manifest that cannot be read leaves the patterns of the last one.
    fn look_anew(&mut self) {
        let up = &self.args.up;
        self.sources = match bobbin_manifest::open(&up.file, up.profile.as_deref()) {
            Ok(manifest) => Sources::of(&manifest, !self.args.skip_build, &self.beside(&manifest)),
            Err(_) => self.sources.again(),
        };
        self.unsettled = None;
    }

    /// What else decides how the application is served.
    fn beside(&self, manifest: &Manifest) -> Vec<PathBuf> {
        let config = self.args.up.serve.runtime_config_file.clone();
        config.into_iter().chain([manifest.folder().join(".env")]).collect()
    }

    /// Looks at the files. True once they have changed, and have stayed as they are for a while.
    fn wait(&mut self) -> bool {
        let now = self.sources.again();
        if now == self.sources {
            self.unsettled = None;
            return false;
        }
        let settled = match &self.unsettled {
            Some((seen, since)) if *seen == now => since.elapsed() >= Duration::from_millis(self.args.debounce),
            _ => {
                self.unsettled = Some((now.clone(), Instant::now()));
                self.args.debounce == 0
            }
        };
        if settled {
            // A manifest may ask for another build.
            let manifest = now.manifest() != self.sources.manifest();
            self.to_build = !self.args.skip_build && (manifest || now.built != self.sources.built);
        }
        settled
    }

    /// Replaces the application whenever its files change, until it takes another host: that one is returned.
    pub(crate) async fn follow(
        &mut self,
        operator: &Operator<'_>,
        first: &App,
        limits: &Limits,
        replacer: &Replacer<Handler>,
        admin: SocketAddr,
    ) -> Box<App> {
        loop {
            tokio::time::sleep(LOOK).await;
            if !tokio::task::block_in_place(|| self.wait()) {
                continue;
            }
            let began = Instant::now();
            let made = tokio::task::block_in_place(|| {
                self.make().and_then(|app| app.check_supported().map(|()| app).map_err(Into::into))
            });
            let app = match made {
                Ok(app) => app,
                Err(error) => {
                    report(&error);
                    continue;
                }
            };
            let changed = match tokio::task::block_in_place(|| reconfigured(operator, &app)) {
                Ok(true) => Some("the runtime configuration"),
                Ok(false) => (!same_host(&app, first)).then_some("releases, limits or whether there are routes"),
                Err(error) => {
                    report(&error);
                    continue;
                }
            };
            if let Some(changed) = changed {
                say(format_args!("{changed} changed: requests in flight finish, then the host starts anew"));
                return Box::new(app);
            }
            let replaced = tokio::task::block_in_place(|| {
                let Site { served, runtime } = operator.prepare(&app, limits)?;
                runtime.keep_from(admin);
                Ok::<_, anyhow::Error>(replacer.replace(served)?)
            });
            match replaced {
                Ok(()) => say(format_args!("reloaded in {:.1} s", began.elapsed().as_secs_f64())),
                Err(error) => report(&error),
            }
        }
    }
}

/// Whether one host can serve both: with the same releases, from the same repository, within the same bounds, and with the
/// listener that it has or has not.
fn same_host(one: &App, other: &App) -> bool {
    let releases = |app: &App| -> Vec<(TriggerId, GraphName, String)> {
        let of = |trigger: &Trigger| {
            let all = app.releases_of(trigger).into_iter();
            all.map(|(graph, release)| (trigger.id.clone(), graph, release.digest().to_string())).collect::<Vec<_>>()
        };
        app.triggers.iter().flat_map(of).collect()
    };
    let bounds = |app: &App| (app.bobbin.limits.clone(), app.bobbin.repository.clone(), app.answers_requests());
    bounds(one) == bounds(other) && releases(one) == releases(other)
}

/// Whether the runtime configuration is another one than the host's, with which the application can be served too.
fn reconfigured(operator: &Operator<'_>, app: &App) -> Result<bool> {
    let config = site::runtime_config(operator.args)?;
    if config == operator.config {
        return Ok(false);
    }
    // What is wrong with it must be known before the host ends that serves.
    operator.configured(config, app)?.prepare(app, &site::limits(app, operator.args))?;
    Ok(true)
}

fn report(error: &anyhow::Error) {
    say(format_args!("error: {}\nwaiting for a change", bundles::chain(error.as_ref())));
}
