//! `bobbin bundle new | import`: makes a bundle of a GGUF file, and takes in one that was made elsewhere.
//!
//! Either appears in the repository whole, by one rename, or not at all. What `new` writes was loaded as a host will load
//! it: once to record its fingerprint, and once with it.

mod args;
mod card;
mod terms;
mod text;

pub(crate) use args::{Import, New};

use super::{bundle_json, chain, print_bundle};
use crate::alone::{Alone, Means, given_up, interrupted};
use crate::failure::Failure;
use crate::missing::{NotThere, unreadable};
use crate::release::{Exit, table};
use crate::terminal::{Bar, print, say};
use args::KindArg;
use bobbin_bundle::gguf::{self, GgufSummary};
use bobbin_bundle::{
    BlobStore, Bundle, BundleError, Draft, DraftError, FileEntry, ImportError, Kind, Limits, Manifest, Pace, Progress,
    Role, VerifiedBundle, VerifyError, open_regular,
};
use bobbin_inference::wire::Reference;
use card::{From, Suggested};
use serde_json::{Value, json};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use text::Text;
use tokio_util::sync::CancellationToken;

/// More than this is rarely asked for, and memory is reserved for all of it.
const MOST_CONTEXT: u32 = 8192;
/// What is answered before the bundle is live, where nobody says.
const WARM_UP: &str = "Once upon a time";
/// Words that hardly stand together anywhere: a fingerprint must also hold where the model is surprised.
const UNLIKELY: &str = "On Tuesday the violet harbour swallowed eleven clocks, and a quiet engine counted them in salt: \
                        7, 42, 1905. \"Who sold the moon its boots?\" asked the ferry.";
/// The pooling that ranks, and makes no vectors.
const RANK: u32 = 4;

/// Makes a bundle.
pub(crate) fn new(args: &New) -> Result<ExitCode, Failure> {
    run(|cancel| make(args, cancel))
}

/// Takes in a bundle.
pub(crate) fn import(args: &Import) -> Result<ExitCode, Failure> {
    run(async |cancel| {
        if !args.source.exists() {
            return Err(Failure::new(Exit::Unknown, NotThere::at(&args.source).to_string()));
        }
        let mut bar = Bar::new(!args.json, "copying");
        let imported = tokio::task::block_in_place(|| {
            let mut tell = teller(&mut bar, &cancel);
            bobbin_bundle::import(&args.source, &args.into, &mut Pace::full().with_progress(&mut tell))
        });
        drop(bar);
        let bundle = imported.map_err(|error| refused(&error))?;
        if args.json {
            print(&format!("{:#}\n", bundle_json(&bundle)));
        } else {
            print_bundle(&bundle);
        }
        Ok(())
    })
}

/// Runs one of them; Ctrl-C ends it, and leaves nothing behind.
fn run(what: impl AsyncFnOnce(CancellationToken) -> Result<(), Failure>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let cancel = interrupted()?;
        match what(cancel.clone()).await {
            Err(_) if cancel.is_cancelled() => {
                say(format_args!("given up; nothing was left behind"));
                Err(given_up())
            }
            done => done.map(|()| ExitCode::SUCCESS),
        }
    })
}

/// Shows progress, and breaks off when it is given up.
fn teller<'a>(bar: &'a mut Bar, cancel: &'a CancellationToken) -> impl FnMut(Progress<'_>) -> ControlFlow<()> + 'a {
    move |at| {
        bar.at(&at);
        if cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// What a script learns of a draft that became no bundle.
fn of_draft(error: &DraftError) -> Failure {
    let exit = match error {
        DraftError::Exists { .. } => Exit::Conflict,
        DraftError::Bundle(_) | DraftError::Length { .. } => Exit::Refused,
        _ => Exit::Failed,
    };
    Failure::new(exit, chain(error))
}

fn refused(error: &ImportError) -> Failure {
    match error {
        ImportError::Draft(error) => of_draft(error),
        ImportError::Refused(report) => {
            let all: Vec<String> = report.errors().map(|error| chain(error)).collect();
            Failure::new(Exit::Refused, all.join("; "))
        }
        ImportError::Bundle(BundleError::Io { .. }) => Failure::new(Exit::Failed, chain(error)),
        error => Failure::new(Exit::Refused, chain(error)),
    }
}

/// What is known before anything is written.
struct Plan {
    kind: Kind,
    context: u32,
    summary: GgufSummary,
    card: Suggested,
    warm_up: Vec<String>,
}

async fn make(args: &New, cancel: CancellationToken) -> Result<(), Failure> {
    let mut bar = Bar::new(!args.json, "checking the weights");
    let draft = Draft::begin(&args.into, &args.name, &args.version).map_err(|error| of_draft(&error))?;
    let plan = plan(args)?;
    says_messages(args)?;
    bar.counting("copying");
    let files = tokio::task::block_in_place(|| copy(args, &draft, &mut teller(&mut bar, &cancel)))?;
    bar.counting("verifying");
    let bundle = draft.write(&render(args, &plan, &files, None)).map_err(|error| of_draft(&error))?;
    let mut deviation = None;
    let mut recorded = Vec::new();
    let verified = verify(&bundle, &draft, &mut bar, &cancel)?;
    if !args.no_fingerprint {
        bar.step("loading, and recording the fingerprint");
        recorded = load(&verified, to_record(&plan), &cancel).await?.recorded;
    }
    if !recorded.is_empty() {
        let text = render(args, &plan, &files, Some(&recorded));
        let bundle = draft.write(&text).map_err(|error| of_draft(&error))?;
        let verified = verify(&bundle, &draft, &mut bar, &cancel)?;
        bar.step("loading it as a host will");
        deviation = load(&verified, Vec::new(), &cancel).await?.deviation;
    }
    if cancel.is_cancelled() {
        return Err(Failure::new(Exit::Failed, "given up"));
    }
    let bundle = draft.publish().map_err(|error| of_draft(&error))?;
    drop(bar);
    let made = Made { bundle: &bundle, plan: &plan, recorded: recorded.len(), deviation, loaded: !args.no_fingerprint };
    if args.json {
        print(&format!("{:#}\n", made.json()));
    } else {
        made.tell();
    }
    Ok(())
}

/// Reads the weights' metadata and decides what nobody said.
fn plan(args: &New) -> Result<Plan, Failure> {
    let refuse = |why: String| Failure::new(Exit::Refused, format!("{}: {why}", args.weights.display()));
    // A pipe would have us wait for whoever writes into it.
    if args.weights.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err(refuse("it is no regular file; name a GGUF file".to_owned()));
    }
    let summary = match gguf::preflight(&args.weights) {
        Ok(summary) => summary,
        Err(gguf::GgufError::Io { source }) => {
            return Err(unreadable(&args.weights, &source));
        }
        Err(error) => return Err(refuse(chain(&error))),
    };
    let pools = summary.about.pooling.is_some_and(|pooling| pooling > 0);
    let kind = match args.kind {
        Some(KindArg::Generate) if summary.encoder_only => {
            return Err(refuse(format!("{} makes vectors and no text; leave --kind out", summary.architecture)));
        }
        Some(KindArg::Generate) => Kind::Generate,
        Some(KindArg::Embed) => Kind::Embed,
        None if summary.about.pooling == Some(RANK) => {
            let why = "it ranks texts, and no worker serves such models; give --kind embed for its vectors";
            return Err(refuse(why.to_owned()));
        }
        None if summary.encoder_only || pools => Kind::Embed,
        None => Kind::Generate,
    };
    let context = args.context.unwrap_or_else(|| summary.context_length.min(MOST_CONTEXT));
    if context > summary.context_length {
        let why = format!("it was made for {} tokens; give --context that or less", summary.context_length);
        return Err(refuse(why));
    }
    if kind == Kind::Embed && args.prefix.is_some() {
        return Err(refuse("it makes vectors, for which --prefix means nothing; leave it out".to_owned()));
    }
    let warm_up = if args.warm_up.is_empty() { vec![WARM_UP.to_owned()] } else { args.warm_up.clone() };
    Ok(Plan { kind, context, card: card::suggest(args, &summary), summary, warm_up })
}

/// Refuses a file that is no chat template, though Jinja takes it for one: any text is a template of itself.
fn says_messages(args: &New) -> Result<(), Failure> {
    let Some(path) = &args.template else { return Ok(()) };
    // What cannot be read, or is no text, is found out where it is copied and verified.
    let Ok(text) = open_regular(path).and_then(io::read_to_string) else { return Ok(()) };
    let why = match bobbin_worker::child::says_messages(&text) {
        Ok(true) => return Ok(()),
        Ok(false) => "it says the same whatever the messages are, so it is no chat template; name one in Jinja, which \
                      writes out `messages`"
            .to_owned(),
        Err(why) => why,
    };
    Err(Failure::new(Exit::Refused, format!("{}: {why}", path.display())))
}

/// What sequences are recorded of; a model that embeds has no log-probabilities.
fn to_record(plan: &Plan) -> Vec<String> {
    match plan.kind {
        Kind::Generate => plan.warm_up.iter().cloned().chain([UNLIKELY.to_owned()]).collect(),
        Kind::Embed | Kind::Classify | Kind::Adapter => Vec::new(),
    }
}

/// Copies all files into the draft, and hashes them on the way.
fn copy(
    args: &New,
    draft: &Draft,
    tell: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
) -> Result<Vec<FileEntry>, Failure> {
    let wanted = [
        (Some(&args.weights), "weights.gguf", Role::Weights),
        (args.template.as_ref(), "chat.jinja", Role::Template),
        (args.tokenizer.as_ref(), "tokenizer.json", Role::Tokenizer),
        (args.licence_file.as_ref(), "LICENSE.txt", Role::Licence),
    ];
    let length = |path: &PathBuf| path.metadata().map_or(0, |metadata| metadata.len());
    let all = wanted.iter().filter_map(|(path, ..)| *path).map(length).sum();
    let mut pace = Pace::full().with_progress(tell);
    pace.count_to(all);
    let mut files = Vec::new();
    for (path, otherwise, role) in wanted {
        let Some(path) = path else { continue };
        let file = open_regular(path).map_err(|error| unreadable(path, &error))?;
        let name = in_bundle(path, otherwise, &role, &files);
        files.push(draft.add_file(&name, role, &file, &mut pace).map_err(|error| of_draft(&error))?);
    }
    Ok(files)
}

/// What a file is called in the bundle: as it is, where a file of a bundle may be called so. A tokenizer that were not called
/// `.json` would be compared with nothing.
fn in_bundle(path: &Path, otherwise: &str, role: &Role, taken: &[FileEntry]) -> String {
    let name = path.file_name().and_then(|name| name.to_str()).filter(|name| Manifest::accepts_path(name));
    let name = name.filter(|name| *role != Role::Tokenizer || name.ends_with(".json"));
    let free = |name: &&str| taken.iter().all(|file| file.path != *name);
    name.filter(free).unwrap_or(otherwise).to_owned()
}

fn render(args: &New, plan: &Plan, files: &[FileEntry], recorded: Option<&[Reference]>) -> String {
    Text {
        name: &args.name,
        version: &args.version,
        kind: plan.kind,
        files,
        limits: Limits { context: plan.context, parallel: args.parallel, threads: args.threads },
        prefix: args.prefix.as_deref(),
        warm_up: &plan.warm_up,
        fingerprint: recorded.map(|recorded| (args.tolerance, recorded)),
        card: &plan.card,
    }
    .render()
}

/// Verifies the draft as a host would, into blobs that go with it.
fn verify(
    bundle: &Bundle,
    draft: &Draft,
    bar: &mut Bar,
    cancel: &CancellationToken,
) -> Result<VerifiedBundle, Failure> {
    let verified = tokio::task::block_in_place(|| {
        let mut tell = teller(bar, cancel);
        let store = BlobStore::open(&draft.scratch())?;
        bundle.verify_at(&store, &mut Pace::full().with_progress(&mut tell))
    });
    verified.map_err(|error| {
        let exit = if matches!(error, VerifyError::Blob { .. }) { Exit::Failed } else { Exit::Refused };
        Failure::new(exit, chain(&error))
    })
}

/// Loads a bundle, which warms it up and holds it against its fingerprint, and ends the worker.
async fn load(
    bundle: &VerifiedBundle,
    record: Vec<String>,
    cancel: &CancellationToken,
) -> Result<bobbin_inference::wire::Loaded, Failure> {
    let means = Means { gpu_layers: Some(0), ..Means::default() };
    let alone = Alone::start(bundle, &means, record).await?;
    let ready = tokio::select! {
        ready = alone.ready() => ready,
        () = cancel.cancelled() => Err(Failure::new(Exit::Failed, "given up")),
    };
    alone.stop().await;
    ready
}

/// What was made, for whoever made it.
struct Made<'a> {
    bundle: &'a Bundle,
    plan: &'a Plan,
    recorded: usize,
    deviation: Option<f32>,
    loaded: bool,
}

impl Made<'_> {
    fn json(&self) -> Value {
        let Plan { kind, context, card, summary, .. } = self.plan;
        let entries = card.entries.iter().map(|entry| {
            let from = match entry.from {
                From::Given => json!("given"),
                From::Weights(key) => json!(key),
                From::Nobody(_) => Value::Null,
            };
            (entry.key.to_owned(), json!({ "value": entry.value, "from": from }))
        });
        json!({
            "bundle": self.bundle.id(),
            "folder": self.bundle.folder().to_string_lossy(),
            "digest": self.bundle.digest().to_string(),
            "size": self.bundle.manifest().size(),
            "kind": kind.to_string(),
            "architecture": summary.architecture,
            "context": context,
            "chat_template": self.has_template(),
            "card": entries.collect::<serde_json::Map<_, _>>(),
            "unknown": card.unknown().map(|(key, _)| key).collect::<Vec<_>>(),
            "loaded": self.loaded,
            "fingerprint": (self.recorded > 0).then(|| json!({
                "sequences": self.recorded,
                "tolerance": self.bundle.manifest().fingerprint.as_ref().map(|fingerprint| fingerprint.tolerance),
                "deviation": self.deviation,
            })),
        })
    }

    fn has_template(&self) -> bool {
        self.bundle.manifest().prompt.template.is_some() || self.plan.summary.chat_template.is_some()
    }

    fn tell(&self) {
        let Plan { kind, context, card, summary, .. } = self.plan;
        let mut rows = vec![
            ["folder".to_owned(), self.bundle.folder().display().to_string()],
            ["digest".into(), self.bundle.digest().to_string()],
            [
                "model".into(),
                format!("{}, {} weights, {kind}, context {context}", summary.architecture, summary.parameters),
            ],
            ["template".into(), if self.has_template() { "for chats" } else { "none" }.to_owned()],
            ["proof".into(), self.proof()],
        ];
        for entry in &card.entries {
            let from = match entry.from {
                From::Given => String::new(),
                From::Weights(key) => format!("  ({key})"),
                From::Nobody(option) => format!("  (say it with {option})"),
            };
            rows.push([entry.key.replace('_', " "), format!("{}{from}", entry.value)]);
        }
        print(&format!("{}\n{}", self.bundle.id(), table(&rows, "  ")));
        let unknown: Vec<&str> = card.unknown().map(|(_, option)| option).collect();
        if !unknown.is_empty() {
            say(format_args!(
                "note: the weights do not say everything; a version with {} tells people more",
                unknown.join(", ")
            ));
        }
    }

    fn proof(&self) -> String {
        match (self.loaded, self.recorded, self.deviation) {
            (false, ..) => "none: it was not loaded".to_owned(),
            (true, 0, _) => "loaded and warmed up; vectors have no fingerprint".to_owned(),
            (true, sequences, deviation) => {
                format!(
                    "fingerprint of {sequences} sequences, off by {:.4} when loaded again",
                    deviation.unwrap_or(0.0)
                )
            }
        }
    }
}
