//! Looks up the files that a manifest names. This is the one part that touches the disk.

use std::io;
use std::path::{Path, PathBuf};

use crate::component::ComponentDoc;
use crate::dependencies::DependencySource;
use crate::document::Document;
use crate::errors::{Findings, Problem, ProblemKind};
use crate::mounts::{self, FileMount, Mounted};
use crate::place::Place;
use crate::source::{self, Source};

/// Checks every local file, and sets the absolute paths of the components. `shown` is the manifest's folder
/// as it was given, `root` the same as an absolute path.
pub(crate) fn check(document: &mut Document, shown: &Path, root: &Path, found: &Findings<'_>) {
    for doc in document.components.values_mut() {
        component_source(doc, shown, root, found);
        for file in &doc.component.files {
            mount(file, shown, found);
        }
        for (name, dependency) in &doc.component.dependencies {
            if let DependencySource::Local(path) = &dependency.from {
                local_dependency(path, dependency.place, &format!("the dependency {name:?}"), shown, found);
            }
        }
    }
    for dependency in document.triggers.iter().flat_map(|trigger| &trigger.middleware) {
        if let DependencySource::Local(path) = &dependency.from {
            local_dependency(path, dependency.place, "the middleware", shown, found);
        }
    }
}

fn component_source(doc: &mut ComponentDoc, shown: &Path, root: &Path, found: &Findings<'_>) {
    let Some(source) = &doc.source else { return };
    let owner = format!("component {:?}", doc.component.id);
    let Source::Local(path) = &source.value else {
        source::unsupported(found, &owner, source.place, &source.value);
        return;
    };
    let help = match &doc.component.build {
        Some(build) => {
            let folder = build.workdir.as_deref().map(|folder| format!(" in {folder}")).unwrap_or_default();
            let commands = build.commands.join(" && ");
            format!("`bobbin up --build` builds it, by its own build command `{commands}`{folder}")
        }
        None => "build it (it has no build command of its own), or correct the path".to_owned(),
    };
    if let Some(problem) = file_problem(&shown.join(path), &owner, help) {
        found.error(source.place, problem);
    }
    doc.component.source = absolute(root, path);
    doc.component.source_place = source.place;
}

fn local_dependency(path: &str, place: Place, what: &str, shown: &Path, found: &Findings<'_>) {
    let help = "build it, or correct the path".to_owned();
    if let Some(problem) = file_problem(&shown.join(path), what, help) {
        found.error(place, problem);
    }
}

/// What is wrong with a path that should be a file.
fn file_problem(path: &Path, owner: &str, help: String) -> Option<Problem> {
    let shown = path.display();
    match path.metadata() {
        Ok(metadata) if metadata.is_file() => None,
        Ok(_) => Some(Problem::new(ProblemKind::File, format!("{owner}: {shown} is no file"), help)),
        Err(cause) => {
            let what = match cause.kind() {
                io::ErrorKind::NotFound => format!("{owner}: there is no file {shown}"),
                _ => format!("{owner}: {shown} cannot be looked up"),
            };
            Some(Problem::new(ProblemKind::File, what, help).caused_by(cause))
        }
    }
}

/// As in Spin: a pattern may match nothing, a plain path must be there.
fn mount(file: &FileMount, shown: &Path, found: &Findings<'_>) {
    let path = match &file.what {
        Mounted::Pattern(pattern) if mounts::is_glob(pattern) => return,
        Mounted::Pattern(path) => Path::new(path),
        Mounted::Placement { source, .. } => Path::new(source),
        Mounted::Prepared { source, .. } => source,
    };
    let path = shown.join(path);
    if let Err(cause) = path.metadata() {
        let what = format!("there is no file or folder {}", path.display());
        let help = "create it, correct the path, or remove the entry from `files`";
        found.error(file.place, Problem::new(ProblemKind::File, what, help).caused_by(cause));
    }
}

/// A path of the manifest as an absolute one, without `.` and without touching the disk.
pub(crate) fn absolute(root: &Path, path: &str) -> PathBuf {
    root.join(path).components().collect()
}
