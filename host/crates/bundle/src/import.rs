//! Bundles that were made elsewhere: a folder, or an archive of one, becomes a version of a repository.
//!
//! An archive is read twice: once for its manifest, and then for the files that the manifest lists. So nothing in it
//! chooses a path on this disk, and no more is written than the manifest says there is. Extensions of the format are not
//! read: they could be held in memory whole.

use crate::bundle::{MANIFEST, MAX_MANIFEST_BYTES, read_manifest};
use crate::regular::open_regular;
use crate::tree::Tree;
use crate::verify::verify_on;
use crate::{Bundle, BundleError, Draft, DraftError, FileEntry, Manifest, Pace, Report, VerifyError};
use flate2::read::MultiGzDecoder;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, Entry, EntryType};

/// Entries of an archive; a bundle has at most 64 files, in plain folders.
const MOST_ENTRIES: usize = 4096;

/// Why a bundle was not taken in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// It cannot be read as a bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Its folder holds something else than its manifest lists.
    #[error(transparent)]
    Folder(#[from] VerifyError),
    /// It could not be written.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// It is a pipe, or a device.
    #[error(
        "{} is neither a folder nor a regular file, and an archive is read twice; write it into a file, and give that",
        path.display()
    )]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// The archive cannot be read.
    #[error("{} cannot be read as an archive of a bundle: {source}; pack it anew with `tar -czf`", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The archive holds something that no bundle has.
    #[error("{}: \"{entry}\" {problem}", path.display())]
    Entry {
        /// The archive.
        path: PathBuf,
        /// The name in it.
        entry: String,
        /// What is wrong, and the next step.
        problem: String,
    },
    /// The archive has no manifest.
    #[error("{} holds no bundle.toml; pack the folder of a bundle, as in `tar -czf story.tar.gz models/story/1.0.0`", path.display())]
    NoManifest {
        /// The archive.
        path: PathBuf,
    },
    /// It is not what its manifest says, or no model that can be loaded.
    #[error("{}", .0.errors().next().map(ToString::to_string).unwrap_or_default())]
    Refused(Box<Report>),
}

/// Takes a bundle in: a folder with a `bundle.toml`, or a `.tar` or `.tar.gz` of one. It appears in the repository when
/// all of it is verified, and not before. Blocking.
///
/// # Errors
/// What is wrong with it; nothing is left behind then.
pub fn import(source: &Path, repository: &Path, pace: &mut Pace<'_>) -> Result<Bundle, ImportError> {
    let unreadable = |error| BundleError::Io { path: source.to_owned(), action: "read", source: error };
    let metadata = std::fs::metadata(source).map_err(unreadable)?;
    let draft = if metadata.is_dir() {
        from_folder(source, repository, pace)?
    } else if metadata.is_file() {
        from_archive(source, repository, pace)?
    } else {
        return Err(ImportError::NotAFile { path: source.to_owned() });
    };
    let report = verify_on(Bundle::open(&draft.folder())?, pace)?;
    if !report.is_ok() {
        return Err(ImportError::Refused(Box::new(report)));
    }
    Ok(draft.publish()?)
}

fn from_folder(folder: &Path, repository: &Path, pace: &mut Pace<'_>) -> Result<Draft, ImportError> {
    let path = folder.join(MANIFEST);
    let tree = Tree::open(folder, folder.display().to_string())?;
    let text = read_manifest(&tree, &path)?;
    let manifest = Manifest::parse(&text, &path)?;
    let listed = manifest.files.iter().map(|file| file.path.as_str()).chain([MANIFEST]).collect();
    tree.holds_only(&listed)?;
    let draft = Draft::begin(repository, &manifest.name, &manifest.version)?;
    count(&manifest, pace);
    for entry in &manifest.files {
        let file = tree.file(&entry.path)?;
        draft.add_file(&entry.path, entry.role, &file, pace)?;
    }
    draft.write(&text)?;
    Ok(draft)
}

/// One round: every byte is copied, and then verified.
fn count(manifest: &Manifest, pace: &mut Pace<'_>) {
    pace.count_to(manifest.size().saturating_mul(2));
}

/// An archive on disk.
struct Packed<'a> {
    path: &'a Path,
    file: File,
    zipped: bool,
}

impl<'a> Packed<'a> {
    fn open(path: &'a Path) -> Result<Self, ImportError> {
        let mut file = open_regular(path).map_err(|source| ImportError::Archive { path: path.to_owned(), source })?;
        let mut magic = [0; 2];
        let zipped = file.read_exact(&mut magic).is_ok() && magic == [0x1f, 0x8b];
        Ok(Self { path, file, zipped })
    }

    fn failed(&self, source: io::Error) -> ImportError {
        ImportError::Archive { path: self.path.to_owned(), source }
    }

    fn bad(&self, entry: &str, problem: impl Into<String>) -> ImportError {
        let entry = entry.escape_debug().take(300).collect();
        ImportError::Entry { path: self.path.to_owned(), entry, problem: problem.into() }
    }

    /// The whole of it, from its beginning.
    fn archive(&self) -> Result<Archive<Box<dyn Read + '_>>, ImportError> {
        let mut file = &self.file;
        file.rewind().map_err(|source| self.failed(source))?;
        let reader = BufReader::with_capacity(1 << 20, file);
        let reader: Box<dyn Read + '_> =
            if self.zipped { Box::new(MultiGzDecoder::new(reader)) } else { Box::new(reader) };
        Ok(Archive::new(reader))
    }

    /// Calls `take` with the path of each file, until it says that it has what it wants.
    fn each(
        &self,
        mut take: impl FnMut(&str, &mut Entry<'_, Box<dyn Read + '_>>) -> Result<bool, ImportError>,
    ) -> Result<(), ImportError> {
        let mut archive = self.archive()?;
        let entries = archive.entries().map_err(|source| self.failed(source))?.raw(true);
        for (number, entry) in entries.enumerate() {
            let mut entry = entry.map_err(|source| self.failed(source))?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            if number >= MOST_ENTRIES {
                return Err(
                    self.bad(&name, format!("is one of more than {MOST_ENTRIES} entries; pack the bundle alone"))
                );
            }
            match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {}
                EntryType::Directory | EntryType::XHeader | EntryType::XGlobalHeader => continue,
                EntryType::GNULongName | EntryType::GNULongLink => {
                    return Err(self.bad(&name, "is longer than 100 bytes; pack from inside the bundle's folder"));
                }
                _ => return Err(self.bad(&name, "is no regular file; a bundle holds files and folders alone")),
            }
            let path = plain(&name).ok_or_else(|| self.bad(&name, "is no path within the archive; pack it anew"))?;
            if take(&path, &mut entry)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The manifest's text, and what stands before its name in the archive.
    fn manifest(&self) -> Result<(String, String), ImportError> {
        let mut found = None;
        self.each(|path, entry| {
            let Some(prefix) = path.strip_suffix(MANIFEST).filter(|prefix| prefix.is_empty() || prefix.ends_with('/'))
            else {
                return Ok(false);
            };
            let mut text = String::new();
            let read = entry.take(MAX_MANIFEST_BYTES + 1).read_to_string(&mut text);
            if read.map_err(|source| self.failed(source))? as u64 > MAX_MANIFEST_BYTES {
                return Err(self.bad(path, format!("has more than {MAX_MANIFEST_BYTES} bytes")));
            }
            found = Some((prefix.to_owned(), text));
            Ok(true)
        })?;
        found.ok_or_else(|| ImportError::NoManifest { path: self.path.to_owned() })
    }
}

/// A path of plain names; `None` where it leads out of its folder.
fn plain(name: &str) -> Option<String> {
    let parts = Path::new(name).components().filter(|part| *part != Component::CurDir);
    let names: Option<Vec<&str>> =
        parts.map(|part| if let Component::Normal(name) = part { name.to_str() } else { None }).collect();
    names.filter(|names| !names.is_empty()).map(|names| names.join("/"))
}

fn from_archive(path: &Path, repository: &Path, pace: &mut Pace<'_>) -> Result<Draft, ImportError> {
    let packed = Packed::open(path)?;
    let (prefix, text) = packed.manifest()?;
    let manifest = Manifest::parse(&text, &path.join(&prefix).join(MANIFEST))?;
    let draft = Draft::begin(repository, &manifest.name, &manifest.version)?;
    count(&manifest, pace);
    let mut wanted: BTreeMap<&str, &FileEntry> =
        manifest.files.iter().map(|entry| (entry.path.as_str(), entry)).collect();
    let mut manifests = 0;
    packed.each(|path, entry| {
        // Files whose names begin with a dot are never part of a bundle; some systems add one to each.
        if path.split('/').any(|name| name.starts_with('.')) {
            return Ok(false);
        }
        let Some(inner) = path.strip_prefix(prefix.as_str()) else {
            return Err(packed.bad(path, format!("lies outside of the bundle in \"{prefix}\"; pack the bundle alone")));
        };
        if inner == MANIFEST {
            manifests += 1;
            // Whoever unpacks the archive gets the last one, and here the first was read.
            return if manifests == 1 { Ok(false) } else { Err(packed.bad(path, "is there twice; pack it once")) };
        }
        let Some(listed) = wanted.remove(inner) else {
            return Err(packed.bad(path, "is not listed in bundle.toml, or is there twice; pack what is listed, once"));
        };
        let added = draft.add_stream(inner, listed.role, entry, listed.size, pace);
        added.map_err(|error| match error {
            // What it reads is this archive.
            DraftError::Io { action: "read", source, .. } => packed.failed(source),
            error => error.into(),
        })?;
        Ok(false)
    })?;
    if let Some(missing) = wanted.keys().next() {
        return Err(packed.bad(missing, "is listed in bundle.toml, but not in the archive; pack all that is listed"));
    }
    draft.write(&text)?;
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_counts_all_files_in_one_round_that_never_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        std::fs::create_dir(&from).unwrap();
        let files =
            [("weights.gguf", "weights", vec![1_u8; 700 << 10]), ("tokenizer.json", "tokenizer", vec![2; 90 << 10])];
        let mut manifest =
            "format = 1\nname = \"tiny\"\nversion = \"1.0.0\"\nkind = \"generate\"\nencoding = \"ggml\"\n".to_owned();
        for (path, role, bytes) in &files {
            std::fs::write(from.join(path), bytes).unwrap();
            let (sha256, size) = (crate::Digest::of(bytes), bytes.len());
            let sha256 = sha256.hex();
            manifest.push_str(&format!(
                "[[files]]\npath = \"{path}\"\nrole = \"{role}\"\nsha256 = \"{sha256}\"\nsize = {size}\n"
            ));
        }
        manifest.push_str("[limits]\ncontext = 64\nparallel = 1\n[card]\nlicence = \"MIT\"\nlanguages = [\"en\"]\n");
        manifest.push_str("base_model = \"x\"\ndata = \"x\"\nintended_use = \"x\"\nlimits = \"x\"\n");
        std::fs::write(from.join(MANIFEST), manifest).unwrap();
        let mut seen = Vec::new();
        let mut tell = |at: crate::Progress<'_>| {
            seen.push((at.all_done, at.all));
            std::ops::ControlFlow::Continue(())
        };
        let refused = import(&from, &folder.path().join("models"), &mut Pace::full().with_progress(&mut tell));
        // The weights are none; until that is found out, everything is copied and hashed.
        assert!(matches!(refused, Err(ImportError::Refused(_))), "{refused:?}");
        let all = 2 * ((700 << 10) + (90 << 10));
        assert!(seen.iter().all(|(done, of)| *of == all && done <= of), "{seen:?}");
        assert!(seen.is_sorted() && seen.last() == Some(&(all, all)), "{seen:?}");
    }

    #[test]
    fn a_path_of_an_archive_stays_within_it() {
        assert_eq!(plain("./a/b.gguf").as_deref(), Some("a/b.gguf"));
        for outside in ["/etc/passwd", "../a", "a/../../b", "", "."] {
            assert_eq!(plain(outside), None, "{outside}");
        }
    }
}
