//! One bundle on disk: its folder, its manifest, its digest.

use crate::tree::Tree;
use crate::{BundleError, Digest, Manifest, VerifyError};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

pub(crate) const MANIFEST: &str = "bundle.toml";
pub(crate) const MAX_MANIFEST_BYTES: u64 = 1 << 20;

/// A bundle whose manifest is read and checked; its files are not yet.
#[derive(Debug, Clone)]
pub struct Bundle {
    folder: PathBuf,
    manifest: Manifest,
    manifest_digest: Digest,
    digest: Digest,
}

impl Bundle {
    /// Reads the bundle in `folder`, which must be called `<name>/<version>` as its manifest says.
    ///
    /// # Errors
    /// What is wrong with the folder or the manifest, with line and column.
    pub fn open(folder: &Path) -> Result<Self, BundleError> {
        let folder = std::fs::canonicalize(folder).map_err(|source| BundleError::Io {
            path: folder.to_owned(),
            action: "found",
            source,
        })?;
        let path = folder.join(MANIFEST);
        let tree = Tree::open(&folder, folder.display().to_string())?;
        let text = read_manifest(&tree, &path)?;
        let manifest = Manifest::parse(&text, &path)?;
        is_called(&folder, &manifest)?;
        let manifest_digest = Digest::of(text.as_bytes());
        let listed = manifest.files.iter().map(|file| (file.path.as_str(), file.sha256, file.size));
        let digest = Digest::of_list(listed.chain([(MANIFEST, manifest_digest, text.len() as u64)]).collect());
        Ok(Self { folder, manifest, manifest_digest, digest })
    }

    /// The folder, absolute.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The digest that the manifest claims for the whole bundle; verification makes it true.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// `name@version`.
    #[must_use]
    pub fn id(&self) -> String {
        self.manifest.id()
    }

    /// Opens the folder for verification and refuses a manifest that changed since it was read, and files that
    /// it does not list.
    pub(crate) fn tree(&self) -> Result<Tree, VerifyError> {
        let tree = Tree::open(&self.folder, self.id())?;
        let text = read_manifest(&tree, &self.folder.join(MANIFEST))?;
        if Digest::of(text.as_bytes()) != self.manifest_digest {
            return Err(VerifyError::Changed { bundle: self.id() });
        }
        let listed = self.manifest.files.iter().map(|file| file.path.as_str()).chain([MANIFEST]).collect();
        tree.holds_only(&listed)?;
        Ok(tree)
    }
}

pub(crate) fn read_manifest(tree: &Tree, path: &Path) -> Result<String, BundleError> {
    let failed = |source| BundleError::Io { path: path.to_owned(), action: "read", source };
    let file: File = match tree.file(MANIFEST) {
        Ok(file) => file,
        Err(VerifyError::Read { source, .. }) => return Err(failed(source)),
        Err(VerifyError::Missing { .. }) => return Err(failed(std::io::ErrorKind::NotFound.into())),
        Err(other) => return Err(failed(std::io::Error::other(other))),
    };
    let mut text = String::new();
    let read = file.take(MAX_MANIFEST_BYTES + 1).read_to_string(&mut text).map_err(failed)? as u64;
    if read > MAX_MANIFEST_BYTES {
        return Err(failed(std::io::Error::other(format!("it has more than {MAX_MANIFEST_BYTES} bytes"))));
    }
    Ok(text)
}

fn is_called(folder: &Path, manifest: &Manifest) -> Result<(), BundleError> {
    let version = manifest.version.to_string();
    let mut names = folder.iter().rev();
    for (key, expected) in [("version", version.as_str()), ("name", manifest.name.as_str())] {
        if names.next().is_none_or(|found| found != expected) {
            let expected = format!("{}/{version}", manifest.name);
            return Err(BundleError::Folder { path: folder.to_owned(), key, expected });
        }
    }
    Ok(())
}
