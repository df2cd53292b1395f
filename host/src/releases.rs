//! The application's releases: what the manifest declares, in the terms of the crate that keeps them.

use crate::launcher::Workers;
use crate::workshop::HostWorkshop;
use anyhow::{Context, Result};
use bobbin_bundle::{BlobStore, BundleChange, ChangeKind, Repository, RepositoryWatch};
use bobbin_inference::Recorder;
use bobbin_manifest::{App, DeclaredRelease, Problem, ProblemKind, Trigger};
use bobbin_release::{Declared, ReleaseId, Releases, Sighting, Spec, Store, Workshop};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Opens the releases of an application, and says on standard error where they differ from its manifest.
pub(crate) fn open(
    app: &App,
    state: &Path,
    workers: Arc<Workers>,
    recorder: Arc<dyn Recorder>,
) -> Result<Arc<Releases>> {
    let store = Store::open(state)?;
    let repository = Repository::open(&repository(app, state)?)?;
    let workshop = Arc::new(HostWorkshop { repository, blobs: BlobStore::open(state)?, workers });
    // Nothing is loaded yet, so nothing but the repository says what is needed.
    if let Err(reason) = workshop.collect() {
        tracing::info!(%reason, "bytes of bundles that are gone stay in the state folder");
    }
    let declared = declared(app, &store, &workshop)?;
    let opened = Releases::open(store, workshop, recorder, declared)?;
    for notice in opened.notices {
        eprintln!("note: {notice}");
    }
    Ok(opened.releases)
}

/// The folder of the bundles. An application without models needs none: the folder that nobody named may then be missing,
/// and an empty one in the state folder takes its place.
fn repository(app: &App, state: &Path) -> Result<PathBuf> {
    let bobbin = &app.bobbin;
    let overridden = bobbin.overrides.values().any(|own| !own.is_empty());
    let named = !bobbin.releases.is_empty() || overridden || bobbin.repository != app.root.join("models");
    if named || bobbin.repository.exists() {
        return Ok(bobbin.repository.clone());
    }
    let empty = state.join("no-models");
    std::fs::create_dir_all(&empty).with_context(|| format!("{} cannot be created", empty.display()))?;
    Ok(empty)
}

/// What the manifest declares. A declaration that is to be followed from now on must name a bundle that is there: a
/// misspelt one is found before a port is bound, not by the first request.
fn declared(app: &App, store: &Store, workshop: &HostWorkshop) -> Result<Vec<Declared>> {
    let mut all = Vec::new();
    for (trigger, graph, release) in app.triggers.iter().flat_map(|trigger| of_trigger(app, trigger)) {
        let id = ReleaseId { trigger: trigger.id.as_str().into(), graph: graph.as_str().into() };
        let digest = release.digest().to_string();
        let follows = store.last(&id)?.is_none_or(|stored| stored.declaration != digest);
        if follows && let Err(reason) = workshop.kind(&release.stable.to_string()) {
            let what = format!("the release names {}, which cannot be had: {reason}", release.stable);
            let help = "correct the release; `bobbin bundle list` shows what the repository has";
            return Err(app.problem_at(release.place, Problem::new(ProblemKind::Release, what, help)).into());
        }
        all.push(Declared { id, digest, spec: spec(&release)? });
    }
    Ok(all)
}

fn of_trigger<'a>(
    app: &'a App,
    trigger: &'a Trigger,
) -> impl Iterator<Item = (&'a Trigger, bobbin_manifest::GraphName, DeclaredRelease)> {
    app.releases_of(trigger).into_iter().map(move |(graph, release)| (trigger, graph.clone(), release.clone()))
}

/// A declaration with defaults for what it does not say.
fn spec(release: &DeclaredRelease) -> Result<Spec> {
    let mut spec = Spec::of(release.stable.to_string().into());
    spec.drain_seconds = release.drain().as_secs();
    if let Some(keep_warm) = release.keep_warm {
        spec.keep_warm_seconds = keep_warm.as_secs();
    }
    if let Some(policy) = &release.policy {
        spec.policy = policy.to_string().parse()?;
    }
    if let Some(sticky) = &release.sticky {
        spec.sticky = sticky.to_string().parse()?;
    }
    spec.version_header = release.version_header.unwrap_or(spec.version_header);
    spec.exact_versions = release.exact_versions.unwrap_or(spec.exact_versions);
    spec.retires = release.retires.map(|moment| moment.0);
    Ok(spec)
}

/// Follows the repository for as long as what it returns is kept. Must be called within a runtime.
pub(crate) fn watch(app: &App, state: &Path, releases: &Arc<Releases>) -> Result<RepositoryWatch> {
    let (runtime, releases) = (tokio::runtime::Handle::current(), Arc::downgrade(releases));
    let on = move |change: BundleChange| {
        let Some(releases) = releases.upgrade() else { return };
        let sighting = match change.kind {
            ChangeKind::Appeared => Sighting::Appeared,
            ChangeKind::Changed => Sighting::Changed,
            ChangeKind::Removed => Sighting::Removed,
        };
        let bundle = format!("{}@{}", change.name, change.version);
        runtime.spawn(async move { releases.repository_changed(bundle, sighting).await });
    };
    Ok(RepositoryWatch::start(&repository(app, state)?, on)?)
}
