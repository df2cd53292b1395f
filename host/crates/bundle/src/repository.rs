//! A folder of bundles: `<repository>/<name>/<version>/bundle.toml`.

use crate::bundle::MANIFEST;
use crate::{Bundle, BundleError, checks};
use semver::Version;
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
        repository.folders_in(folder).map(|_| repository)
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
        let mut all = Vec::new();
        for name in self.folders_in(&self.folder)? {
            let parent = self.folder.join(&name);
            let versions = match self.folders_in(&parent) {
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

    fn folders_in(&self, folder: &Path) -> Result<Vec<String>, BundleError> {
        let failed =
            |source: io::Error| BundleError::Io { path: folder.to_owned(), action: "listed as a repository", source };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.starts_with('.') && entry.path().is_dir() {
                names.push(name);
            }
        }
        Ok(names)
    }
}
