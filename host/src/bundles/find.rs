//! Finds a bundle by what somebody typed: a name, perhaps with a version.

use crate::failure::Failure;
use crate::missing::NotThere;
use crate::release::Exit;
use bobbin_bundle::{Bundle, BundleError, Listed, Repository};
use bobbin_manifest::{BundleRef, BundleRefError};
use semver::Version;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A bundle, as a command line names it that takes the newest version where none is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The newest version of this name.
    Newest(String),
    /// This version.
    Exactly(BundleRef),
    /// Something of this name that is no version. Which there are, the repository knows.
    Unclear {
        /// The name.
        name: String,
        /// What stands where a version should.
        version: String,
    },
}

impl FromStr for Wanted {
    type Err = BundleRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Whether a name can be one does not depend on the version.
        let named = |name: &str| format!("{name}@0.0.0").parse().map(|BundleRef { name, .. }| name);
        match text.split_once('@') {
            None => named(text).map(Self::Newest),
            Some((name, version)) => match text.parse() {
                Ok(reference) => Ok(Self::Exactly(reference)),
                Err(_) => Ok(Self::Unclear { name: named(name)?, version: version.to_owned() }),
            },
        }
    }
}

/// Opens the repository that somebody named.
///
/// # Errors
/// [`Exit::Unknown`] where there is no such folder; why it cannot be listed.
pub(crate) fn repository(folder: &Path) -> Result<Repository, Failure> {
    if !folder.exists() {
        let otherwise = "name the folder of the bundles with --repository";
        return Err(Failure::new(Exit::Unknown, NotThere::or(folder, otherwise).to_string()));
    }
    Ok(Repository::open(folder)?)
}

/// The bundle that is meant.
///
/// # Errors
/// [`Exit::Unknown`] with the nearest name, or with the versions that there are; why it cannot be read.
pub(crate) fn find(folder: &Path, wanted: &Wanted) -> Result<Bundle, Failure> {
    let repository = repository(folder)?;
    match wanted {
        Wanted::Exactly(BundleRef { name, version }) => match repository.find(name, version) {
            Err(BundleError::NotFound { .. }) => Err(unknown(&repository, name, Some(&version.to_string()))?),
            found => Ok(found?),
        },
        Wanted::Newest(name) => match newest(&repository, name)? {
            Some(newest) => Ok(newest.bundle?),
            None => Err(unknown(&repository, name, None)?),
        },
        Wanted::Unclear { name, version } => {
            let Some(there) = versions(&repository.list()?, name) else {
                return Err(unknown(&repository, name, None)?);
            };
            let message = format!(
                "{version:?} is no version, which is written as 1.0.0; {there}, and {name} alone means the newest"
            );
            Err(Failure::new(Exit::Usage, message))
        }
    }
}

/// The folder of the bundle that somebody typed as a path: that one, or the newest version in the folder of a name.
///
/// # Errors
/// [`Exit::Unknown`] with what there is instead.
pub(crate) fn at(folder: &Path) -> Result<PathBuf, Failure> {
    let name = folder.file_name().and_then(|name| name.to_str());
    let beside = |path: &Path| match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        Some(_) | None => PathBuf::from("."),
    };
    let above = beside(folder);
    let is_bundle = folder.join("bundle.toml").symlink_metadata().is_ok();
    if folder.is_dir()
        && !is_bundle
        && let Some(name) = name
        && let Some(newest) = newest(&Repository::open(&above)?, name)?
    {
        return Ok(newest.bundle?.folder().to_owned());
    }
    if folder.symlink_metadata().is_ok() {
        // Whether it is a bundle is for whoever opens it.
        return Ok(folder.to_owned());
    }
    // <repository>/<name>/<version>, or <repository>/<name>.
    let versioned =
        name.filter(|name| Version::parse(name).is_ok()).zip(above.file_name().and_then(|name| name.to_str()));
    let (repository, name, version) = match versioned {
        Some((version, name)) => (beside(&above), Some(name), Some(version)),
        None => (above.clone(), name, None),
    };
    if let Some(name) = name
        && let Ok(repository) = Repository::open(&repository)
        && !repository.list()?.is_empty()
    {
        return Err(unknown(&repository, name, version)?);
    }
    Err(Failure::new(Exit::Unknown, NotThere::at(folder).to_string()))
}

/// The newest version of a name.
fn newest(repository: &Repository, name: &str) -> Result<Option<Listed>, BundleError> {
    let listed = repository.list()?.into_iter().filter(|listed| listed.name == name);
    // In the order of versions; one that is not finished is not what somebody means who names none.
    Ok(listed.reduce(|older, newer| if is_unfinished(&newer) && !is_unfinished(&older) { older } else { newer }))
}

fn is_unfinished(listed: &Listed) -> bool {
    listed.version.contains('-')
}

/// Says which versions of a name there are, if there are any.
fn versions(listed: &[Listed], name: &str) -> Option<String> {
    let versions = listed.iter().filter(|listed| listed.name == name).map(|listed| listed.version.as_str());
    match versions.collect::<Vec<_>>().as_slice() {
        [] => None,
        [only] => Some(format!("there is {only}")),
        several => Some(format!("there are {}", several.join(", "))),
    }
}

/// Says what there is instead.
pub(crate) fn unknown(repository: &Repository, name: &str, version: Option<&str>) -> Result<Failure, BundleError> {
    let folder = repository.folder().display();
    let listed = repository.list()?;
    let message = match (version, versions(&listed, name)) {
        (Some(version), Some(there)) => format!("{name} has no version {version} in {folder}; {there}"),
        (Some(_) | None, _) => {
            let mut names: Vec<&str> = listed.iter().map(|listed| listed.name.as_str()).collect();
            names.dedup();
            format!(
                "there is no bundle {name:?} in {folder}; {}",
                bobbin_suggest::help(name, names.iter().copied(), "there are none")
            )
        }
    };
    Ok(Failure::new(Exit::Unknown, message).code("unknown_bundle"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_means_the_newest_version() {
        assert_eq!("story".parse::<Wanted>().unwrap(), Wanted::Newest("story".into()));
        assert!(matches!("story@1.0.0".parse(), Ok(Wanted::Exactly(_))));
        assert!(matches!("story@1.0".parse(), Ok(Wanted::Unclear { .. })));
        for wrong in ["", "Story", "Story@1.0", "../story", "a--b"] {
            assert!(wrong.parse::<Wanted>().is_err(), "{wrong}");
        }
    }
}
