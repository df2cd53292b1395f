//! From a reference to a locked application on this disk.

use crate::archive::{self, ArchiveError, Room};
use crate::credentials::Files;
use crate::digest::Digest;
use crate::errors::PullError;
use crate::fetch;
use crate::hold::{Adding, Held};
use crate::image::{Blob, Image, Main};
use crate::locked::{Locked, Origin};
use crate::plan::{self, Plan};
use crate::progress::Progress;
use crate::reference;
use crate::registry::Registry;
use crate::store::Store;
use futures::{StreamExt as _, TryStreamExt as _};
use oci_client::Reference;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tokio::sync::OnceCell;

/// Blobs that are fetched at once.
const AT_ONCE: usize = 4;

/// What to fetch, and where to.
#[derive(Debug, Clone, Copy)]
pub struct Pull<'a> {
    /// The image: `registry.example/name:tag`, or with a digest.
    pub reference: &'a str,
    /// Speak plain HTTP with the registry.
    pub insecure: bool,
    /// The folder of images, which hosts share.
    pub cache: &'a Path,
}

/// An application that was fetched.
#[derive(Debug)]
pub struct Pulled {
    /// Where it is.
    pub placed: Placed,
    /// The digest of the image.
    pub digest: Digest,
}

/// An application in the folder of images.
#[derive(Debug)]
pub struct Placed {
    /// The locked application, whose content is in files.
    pub locked: PathBuf,
    /// While this lives, nobody removes those files.
    pub held: Held,
}

/// Fetches what is missing of an image. One that is named by its digest and is here needs no registry.
///
/// # Errors
/// When the image is no application, when anything in it is not what its digest says, and when the registry or this disk
/// do not give what is needed.
pub async fn pull(pull: Pull<'_>, progress: &dyn Progress) -> Result<Pulled, PullError> {
    let reference = reference::parse(pull.reference)?;
    let store = Store::open(pull.cache)?;
    let adding = store.adding()?;
    let source = Source { reference: &reference, insecure: pull.insecure, connected: OnceCell::new() };
    let (manifest, digest) = source.manifest(&store).await?;
    let name = reference.to_string();
    let image = Image::read(&manifest).map_err(|source| PullError::Image { image: name.clone(), source })?;
    let mut known = vec![digest.clone()];
    let bytes = match &image.main {
        Main::Application(application) => {
            source.fetch_all(&store, std::slice::from_ref(application), &Silent).await?;
            known.push(application.digest.clone());
            store.bytes(&application.digest)?
        }
        Main::Component(component) => around(reference.repository(), &component.digest),
    };
    let application = |source| PullError::Application { image: name.clone(), source };
    let locked = Locked::read(&bytes, Origin::Image).map_err(application)?;
    let here = here(&store, locked.wanted.keys())?;
    let plan = plan::plan(&image, &locked.wanted, |digest| here.contains(digest));
    let plan = plan.map_err(|source| PullError::Incomplete { image: name.clone(), source })?;
    source.fetch_planned(&store, &plan, progress).await?;
    let loose = unpack(&store, &plan).await?.map_err(|source| PullError::Archive { image: name.clone(), source })?;
    if let Some(digest) = loose.first() {
        let source = plan::missing(&locked.wanted, digest);
        return Err(PullError::Incomplete { image: name, source });
    }
    let placed = place(&store, &adding, locked, &digest, known, application)?;
    Ok(Pulled { placed, digest })
}

/// What Spin serves of a single component: it answers every path, and is granted nothing.
fn around(repository: &str, component: &Digest) -> Vec<u8> {
    let name = repository.rsplit('/').next().unwrap_or(repository);
    let application = json!({
        "spin_lock_version": 1,
        "metadata": { "name": name },
        "triggers": [{
            "id": "http-trigger1",
            "trigger_type": "http",
            "trigger_config": { "route": "/...", "component": name },
        }],
        "components": [{
            "id": name,
            "source": { "content_type": "application/wasm", "digest": component.to_string() },
        }],
    });
    application.to_string().into_bytes()
}

/// As [`pull`], for a locked application in a file: content that lies in it is written to files. None where it has none,
/// and where the text is no such application.
///
/// # Errors
/// When the content is not what its digest says, or cannot be written.
pub fn embedded(locked: &[u8], cache: &Path) -> Result<Option<Placed>, PullError> {
    // Anything that is wrong with it is told where all of it is read.
    let Ok(locked_json) = serde_json::from_slice::<serde_json::Value>(locked) else { return Ok(None) };
    if !locked_json.is_object() {
        return Ok(None);
    }
    let read = Locked::read(locked, Origin::File)?;
    if read.inline.is_empty() {
        return Ok(None);
    }
    let store = Store::open(cache)?;
    let adding = store.adding()?;
    place(&store, &adding, read, &Digest::of(locked), Vec::new(), PullError::Embedded).map(Some)
}

/// `known` is what is needed besides the content of the application.
fn place(
    store: &Store,
    adding: &Adding,
    locked: Locked,
    name: &Digest,
    mut known: Vec<Digest>,
    refused: impl Fn(crate::locked::LockedError) -> PullError,
) -> Result<Placed, PullError> {
    for bytes in locked.inline.values() {
        store.keep(bytes)?;
    }
    known.extend(locked.wanted.keys().chain(locked.inline.keys()).cloned());
    let text = locked.placed(|digest| store.path(digest)).map_err(refused)?;
    let locked = store.keep_application(name, &text, &known)?;
    Ok(Placed { locked, held: store.hold(adding, name)? })
}

/// What of the content is here and intact.
fn here<'a>(store: &Store, wanted: impl Iterator<Item = &'a Digest>) -> Result<BTreeSet<Digest>, PullError> {
    let mut here = BTreeSet::new();
    for digest in wanted {
        if store.is_intact(digest)? {
            here.insert(digest.clone());
        }
    }
    Ok(here)
}

/// Takes what is loose out of the archives, and returns what was in none.
async fn unpack(store: &Store, plan: &Plan) -> Result<Result<BTreeSet<Digest>, ArchiveError>, PullError> {
    let (store, mut loose) = (store.clone(), plan.loose.clone());
    let archives: Vec<Digest> = plan.archives.iter().map(|blob| blob.digest.clone()).collect();
    let unpacking = tokio::task::spawn_blocking(move || {
        let mut room = Room::default();
        for archive in &archives {
            let unpacked = archive::unpack(&store, archive, &mut loose, &mut room);
            // Its files have names of their own now, and one that is damaged is of no use.
            store.remove(archive);
            unpacked?;
        }
        Ok(loose)
    });
    unpacking.await.map_err(PullError::Interrupted)
}

/// An image's registry, which is asked when something of the image is missing.
struct Source<'a> {
    reference: &'a Reference,
    insecure: bool,
    connected: OnceCell<Registry>,
}

impl Source<'_> {
    async fn registry(&self) -> Result<&Registry, PullError> {
        let connect = async || {
            let name = self.reference.resolve_registry().to_owned();
            // A credential helper is a program that may ask somebody.
            let credentials = tokio::task::spawn_blocking(move || Files::of_this_user().find(&name));
            let credentials = credentials.await.map_err(PullError::Interrupted)?;
            let connecting = Registry::connect(self.reference.clone(), credentials, self.insecure);
            // Boxed: whoever waits for an image should not be as large as all that may happen on the way.
            Ok(Box::pin(connecting).await?)
        };
        self.connected.get_or_try_init(connect).await
    }

    /// The image's manifest and its digest.
    async fn manifest(&self, store: &Store) -> Result<(Vec<u8>, Digest), PullError> {
        if let Some(digest) = self.reference.digest().and_then(|text| Digest::parse(text).ok())
            && store.is_intact(&digest)?
        {
            return Ok((store.bytes(&digest)?, digest));
        }
        let (bytes, digest) = self.registry().await?.manifest().await?;
        store.keep(&bytes)?;
        Ok((bytes, digest))
    }

    async fn fetch_planned(&self, store: &Store, plan: &Plan, progress: &dyn Progress) -> Result<(), PullError> {
        let blobs: Vec<Blob> = plan.blobs.iter().chain(&plan.archives).cloned().collect();
        progress.begin(blobs.len(), blobs.iter().map(|blob| blob.size).sum());
        self.fetch_all(store, &blobs, progress).await
    }

    async fn fetch_all(&self, store: &Store, blobs: &[Blob], progress: &dyn Progress) -> Result<(), PullError> {
        let fetches = blobs.iter().map(|blob| async move {
            if store.is_intact(&blob.digest)? {
                return Ok(());
            }
            Box::pin(fetch::fetch(self.registry().await?, store, blob, progress)).await
        });
        futures::stream::iter(fetches).buffer_unordered(AT_ONCE).try_collect().await
    }
}

/// Nobody waits for this long.
struct Silent;

impl Progress for Silent {
    fn begin(&self, _blobs: usize, _bytes: u64) {}
    fn more(&self, _bytes: u64) {}
    fn again(&self, _bytes: u64) {}
    fn whole(&self, _digest: &str, _bytes: u64) {}
}
