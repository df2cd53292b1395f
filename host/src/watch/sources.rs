//! What `bobbin watch` looks at: which files an application is made of, and when one of them is another.
//!
//! Files are looked at now and then instead of listening to the kernel: that works on every file system, needs no list of
//! folders to be kept, and costs some milliseconds for some thousand files.

use bobbin_manifest::Manifest;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A file's time of change and length.
pub(crate) type Stamp = (Option<SystemTime>, u64);

/// The files of an application.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sources {
    /// What is read when the application is loaded.
    pub(crate) loaded: Files,
    /// What is read when it is built.
    pub(crate) built: Files,
}

/// Patterns, and the files that they find.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Files {
    patterns: Vec<PathBuf>,
    found: BTreeMap<PathBuf, Stamp>,
}

impl Sources {
    /// Looks at everything that a manifest names. With `build`, what its components are built from counts, too.
    /// `beside` are further files that are read when the application is loaded.
    pub(crate) fn of(manifest: &Manifest, build: bool, beside: &[PathBuf]) -> Self {
        let folder = manifest.folder();
        let named = manifest.local_files().into_iter().map(|file| folder.join(file));
        let loaded = [manifest.file().to_owned()].into_iter().chain(named).chain(beside.iter().cloned()).collect();
        let built = manifest.builds().filter(|_| build).flat_map(|(_, build)| {
            let folder = build.folder(folder);
            build.watch.iter().map(move |pattern| folder.join(pattern))
        });
        Self { loaded: Files::found_by(loaded), built: Files::found_by(built.collect()) }
    }

    /// One file alone: a manifest that cannot be read.
    pub(crate) fn only(manifest: &Path) -> Self {
        Self { loaded: Files::found_by(vec![manifest.to_owned()]), built: Files::default() }
    }

    /// The manifest as it is.
    pub(crate) fn manifest(&self) -> Option<&Stamp> {
        self.loaded.found.get(self.loaded.patterns.first()?)
    }

    /// Looks again at the same patterns.
    pub(crate) fn again(&self) -> Self {
        Self { loaded: self.loaded.again(), built: self.built.again() }
    }
}

impl Files {
    fn found_by(patterns: Vec<PathBuf>) -> Self {
        let mut found = BTreeMap::new();
        for pattern in &patterns {
            // A path is taken as it is, whatever signs it has; else it may be a pattern.
            if !look(pattern, &mut found) {
                let paths = pattern.to_str().and_then(|text| glob::glob(text).ok());
                for path in paths.into_iter().flatten().flatten() {
                    look(&path, &mut found);
                }
            }
        }
        Self { patterns, found }
    }

    fn again(&self) -> Self {
        Self::found_by(self.patterns.clone())
    }
}

/// Notes a file, or all files of a folder. False where there is nothing.
fn look(path: &Path, found: &mut BTreeMap<PathBuf, Stamp>) -> bool {
    let Ok(metadata) = path.metadata() else { return false };
    if !metadata.is_dir() {
        found.insert(path.to_owned(), (metadata.modified().ok(), metadata.len()));
        return true;
    }
    for entry in path.read_dir().into_iter().flatten().flatten() {
        // A link to a folder may lead round in a circle.
        if entry.file_type().is_ok_and(|kind| !kind.is_symlink()) {
            look(&entry.path(), found);
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "app"
[[trigger.http]]
route = "/"
component = "a"
[component.a]
source = "a.wasm"
files = ["public/**/*", { source = "pages", destination = "/pages" }]
[component.a.build]
command = "make"
workdir = "a"
watch = ["src/**/*.rs", "Cargo.toml"]
"#;

    #[test]
    fn a_change_of_any_file_that_is_named_is_seen_and_of_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path);
        for path in ["public/css", "pages/deep", "a/src/deep"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        fs::write(at("spin.toml"), MANIFEST).unwrap();
        let manifest = bobbin_manifest::open(&at("spin.toml"), None).unwrap();
        let mut seen = Sources::of(&manifest, true, &[]);
        assert_eq!(seen, seen.again());
        for (path, loaded, built) in [
            ("a.wasm", true, false),
            ("public/css/new.css", true, false),
            ("pages/deep/new.html", true, false),
            ("spin.toml", true, false),
            ("a/src/deep/new.rs", false, true),
            ("a/Cargo.toml", false, true),
            ("a/src/notes.txt", false, false),
            ("elsewhere", false, false),
        ] {
            fs::write(at(path), format!("{path} {MANIFEST}")).unwrap();
            let now = seen.again();
            assert_eq!((now.loaded != seen.loaded, now.built != seen.built), (loaded, built), "{path}");
            seen = now;
        }
        fs::remove_file(at("public/css/new.css")).unwrap();
        assert_ne!(seen.again().loaded, seen.loaded, "a file that is gone is a change");
        assert!(Sources::of(&manifest, false, &[]).built.found.is_empty());
    }
}
