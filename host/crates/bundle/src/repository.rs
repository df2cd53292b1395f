//! A folder of bundles: `<repository>/<name>/<version>/bundle.toml`.

use crate::bundle::MANIFEST;
use crate::{Bundle, BundleError, Digest, checks};
use semver::Version;
use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

/// A folder of bundles. Nothing of it is kept in memory: each call looks at the disk.
#[derive(Debug, Clone)]
pub struct Repository {
    folder: PathBuf,
}

/// One folder that is, or should be, a bundle.
#[derive(Debug)]
pub struct Listed {
    /// The name of its parent folder.
    pub name: String,
    /// The name of its folder.
    pub version: String,
    /// The bundle, or why it cannot be read.
    pub bundle: Result<Bundle, BundleError>,
}

impl Repository {
    /// Opens a repository.
    ///
    /// # Errors
    /// [`BundleError::Io`] where the folder cannot be listed.
    pub fn open(folder: &Path) -> Result<Self, BundleError> {
        let repository = Self { folder: folder.to_owned() };
        repository.folders_in(folder, &mut Vec::new()).map(|_| repository)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Every bundle, by name and then by version, the unreadable among them. A version's folder counts as a
    /// bundle when it has a `bundle.toml` or a version's name; names that begin with a dot are being written.
    ///
    /// # Errors
    /// [`BundleError::Io`] where the repository itself cannot be listed.
    pub fn list(&self) -> Result<Vec<Listed>, BundleError> {
        self.walk(&mut Vec::new())
    }

    /// The digests of every file of every bundle, which are the names of their blobs: all of them, or an error. Who
    /// removes what nobody lists must not do so with a part of the list.
    ///
    /// # Errors
    /// The first bundle that cannot be read, or the first name of which it cannot be told whether a bundle lies
    /// behind it: a link that leads nowhere, for instance to a disk that is not mounted.
    pub fn digests(&self) -> Result<HashSet<Digest>, BundleError> {
        let mut unclear = Vec::new();
        let listed = self.walk(&mut unclear)?;
        if let Some(error) = unclear.into_iter().next() {
            return Err(error);
        }
        let mut digests = HashSet::new();
        for listed in listed {
            digests.extend(listed.bundle?.manifest().digests());
        }
        Ok(digests)
    }

    /// Every bundle, in order; `unclear` gets what could not be told from a folder.
    fn walk(&self, unclear: &mut Vec<BundleError>) -> Result<Vec<Listed>, BundleError> {
        let mut all = Vec::new();
        for name in self.folders_in(&self.folder, unclear)? {
            let parent = self.folder.join(&name);
            let versions = match self.folders_in(&parent, unclear) {
                Ok(versions) => versions,
                Err(error) => {
                    all.push(Listed { name, version: "?".into(), bundle: Err(error) });
                    continue;
                }
            };
            for version in versions {
                let folder = parent.join(&version);
                let claims = Version::parse(&version).is_ok() || folder.join(MANIFEST).symlink_metadata().is_ok();
                if claims {
                    all.push(Listed { name: name.clone(), version, bundle: Bundle::open(&folder) });
                }
            }
        }
        let order =
            |listed: &Listed| (listed.name.clone(), Version::parse(&listed.version).ok(), listed.version.clone());
        all.sort_by_cached_key(order);
        Ok(all)
    }

    /// The bundle of this name and version.
    ///
    /// # Errors
    /// [`BundleError::NotFound`], or why it cannot be read.
    pub fn find(&self, name: &str, version: &Version) -> Result<Bundle, BundleError> {
        let folder = self.folder.join(name).join(version.to_string());
        if !checks::is_name(name) || !folder.is_dir() {
            return Err(BundleError::NotFound {
                repository: self.folder.clone(),
                name: name.to_owned(),
                version: version.to_string(),
            });
        }
        Bundle::open(&folder)
    }

    fn folders_in(&self, folder: &Path, unclear: &mut Vec<BundleError>) -> Result<Vec<String>, BundleError> {
        let failed =
            |source: io::Error| BundleError::Io { path: folder.to_owned(), action: "listed as a repository", source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') {
                continue;
            }
            let path = entry.path();
            match std::fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => names.push(name),
                Ok(_) => {}
                Err(source) => unclear.push(BundleError::Io { path, action: "examined", source }),
            }
        }
        Ok(names)
    }
}
