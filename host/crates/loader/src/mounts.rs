//! `files`: what a component may read is copied when the application starts, so that nothing changes under a running
//! guest and no link leads out of what it was given.
//!
//! The meaning of an entry is Spin's: a text is a path or a glob pattern relative to the manifest, and what it finds
//! appears under the same relative path; a table names one file or folder and where it appears; `exclude_files` are
//! patterns over paths relative to the manifest. Later entries replace what earlier ones put in the same place.

use crate::chained::Chained;
use crate::copy::{Copier, CopyError};
use bobbin_manifest::{App, Component, FileMount, ManifestErrors, Mounted, Problem, ProblemKind};
use glob::Pattern;
use std::collections::BTreeMap;
use std::path::{Component as Part, Path, PathBuf};

/// A folder that the guests of a component may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// The folder on the host.
    pub host: PathBuf,
    /// Where the guest finds it.
    pub guest: String,
}

/// The folder in the state folder that holds all copies.
const FOLDER: &str = "files";
/// Where the guest finds its copies.
const GUEST_ROOT: &str = "/";
/// Paths that one pattern may come across, whether or not they are mounted.
const MOST_VISITED: usize = 1_000_000;

/// An entry that cannot be mounted.
#[derive(Debug, thiserror::Error)]
enum MountError {
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("it leads out of the application's folder")]
    Outside,
    #[error("{path} leads out of the application's folder: it is a link to {target}")]
    Link { path: String, target: String },
    #[error("{path} cannot be looked up")]
    Lookup { path: String, source: std::io::Error },
    #[error("its path is no UTF-8")]
    NotUtf8,
    #[error("it is no pattern")]
    Pattern(#[source] glob::PatternError),
    #[error("a folder below it cannot be read")]
    Walk(#[source] glob::GlobError),
    #[error("it comes across more than {MOST_VISITED} files and folders")]
    Endless,
    #[error("it is a file, and the destination {0:?} names a folder")]
    Destination(String),
}

impl MountError {
    fn help(&self) -> &'static str {
        match self {
            Self::Copy(CopyError::TooManyFiles { .. } | CopyError::TooManyBytes { .. }) => {
                "name fewer files, leave some out with `exclude_files`, or raise mounted_files and mounted_bytes in \
                 [application.trigger.bobbin.limits]"
            }
            Self::Copy(_) => "make it readable, and see that the state folder has room; --state-dir names another",
            Self::Outside | Self::Link { .. } => "copy what is needed into the application's folder",
            Self::Lookup { .. } | Self::Walk(_) => "correct the path or its permissions",
            Self::NotUtf8 | Self::Pattern(_) => "rename the folder, or move the application",
            Self::Endless => "name a smaller folder, or several patterns",
            Self::Destination(_) => "write the file's name too: destination = \"/folder/file.txt\"",
        }
    }
}

/// Copies what the components with these ids may read into the state folder, and says where it is. What earlier starts
/// left there is removed; no other host may use the state folder.
///
/// # Errors
/// When a file cannot be copied, leads out of the application, or is more than the limits allow: each with its entry.
pub(crate) fn copy_files<'a>(
    app: &App,
    components: impl IntoIterator<Item = &'a Component>,
    state: &Path,
) -> Result<BTreeMap<String, Vec<Mount>>, ManifestErrors> {
    let folder = state.join(FOLDER);
    let limits = &app.bobbin.limits;
    let mut copier = Copier::new(limits.mounted_files, limits.mounted_bytes);
    let mut mounts = BTreeMap::new();
    let mut cleared = false;
    for (number, component) in components.into_iter().filter(|component| !component.files.is_empty()).enumerate() {
        let to = folder.join(number.to_string());
        if !std::mem::replace(&mut cleared, true) {
            clear(&folder).map_err(|cause| refused(app, component, cause))?;
        }
        copier.folder(&to).map_err(|cause| refused(app, component, cause))?;
        let state = own_state(state, &app.root);
        let mut tree =
            Tree { root: &app.root, to: &to, exclude: excluded(app, component)?, state, copier: &mut copier };
        for file in &component.files {
            tree.mount(&file.what).map_err(|error| problem(app, component, file, error))?;
        }
        mounts.insert(component.id.to_string(), vec![Mount { host: to, guest: GUEST_ROOT.to_owned() }]);
    }
    if !cleared {
        // Nothing is mounted: what is left of another time is of no use, and in nobody's way if it stays.
        let _ = std::fs::remove_dir_all(&folder);
    }
    Ok(mounts)
}

/// The state folder, where it lies in the application's: what the host keeps there is nobody's to read.
fn own_state(state: &Path, root: &Path) -> Option<PathBuf> {
    let (state, root) = (state.canonicalize().ok()?, root.canonicalize().ok()?);
    (state != root && state.starts_with(root)).then_some(state)
}

fn clear(folder: &Path) -> Result<(), CopyError> {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(source) => Err(CopyError::Io { action: "removed", path: folder.to_owned(), source }),
    }
}

fn refused(app: &App, component: &Component, error: CopyError) -> ManifestErrors {
    let place = component.files.first().map_or(component.place, |file| file.place);
    let what = format!("the files of component {:?} cannot be copied", component.id);
    let help = "see that the state folder can be written and has room; --state-dir names another";
    app.problem_at(place, Problem::new(ProblemKind::File, what, help).caused_by(Chained(error)))
}

fn problem(app: &App, component: &Component, file: &FileMount, error: MountError) -> ManifestErrors {
    let what = format!("component {:?} cannot mount {}", component.id, file.what);
    let problem = Problem::new(ProblemKind::File, what, error.help());
    app.problem_at(file.place, problem.caused_by(Chained(error)))
}

fn excluded(app: &App, component: &Component) -> Result<Vec<Pattern>, ManifestErrors> {
    let pattern = |text: &String| {
        Pattern::new(text).map_err(|cause| {
            let what = format!("component {:?} excludes {text:?}, which is no pattern", component.id);
            let problem = Problem::new(ProblemKind::Schema, what, "write a pattern such as `assets/**/*.jpg`");
            app.problem_at(component.place, problem.caused_by(cause))
        })
    };
    component.exclude_files.iter().map(pattern).collect()
}

/// The tree that one component sees, while it is filled.
struct Tree<'a> {
    /// The application's folder.
    root: &'a Path,
    /// Where the copies go.
    to: &'a Path,
    exclude: Vec<Pattern>,
    /// The state folder, where a pattern could find it.
    state: Option<PathBuf>,
    copier: &'a mut Copier,
}

impl Tree<'_> {
    fn mount(&mut self, what: &Mounted) -> Result<(), MountError> {
        match what {
            Mounted::Pattern(text) => {
                let relative = within(Path::new(text))?;
                let path = self.root.join(&relative);
                if path.is_dir() {
                    self.below(&path, self.root, &relative, &relative)
                } else if path.exists() {
                    self.copy(&path, self.root, &relative)
                } else {
                    self.matches(text)
                }
            }
            Mounted::Placement { source, destination } => {
                let relative = within(Path::new(source))?;
                let path = self.root.join(&relative);
                self.placed(&path, self.root, destination, &relative)
            }
            Mounted::Prepared { source, destination } => self.placed(source, source, destination, Path::new("")),
        }
    }

    /// A file or folder that appears elsewhere. `relative` is its path in the application.
    fn placed(&mut self, path: &Path, boundary: &Path, destination: &str, relative: &Path) -> Result<(), MountError> {
        let to = within(Path::new(destination.trim_start_matches('/')))?;
        if path.is_dir() {
            return self.below(path, boundary, relative, &to);
        }
        if to.as_os_str().is_empty() || destination.ends_with(['/', '.']) {
            return Err(MountError::Destination(destination.to_owned()));
        }
        self.copy(path, boundary, &to)
    }

    /// Everything below a folder. `relative` is the folder's path in the application, `to` where it appears.
    fn below(&mut self, folder: &Path, boundary: &Path, relative: &Path, to: &Path) -> Result<(), MountError> {
        self.copier.folder(&self.to.join(to))?;
        for (path, inner) in walk(folder, "**/*")? {
            if !self.is_excluded(&relative.join(&inner)) {
                self.copy(&path, boundary, &to.join(inner))?;
            }
        }
        Ok(())
    }

    /// Everything that a pattern matches.
    fn matches(&mut self, pattern: &str) -> Result<(), MountError> {
        for (path, relative) in walk(self.root, pattern)? {
            let relative = within(&relative)?;
            if !self.is_excluded(&relative) {
                self.copy(&path, self.root, &relative)?;
            }
        }
        Ok(())
    }

    fn is_excluded(&self, relative: &Path) -> bool {
        self.exclude.iter().any(|pattern| pattern.matches_path(relative))
    }

    /// Copies one file to a relative path. What it really is must lie within the boundary.
    fn copy(&mut self, path: &Path, boundary: &Path, to: &Path) -> Result<(), MountError> {
        let looked_up = |path: &Path| {
            path.canonicalize().map_err(|source| MountError::Lookup { path: path.display().to_string(), source })
        };
        let (real, boundary) = (looked_up(path)?, looked_up(boundary)?);
        if self.state.as_ref().is_some_and(|state| real.starts_with(state)) {
            return Ok(());
        }
        if !real.starts_with(&boundary) {
            let shown = path.strip_prefix(self.root).unwrap_or(path).display().to_string();
            return Err(MountError::Link { path: shown, target: real.display().to_string() });
        }
        Ok(self.copier.copy(&real, &self.to.join(to))?)
    }
}

/// A relative path without `.` and `..` that leads out of nothing.
fn within(path: &Path) -> Result<PathBuf, MountError> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Part::Normal(name) => clean.push(name),
            Part::CurDir => {}
            Part::ParentDir if clean.pop() => {}
            Part::ParentDir | Part::RootDir | Part::Prefix(_) => return Err(MountError::Outside),
        }
    }
    Ok(clean)
}

/// The files that a pattern below a folder finds, each with its path relative to the folder.
fn walk(folder: &Path, pattern: &str) -> Result<Vec<(PathBuf, PathBuf)>, MountError> {
    let folder_text = folder.to_str().ok_or(MountError::NotUtf8)?;
    let pattern = format!("{}/{pattern}", Pattern::escape(folder_text));
    let mut found = Vec::new();
    for (visited, path) in glob::glob(&pattern).map_err(MountError::Pattern)?.enumerate() {
        if visited >= MOST_VISITED {
            return Err(MountError::Endless);
        }
        let path = path.map_err(MountError::Walk)?;
        if path.is_file() {
            let relative = path.strip_prefix(folder).map(Path::to_owned).unwrap_or_else(|_outside| path.clone());
            found.push((path, relative));
        }
    }
    Ok(found)
}
