//! Verification: every byte hashed, the weights checked, the manifest's promises compared with them.

use crate::blobs::{Expected, rewind};
use crate::gguf::{self, AdapterSummary, GgufSummary};
use crate::hashing::{Pass, PassError};
use crate::tree::Tree;
use crate::{BlobStore, Bundle, BundleError, Digest, FileEntry, Kind, Manifest, Pace, Role, VerifyError};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

const MAX_TEMPLATE_BYTES: u64 = 1 << 20;

/// What the preflight found in the weights.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum WeightsSummary {
    /// A model, of the kinds `generate`, `embed` and `classify`.
    Model(GgufSummary),
    /// A LoRA adapter.
    Adapter(AdapterSummary),
}

/// A bundle whose bytes are the manifest's, lie in the blob store, and passed the preflight.
///
/// Only [`Bundle::verify`] makes one: who holds it may start a worker with it.
#[derive(Debug, Clone)]
pub struct VerifiedBundle {
    manifest: Manifest,
    digest: Digest,
    blobs: Vec<(Role, PathBuf)>,
    weights: PathBuf,
    summary: WeightsSummary,
    template: Option<String>,
}

impl VerifiedBundle {
    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The digest of the whole bundle.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// `name@version`.
    #[must_use]
    pub fn id(&self) -> String {
        self.manifest.id()
    }

    /// The blob with the weights, for a worker to map.
    #[must_use]
    pub fn weights(&self) -> &Path {
        &self.weights
    }

    /// The blob of the first file with this role.
    #[must_use]
    pub fn file(&self, role: Role) -> Option<&Path> {
        self.blobs.iter().find(|(of, _)| *of == role).map(|(_, path)| path.as_path())
    }

    /// What the preflight found.
    #[must_use]
    pub fn summary(&self) -> &WeightsSummary {
        &self.summary
    }

    /// The model's summary; `None` for adapters.
    #[must_use]
    pub fn model(&self) -> Option<&GgufSummary> {
        match &self.summary {
            WeightsSummary::Model(summary) => Some(summary),
            WeightsSummary::Adapter(_) => None,
        }
    }

    /// The chat template: the bundle's file, or else the one in the weights.
    #[must_use]
    pub fn template(&self) -> Option<&str> {
        self.template.as_deref().or_else(|| self.model()?.chat_template.as_deref())
    }
}

impl Bundle {
    /// Verifies the bundle at full speed. See [`Bundle::verify_at`].
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn verify(&self, store: &BlobStore) -> Result<VerifiedBundle, VerifyError> {
        self.verify_at(store, &mut Pace::full())
    }

    /// Hashes every file into the store, then checks the blob of the weights.
    ///
    /// Blocks for as long as reading all files takes: call it on a thread that may block.
    ///
    /// # Errors
    /// The first thing that is wrong. Nothing half-written is left in the store.
    pub fn verify_at(&self, store: &BlobStore, pace: &mut Pace<'_>) -> Result<VerifiedBundle, VerifyError> {
        let id = self.id();
        let tree = self.tree()?;
        let mut blobs = Vec::new();
        let files = &self.manifest().files;
        pace.count_to(files.iter().map(|entry| store.work(&expected(&id, entry))).sum());
        for entry in files {
            let blob = store.keep(&tree.file(&entry.path)?, &expected(&id, entry), pace)?;
            blobs.push((entry.role, blob));
        }
        let open = |entry: &FileEntry| {
            let path = store.path(&entry.sha256);
            File::open(&path).map_err(|source| store.failed(Some(&path), "opened", source))
        };
        let weights = self.weights()?;
        let summary = check_weights(self.manifest(), weights, &open(weights)?)?;
        let template = match template_entry(self.manifest()) {
            Some(entry) => Some(read_template(&id, entry, &open(entry)?)?),
            None => None,
        };
        Ok(VerifiedBundle {
            manifest: self.manifest().clone(),
            digest: self.digest(),
            weights: store.path(&weights.sha256),
            blobs,
            summary,
            template,
        })
    }

    fn weights(&self) -> Result<&FileEntry, VerifyError> {
        self.manifest().weights().ok_or_else(|| VerifyError::Missing { bundle: self.id(), path: "weights".into() })
    }
}

fn expected<'a>(bundle: &'a str, entry: &'a FileEntry) -> Expected<'a> {
    Expected { bundle, path: &entry.path, digest: entry.sha256, size: entry.size }
}

fn template_entry(manifest: &Manifest) -> Option<&FileEntry> {
    let path = manifest.prompt.template.as_ref()?;
    manifest.files.iter().find(|file| file.path == *path)
}

fn read_template(bundle: &str, entry: &FileEntry, file: &File) -> Result<String, VerifyError> {
    if entry.size > MAX_TEMPLATE_BYTES {
        let problem = format!("its file has {} bytes; at most {MAX_TEMPLATE_BYTES} are allowed", entry.size);
        return Err(VerifyError::mismatch(bundle, "prompt.template", &format!("\"{}\"", entry.path), problem));
    }
    let mut bytes = Vec::new();
    file.take(MAX_TEMPLATE_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|source| expected(bundle, entry).unreadable(source))?;
    String::from_utf8(bytes).map_err(|source| VerifyError::Template {
        bundle: bundle.to_owned(),
        path: entry.path.clone(),
        source,
    })
}

/// The preflight, and what of the manifest depends on it.
fn check_weights(manifest: &Manifest, entry: &FileEntry, file: &File) -> Result<WeightsSummary, VerifyError> {
    let id = manifest.id();
    let failed = |source| VerifyError::Gguf { bundle: id.clone(), path: entry.path.clone(), source: Box::new(source) };
    if manifest.kind == Kind::Adapter {
        return gguf::preflight_adapter(file).map(WeightsSummary::Adapter).map_err(failed);
    }
    let summary = gguf::preflight_file(file).map_err(failed)?;
    if manifest.kind == Kind::Generate && summary.encoder_only {
        return Err(VerifyError::cannot_generate(&id, manifest.kind, &summary.architecture));
    }
    let context = manifest.limits.context;
    if context > summary.context_length {
        let problem = format!("the weights were made for {0}; set it to {0} or less", summary.context_length);
        return Err(VerifyError::mismatch(&id, "limits.context", &context, problem));
    }
    let sequences = manifest.fingerprint.iter().flat_map(|fingerprint| &fingerprint.sequences);
    if let Some(token) = sequences.flat_map(|sequence| &sequence.tokens).find(|id| **id >= summary.vocabulary) {
        let problem = format!("the vocabulary has {} tokens; record the fingerprint again", summary.vocabulary);
        return Err(VerifyError::mismatch(&id, "fingerprint.sequences", &format!("token {token}"), problem));
    }
    Ok(WeightsSummary::Model(summary))
}

/// What [`verify_in_place`] found, for people.
#[derive(Debug)]
pub struct Report {
    /// The bundle.
    pub bundle: Bundle,
    /// What is wrong with the folder as a whole, unlisted files for example.
    pub folder: Result<(), VerifyError>,
    /// Every listed file, in the manifest's order.
    pub files: Vec<FileReport>,
    /// The preflight; `None` when the weights' bytes are already wrong.
    pub weights: Option<Result<WeightsSummary, VerifyError>>,
}

/// One file of a [`Report`].
#[derive(Debug)]
pub struct FileReport {
    /// The file.
    pub entry: FileEntry,
    /// Whether its bytes are the manifest's.
    pub result: Result<(), VerifyError>,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.errors().next().is_none()
    }

    /// Everything that is wrong.
    pub fn errors(&self) -> impl Iterator<Item = &VerifyError> {
        let files = self.files.iter().filter_map(|file| file.result.as_ref().err());
        let weights = self.weights.iter().filter_map(|weights| weights.as_ref().err());
        self.folder.as_ref().err().into_iter().chain(files).chain(weights)
    }
}

/// Verifies the bundle in `folder` without storing anything, and goes on after the first error.
///
/// # Errors
/// Where the manifest cannot be read; everything else is in the report.
pub fn verify_in_place(folder: &Path, pace: &mut Pace<'_>) -> Result<Report, BundleError> {
    let bundle = Bundle::open(folder)?;
    pace.count_to(bundle.manifest().size());
    verify_on(bundle, pace)
}

/// The same, as part of a round that has begun.
pub(crate) fn verify_on(bundle: Bundle, pace: &mut Pace<'_>) -> Result<Report, BundleError> {
    let manifest = bundle.manifest().clone();
    let tree = Tree::open(bundle.folder(), bundle.id())?;
    let mut files = Vec::new();
    let mut weights = None;
    for entry in manifest.files.clone() {
        let result = hash_in_place(&tree, &manifest, &entry, pace, &mut weights);
        files.push(FileReport { entry, result });
    }
    Ok(Report { folder: bundle.tree().map(|_| ()), bundle, files, weights })
}

fn hash_in_place(
    tree: &Tree,
    manifest: &Manifest,
    entry: &FileEntry,
    pace: &mut Pace<'_>,
    weights: &mut Option<Result<WeightsSummary, VerifyError>>,
) -> Result<(), VerifyError> {
    let id = manifest.id();
    let expected = expected(&id, entry);
    let file = tree.file(&entry.path)?;
    expected.size_is(file.metadata().map_err(|source| expected.unreadable(source))?.len())?;
    let pass = Pass { path: &entry.path, size: entry.size, forget: true };
    let (digest, size) = pass.run(&file, None, pace).map_err(|error| match error {
        PassError::Read(source) | PassError::Write(source) => expected.unreadable(source),
        PassError::GivenUp => expected.given_up(),
    })?;
    expected.is(digest, size)?;
    rewind(&file).map_err(|source| expected.unreadable(source))?;
    if entry.role == Role::Weights {
        *weights = Some(check_weights(manifest, entry, &file));
    }
    if template_entry(manifest) == Some(entry) {
        read_template(&id, entry, &file)?;
    }
    Ok(())
}
