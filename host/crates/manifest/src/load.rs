//! From a path or a text to an application.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

use crate::app::App;
use crate::build::Build;
use crate::checks;
use crate::dependencies::{Dependency, DependencySource};
use crate::document::{self, Document};
use crate::errors::{Findings, ManifestErrors, Problem, ProblemKind};
use crate::files;
use crate::json::{self, JsonError};
use crate::locked;
use crate::mounts::Mounted;
use crate::names::ComponentId;
use crate::place::{Lines, Place};
use crate::reader::Table;
use crate::source::Source;

/// The name of a manifest in its folder.
const FILE_NAME: &str = "spin.toml";

/// A manifest without a mistake in it, whose files have not been looked up.
#[derive(Debug)]
pub struct Manifest {
    file: Arc<Path>,
    document: Document,
    warnings: Vec<Problem>,
}

impl Manifest {
    /// The application's name.
    pub fn name(&self) -> &str {
        &self.document.application.name
    }

    /// What is allowed and probably not meant.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The folder that its paths are relative to, as it was given.
    pub fn folder(&self) -> &Path {
        self.file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// The manifest itself.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// How its components are built, those that say so, by their ids.
    pub fn builds(&self) -> impl Iterator<Item = (&ComponentId, &Build)> {
        self.document.components.iter().filter_map(|(id, doc)| Some((id, doc.component.build.as_ref()?)))
    }

    /// The local files that it names, as paths or glob patterns relative to its folder: components, what they are composed
    /// with, and what they may read.
    pub fn local_files(&self) -> Vec<String> {
        let local = |dependency: &Dependency| match &dependency.from {
            DependencySource::Local(path) => Some(path.clone()),
            _ => None,
        };
        let mut files: Vec<String> =
            self.document.triggers.iter().flat_map(|it| &it.middleware).filter_map(local).collect();
        for doc in self.document.components.values() {
            if let Some(Source::Local(path)) = doc.source.as_ref().map(|source| &source.value) {
                files.push(path.clone());
            }
            files.extend(doc.component.dependencies.iter().filter_map(|(_, dependency)| local(dependency)));
            files.extend(doc.component.files.iter().map(|mount| match &mount.what {
                Mounted::Pattern(pattern) => pattern.clone(),
                Mounted::Placement { source, .. } => source.clone(),
                Mounted::Prepared { source, .. } => source.display().to_string(),
            }));
        }
        files
    }

    /// Looks up the files that the manifest names.
    ///
    /// # Errors
    /// When one is missing, or a component's source is of a kind that is not supported yet.
    pub fn resolve(self) -> Result<App, ManifestErrors> {
        resolve(&self.file, self.document, Vec::new(), self.warnings)
    }
}

/// Reads the manifest at `path`, or the `spin.toml` in the folder `path`, and checks everything it says. A locked
/// application is read in its place.
///
/// # Errors
/// All problems found, in the order of the file.
pub fn load(path: &Path) -> Result<App, ManifestErrors> {
    load_with(path, None)
}

/// As [`load`], with a build profile: what `[component.<id>.profile.<profile>]` says replaces what the
/// component says.
///
/// # Errors
/// All problems found; that no component has such a profile is one.
pub fn load_profile(path: &Path, profile: &str) -> Result<App, ManifestErrors> {
    load_with(path, Some(profile))
}

/// Reads the manifest at `path` as [`load`] does, without looking up the files that it names: some may have to be built.
///
/// # Errors
/// All problems found, in the order of the file.
pub fn open(path: &Path, profile: Option<&str>) -> Result<Manifest, ManifestErrors> {
    let (file, read) = read_at(path, profile)?;
    ManifestErrors::unless_empty(read.errors)?;
    Ok(Manifest { file, document: read.document, warnings: read.warnings })
}

/// Reads a locked application: what Spin makes of a manifest. `root` is the application's folder, which relative paths of
/// its settings are relative to; without one it is the file's.
///
/// # Errors
/// All problems found, in the order of the file.
pub fn load_locked(file: &Path, root: Option<&Path>) -> Result<App, ManifestErrors> {
    let file: Arc<Path> = Arc::from(file);
    let text = text(&file)?;
    let read = read_locked(&text, &file)?;
    resolve_in(&file, root, read.document, read.errors, read.warnings)
}

/// Checks everything in a manifest that can be checked without a disk. `file` is what messages call it, and
/// its folder is what relative paths are relative to.
///
/// # Errors
/// All problems found, in the order of the file.
pub fn parse(text: &str, file: &Path) -> Result<Manifest, ManifestErrors> {
    let file: Arc<Path> = Arc::from(file);
    let read = read(text, &file, None)?;
    ManifestErrors::unless_empty(read.errors)?;
    Ok(Manifest { file, document: read.document, warnings: read.warnings })
}

struct Read {
    document: Document,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

fn load_with(path: &Path, profile: Option<&str>) -> Result<App, ManifestErrors> {
    let (file, read) = read_at(path, profile)?;
    resolve(&file, read.document, read.errors, read.warnings)
}

fn read_at(path: &Path, profile: Option<&str>) -> Result<(Arc<Path>, Read), ManifestErrors> {
    let path = if path.is_dir() { path.join(FILE_NAME) } else { path.to_owned() };
    let file: Arc<Path> = Arc::from(path);
    let text = text(&file)?;
    let read = match (is_json(&text), profile) {
        (false, _) => read(&text, &file, profile)?,
        (true, None) => read_locked(&text, &file)?,
        (true, Some(profile)) => {
            let what = format!("a locked application has the profile that it was locked with, and no {profile:?}");
            let problem = Problem::new(ProblemKind::Schema, what, "leave the profile out, or name the spin.toml");
            return Err(ManifestErrors::one(problem.located(&file, None)));
        }
    };
    Ok((file, read))
}

/// Reads and checks a text. `Err` where no document came of it; problems of a document are in it.
fn read(text: &str, file: &Arc<Path>, profile: Option<&str>) -> Result<Read, ManifestErrors> {
    let found = Findings::new(text, Arc::clone(file));
    let (toml, mistakes) = DeTable::parse_recoverable(text);
    syntax(&mistakes, &found);
    let document = if found.any_error() { None } else { document::read(Table::root(&found, &toml), profile) };
    finish(document, found, file, profile)
}

/// No TOML begins like this.
fn is_json(text: &str) -> bool {
    text.trim_start_matches('\u{feff}').trim_start().starts_with('{')
}

/// As [`read`], for a locked application.
fn read_locked(text: &str, file: &Arc<Path>) -> Result<Read, ManifestErrors> {
    let text = text.trim_start_matches('\u{feff}');
    let found = Findings::new(text, Arc::clone(file));
    let json = match json::parse(text) {
        Ok(json) => json,
        Err(cause) => {
            let place = match &cause {
                JsonError::Syntax(cause) => Place { line: cause.line().max(1), column: cause.column().max(1) },
                JsonError::Twice { offset, .. } => found.place(*offset),
                JsonError::NoObject | JsonError::Deep | JsonError::Number(..) => found.place(0),
            };
            let help = "let Spin lock the application again; `bobbin up` runs its spin.toml, too";
            let problem = Problem::new(ProblemKind::Syntax, "this is no locked application", help).caused_by(cause);
            return Err(ManifestErrors::one(problem.located(file, Some(place))));
        }
    };
    let document = locked::read(Table::root(&found, &json));
    finish(document, found, file, None)
}

fn finish(
    document: Option<Document>,
    found: Findings<'_>,
    file: &Arc<Path>,
    profile: Option<&str>,
) -> Result<Read, ManifestErrors> {
    if let Some(document) = &document {
        checks::all(document, &found, profile);
    }
    let (errors, warnings) = found.into_parts();
    match document {
        Some(document) => Ok(Read { document, errors, warnings }),
        None => Err(ManifestErrors::unless_empty(errors).err().unwrap_or_else(|| {
            let problem = Problem::new(ProblemKind::Schema, "the manifest cannot be read", "correct its first lines");
            ManifestErrors::one(problem.located(file, None))
        })),
    }
}

fn resolve(
    file: &Arc<Path>,
    document: Document,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
) -> Result<App, ManifestErrors> {
    resolve_in(file, None, document, errors, warnings)
}

/// `folder` is what paths are relative to; without one it is the file's folder.
fn resolve_in(
    file: &Arc<Path>,
    folder: Option<&Path>,
    mut document: Document,
    mut errors: Vec<Problem>,
    warnings: Vec<Problem>,
) -> Result<App, ManifestErrors> {
    let shown = folder.or(file.parent()).unwrap_or(Path::new(""));
    let root = root(file, shown)?;
    let found = Findings::new("", Arc::clone(file));
    files::check(&mut document, shown, &root, &found);
    errors.extend(found.into_parts().0);
    ManifestErrors::unless_empty(errors)?;
    Ok(App::assemble(document, file, root, warnings))
}

/// The manifest's folder as an absolute path.
fn root(file: &Arc<Path>, shown: &Path) -> Result<PathBuf, ManifestErrors> {
    let folder = if shown.as_os_str().is_empty() { Path::new(".") } else { shown };
    std::path::absolute(folder).map_err(|cause| {
        let help = "start in a folder that exists, or give the manifest's absolute path with -f";
        let problem = Problem::new(ProblemKind::Unreadable, "the manifest's folder has no absolute path", help);
        ManifestErrors::one(problem.caused_by(cause).located(file, None))
    })
}

fn text(file: &Arc<Path>) -> Result<String, ManifestErrors> {
    let fail = |what: String, help: &str, cause: io::Error| {
        let problem = Problem::new(ProblemKind::Unreadable, what, help).caused_by(cause);
        ManifestErrors::one(problem.located(file, None))
    };
    let bytes = std::fs::read(file).map_err(|cause| match cause.kind() {
        io::ErrorKind::NotFound => {
            let help = "start in the application's folder, or name the manifest with -f PATH";
            fail(format!("there is no manifest here; looked for {}", file.display()), help, cause)
        }
        _ => fail("the manifest cannot be read".to_owned(), "correct the path or its permissions", cause),
    })?;
    String::from_utf8(bytes).map_err(|cause| {
        let good = cause.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(cause.as_bytes());
        let place = Lines::new(&text).place(good);
        let help = "save the file as UTF-8";
        let problem = Problem::new(ProblemKind::Unreadable, "the manifest is no UTF-8 text", help);
        ManifestErrors::one(problem.caused_by(cause).located(file, Some(place)))
    })
}

/// Reports what is no TOML. What follows a mistake on its line follows from it, and so do the keys of a table
/// that stands there twice.
pub(crate) fn syntax(mistakes: &[toml::de::Error], found: &Findings<'_>) {
    let (mut last_line, mut repeated) = (0, false);
    for mistake in mistakes {
        let place = found.place(mistake.span().map_or(0, |span| span.start));
        let repeats = mistake.message().contains("duplicate key");
        if place.line == last_line || (repeats && repeated) {
            continue;
        }
        last_line = place.line;
        repeated |= repeats;
        let help = match mistake.message() {
            _ if repeats => "write each key and each table once",
            text if text.starts_with("invalid boolean") || text.starts_with("string values must be quoted") => {
                "if this is text, put it in quotes"
            }
            _ => "correct the line; https://toml.io/en/v1.1.0 has the grammar",
        };
        // The parser shows the line too, which the place already names; without its input it says the mistake alone.
        let mut cause = mistake.clone();
        cause.set_input(None);
        found.error(place, Problem::new(ProblemKind::Syntax, "this is no TOML", help).caused_by(cause));
    }
}
