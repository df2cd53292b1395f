//! Files and folders that somebody named and that are not there.

use crate::failure::Failure;
use crate::release::Exit;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// There is nothing of this name.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotThere(String);

impl NotThere {
    /// Says what is not there, and which name was probably meant.
    pub(crate) fn at(path: &Path) -> Self {
        Self::or(path, "check the path")
    }

    /// The same, with what else can be done where no name is near.
    pub(crate) fn or(path: &Path, otherwise: &str) -> Self {
        let next = near(path).map_or_else(|| otherwise.to_owned(), |near| format!("did you mean {near:?}?"));
        Self(format!("{} is not there; {next}", path.display()))
    }
}

/// Why a file that somebody named cannot be read, and what a script learns of it.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        return Failure::new(Exit::Unknown, NotThere::at(path).to_string());
    }
    Failure::new(Exit::Failed, format!("{} cannot be read: {error}; check the path", path.display()))
}

/// The path that was probably meant: the first name in it that is not there, replaced by the nearest one that is.
fn near(path: &Path) -> Option<PathBuf> {
    let mut at = path;
    while let Some(parent) = at.parent().filter(|parent| !parent.as_os_str().is_empty() && !parent.exists()) {
        at = parent;
    }
    let folder = at.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names: Vec<String> =
        fs::read_dir(folder).ok()?.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    let near = bobbin_suggest::nearest(at.file_name()?.to_str()?, names.iter().map(String::as_str))?;
    let rest = path.strip_prefix(at).ok()?;
    let meant = at.with_file_name(near);
    Some(if rest.as_os_str().is_empty() { meant } else { meant.join(rest) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_that_is_not_there_is_replaced_by_the_nearest_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("models")).unwrap();
        fs::write(folder.path().join("spin.toml"), "").unwrap();
        let told = |path: &str| NotThere::at(&folder.path().join(path)).to_string();
        assert!(told("spin.tml").ends_with("spin.toml\"?"), "{}", told("spin.tml"));
        assert!(told("modles/a/b").ends_with("models/a/b\"?"), "{}", told("modles/a/b"));
        assert!(told("other").ends_with("other is not there; check the path"), "{}", told("other"));
        let told = NotThere::or(&folder.path().join("other"), "name another with -f").to_string();
        assert!(told.ends_with("is not there; name another with -f"), "{told}");
    }
}
