//! Finds a bundle by what somebody typed: a name, perhaps with a version.

use crate::failure::Failure;
use crate::release::Exit;
use bobbin_bundle::{Bundle, BundleError, Listed, Repository};
use bobbin_manifest::{BundleRef, BundleRefError};
use std::path::Path;
use std::str::FromStr;

/// A bundle, as a command line names it that takes the newest version where none is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The newest version of this name.
    Newest(String),
    /// This version.
    Exactly(BundleRef),
}

impl FromStr for Wanted {
    type Err = BundleRefError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('@') {
            return text.parse().map(Self::Exactly);
        }
        // Whether a name can be one does not depend on the version.
        let BundleRef { name, .. } = format!("{text}@0.0.0").parse()?;
        Ok(Self::Newest(name))
    }
}

/// The bundle that is meant.
///
/// # Errors
/// [`Exit::Unknown`] with the nearest name, or with the versions that there are; why it cannot be read.
pub(crate) fn find(repository: &Path, wanted: &Wanted) -> Result<Bundle, Failure> {
    let repository = Repository::open(repository)?;
    match wanted {
        Wanted::Exactly(BundleRef { name, version }) => match repository.find(name, version) {
            Err(BundleError::NotFound { .. }) => Err(unknown(&repository, name, Some(&version.to_string()))?),
            found => Ok(found?),
        },
        Wanted::Newest(name) => {
            let listed = repository.list()?.into_iter().filter(|listed| listed.name == *name);
            // In the order of versions; one that is not finished is not what somebody means who names none.
            let newest = listed
                .reduce(|older, newer| if is_unfinished(&newer) && !is_unfinished(&older) { older } else { newer });
            match newest {
                Some(newest) => Ok(newest.bundle?),
                None => Err(unknown(&repository, name, None)?),
            }
        }
    }
}

fn is_unfinished(listed: &Listed) -> bool {
    listed.version.contains('-')
}

/// Says what there is instead.
pub(crate) fn unknown(repository: &Repository, name: &str, version: Option<&str>) -> Result<Failure, BundleError> {
    let (mut names, mut versions) = (Vec::new(), Vec::new());
    for listed in repository.list()? {
        if listed.name == name {
            versions.push(listed.version);
        }
        if names.last() != Some(&listed.name) {
            names.push(listed.name);
        }
    }
    let folder = repository.folder().display();
    let message = match version {
        Some(version) if !versions.is_empty() => {
            format!(
                "{name}@{version} is not in {folder}: it has no version {version}; there is {}",
                versions.join(", ")
            )
        }
        Some(_) | None => format!(
            "there is no bundle {name:?} in {folder}; {}",
            bobbin_suggest::help(name, names.iter().map(String::as_str), "there are none")
        ),
    };
    Ok(Failure::new(Exit::Unknown, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_alone_means_the_newest_version() {
        assert_eq!("story".parse::<Wanted>().unwrap(), Wanted::Newest("story".into()));
        assert!(matches!("story@1.0.0".parse(), Ok(Wanted::Exactly(_))));
        for wrong in ["", "Story", "story@1.0", "../story", "a--b"] {
            assert!(wrong.parse::<Wanted>().is_err(), "{wrong}");
        }
    }
}
