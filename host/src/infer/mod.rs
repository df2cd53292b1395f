//! `bobbin infer ..`: asks a model in the terminal, without a server. The bundle takes the way that it takes in a host:
//! verified into blobs, then loaded and proved by a worker.

mod args;
mod generate;
mod prompt;
mod vectors;

pub(crate) use args::{HELP, Infer};

use crate::alone::{Alone, Means, given_up, interrupted};
use crate::bundles::{Wanted, find};
use crate::failure::Failure;
use crate::missing::NotThere;
use crate::release::Exit;
use crate::terminal::Bar;
use bobbin_bundle::{BlobStore, Bundle, Kind, Pace, VerifiedBundle};
use bobbin_inference::{InferenceError, Reason};
use bobbin_manifest::{App, BundleRef};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Runs one command.
///
/// # Errors
/// Why there is no answer, or not all of it.
pub(crate) fn run(args: &Infer) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(infer(args));
    // What is still being hashed is no reason to stay.
    runtime.shutdown_background();
    result
}

async fn infer(args: &Infer) -> Result<ExitCode, Failure> {
    let places = Places::of(args)?;
    let bundle = places.find(&args.model)?;
    let kind = bundle.manifest().kind;
    check(args, &bundle, kind)?;
    // Before Ctrl-C is heard: whoever types a prompt gives up as with any other command.
    let texts = prompt::read(args, kind)?;
    let cancel = interrupted()?;
    let mut bar = Bar::new(!args.json, "verifying");
    let started = Instant::now();
    let Some(verified) = verify(&bundle, &places.state, &mut bar, &cancel)? else { return Err(given_up()) };
    if (args.chat || args.system.is_some()) && verified.template().is_none() {
        let message = format!("{} has no chat template; leave --chat and --system out", bundle.id());
        return Err(Failure::new(Exit::Refused, message));
    }
    bar.step(&format!("loading {}", bundle.id()));
    let means = Means { gpu_layers: args.gpu_layers, threads: args.threads };
    let alone = Alone::start(&verified, &means, Vec::new()).await?;
    let options = args.options().resolve(&alone.graph().info().defaults);
    let options = match options {
        Ok(options) => options,
        Err(error) => return Err(unanswered(error)),
    };
    tokio::select! {
        ready = alone.ready() => drop(ready?),
        () = cancel.cancelled() => {
            alone.stop().await;
            return Err(given_up());
        }
    }
    drop(bar);
    let ask = Ask { alone: &alone, cancel: &cancel, json: args.json, load: started.elapsed() };
    let done = match kind {
        Kind::Embed => vectors::print(&ask, texts, args.dimensions).await,
        Kind::Generate | Kind::Classify | Kind::Adapter => {
            let prompt = prompt::prompt(texts, args.chat, args.system.as_deref());
            generate::print(&ask, prompt, options).await
        }
    };
    alone.stop().await;
    match done {
        // However far it was: whoever gave it up does not want to hear of it.
        _ if cancel.is_cancelled() => Err(given_up()),
        Ok(()) => Ok(Exit::Done.into()),
        Err(error) => Err(error),
    }
}

/// What is asked, of whom, and how.
struct Ask<'a> {
    alone: &'a Alone,
    cancel: &'a CancellationToken,
    json: bool,
    /// How long it took until the model could be asked.
    load: Duration,
}

/// Why the model does not answer. An option that it cannot take is the command line's matter.
fn unanswered(error: InferenceError) -> Failure {
    let exit = match error.reason {
        Reason::InvalidOption | Reason::UnknownOption => Exit::Usage,
        _ => Exit::Failed,
    };
    Failure::new(exit, error.message).code(error.reason.as_str())
}

/// Refuses what the bundle cannot do, and options that would be ignored.
fn check(args: &Infer, bundle: &Bundle, kind: Kind) -> Result<(), Failure> {
    let refuse = |exit, why: String| Err(Failure::new(exit, why));
    match kind {
        Kind::Generate if args.embed || args.dimensions.is_some() => refuse(
            Exit::Refused,
            format!("{} makes text and no vectors; leave --embed and --dimensions out", bundle.id()),
        ),
        Kind::Generate => Ok(()),
        Kind::Embed => match args.of_texts() {
            Some(option) => refuse(
                Exit::Usage,
                format!("{} makes vectors, for which {option} means nothing; leave it out", bundle.id()),
            ),
            None => Ok(()),
        },
        Kind::Classify | Kind::Adapter => refuse(
            Exit::Refused,
            format!(
                "{} is of the kind \"{kind}\", which no worker serves; use one that generates or embeds",
                bundle.id()
            ),
        ),
    }
}

/// Hashes the bundle into the state folder; none where it was given up.
fn verify(
    bundle: &Bundle,
    state: &Path,
    bar: &mut Bar,
    cancel: &CancellationToken,
) -> Result<Option<VerifiedBundle>, Failure> {
    let mut tell = |at: bobbin_bundle::Progress<'_>| {
        bar.at(&at);
        if cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let verified = tokio::task::block_in_place(|| {
        let store = BlobStore::open(state)?;
        bundle.verify_at(&store, &mut Pace::full().with_progress(&mut tell))
    });
    match verified {
        Err(_) if cancel.is_cancelled() => Ok(None),
        Ok(verified) => Ok(Some(verified)),
        Err(error @ bobbin_bundle::VerifyError::Blob { .. }) => {
            let message = format!("{}; name another folder with --state-dir", crate::bundles::chain(&error));
            Err(Failure::new(Exit::Failed, message))
        }
        Err(error) => Err(Failure::of(Exit::Refused)(error)),
    }
}

/// Where bundles are found, and where verified files are kept.
struct Places {
    repository: PathBuf,
    state: PathBuf,
    /// The application that says where.
    app: Option<App>,
}

impl Places {
    fn of(args: &Infer) -> Result<Self, Failure> {
        let (repository, beside, app) = match &args.file {
            Some(file) => {
                let manifest = if file.is_dir() { file.join("spin.toml") } else { file.clone() };
                if !manifest.exists() {
                    return Err(Failure::new(Exit::Unknown, NotThere::at(&manifest).to_string()));
                }
                let app = bobbin_manifest::load(&manifest).map_err(Failure::of(Exit::Usage))?;
                (app.bobbin.repository.clone(), app.root.clone(), Some(app))
            }
            None => {
                let repository = args.repository.clone().unwrap_or_else(|| "models".into());
                let parent = repository.parent().unwrap_or(Path::new("")).to_owned();
                (repository, parent, None)
            }
        };
        let state = args.state_dir.clone().unwrap_or_else(|| beside.join(".bobbin"));
        Ok(Self { repository, state, app })
    }

    /// The bundle of this name; or the one that the application declares to be stable under it.
    fn find(&self, wanted: &Wanted) -> Result<Bundle, Failure> {
        let unknown = match find(&self.repository, wanted) {
            Err(failure) if failure.exit == Exit::Unknown => failure,
            found => return found,
        };
        let (Some(app), Wanted::Newest(name)) = (&self.app, wanted) else { return Err(unknown) };
        match stable(app, name).as_slice() {
            [] => Err(unknown),
            [bundle] => find(&self.repository, &Wanted::Exactly(bundle.clone())),
            several => {
                let several: Vec<String> = several.iter().map(ToString::to_string).collect();
                let message = format!(
                    "{name:?} is another bundle in different triggers of {}; name one of {}",
                    app.manifest.display(),
                    several.join(", ")
                );
                Err(Failure::new(Exit::Usage, message))
            }
        }
    }
}

/// The bundles that an application declares to be stable for a model of this name, each once.
fn stable(app: &App, name: &str) -> Vec<BundleRef> {
    let all = app.triggers.iter().flat_map(|trigger| app.releases_of(trigger));
    let mut bundles: Vec<BundleRef> =
        all.filter(|(graph, _)| graph.as_str() == name).map(|(_, release)| release.stable).collect();
    bundles.sort();
    bundles.dedup();
    bundles
}
