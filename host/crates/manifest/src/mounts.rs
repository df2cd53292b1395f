//! `files`: what of the host's files a component may read, and where it finds them.

use std::fmt;
use std::path::PathBuf;

use crate::errors::{Problem, ProblemKind};
use crate::place::Place;
use crate::reader::Node;

/// One entry of a component's `files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMount {
    /// What is mounted.
    pub what: Mounted,
    /// Where it is written.
    pub place: Place,
}

/// What an entry of `files` names. Paths are relative to the manifest, as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mounted {
    /// A file, a folder or a glob pattern; matches appear under the same relative path below `/`.
    Pattern(String),
    /// A file or folder that appears at another, absolute path.
    Placement {
        /// The file or folder on the host.
        source: String,
        /// The absolute path in the guest.
        destination: String,
    },
    /// A folder that Spin filled for this component alone: a locked application names it by its absolute path, which
    /// may be outside of the application's folder.
    Prepared {
        /// The folder on the host.
        source: PathBuf,
        /// The absolute path in the guest.
        destination: String,
    },
}

impl fmt::Display for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern(pattern) => write!(f, "{pattern:?}"),
            Self::Placement { source, .. } => write!(f, "{source:?}"),
            Self::Prepared { source, .. } => write!(f, "{:?}", source.display().to_string()),
        }
    }
}

pub(crate) fn read(node: &Node<'_>) -> Vec<FileMount> {
    node.items().unwrap_or_default().iter().filter_map(mount).collect()
}

fn mount(node: &Node<'_>) -> Option<FileMount> {
    let place = node.place;
    if node.is_string() {
        let text = pattern(node)?;
        if matches!(text.rsplit('/').next(), Some("." | "..")) {
            let what = format!("the pattern {text:?} ends in a folder's short name");
            let help = "name the folder in a table: { source = \"...\", destination = \"/\" }, or end in `**/*`";
            node.found.schema(place, what, help);
            return None;
        }
        return Some(FileMount { what: Mounted::Pattern(text), place });
    }
    if !node.is_table() {
        return node.wrong_type("a pattern, or a table with `source` and `destination`");
    }
    let mut table = node.table()?;
    let source = table.required("source", "source = \"assets\"").and_then(|node| node.string());
    let destination = table.required("destination", "destination = \"/\"").and_then(|node| node.string());
    table.finish();
    let (source, destination) = (source?, destination?);
    if destination.value.split('/').any(|part| part == "..") {
        let what = format!("the destination {:?} leaves the guest's root", destination.value);
        node.found.schema(destination.place, what, "write an absolute path without `..`");
        return None;
    }
    Some(FileMount {
        what: Mounted::Placement { source: source.value, destination: absolute(&destination.value) },
        place,
    })
}

/// Spin takes a relative destination as one below the guest's root.
pub(crate) fn absolute(destination: &str) -> String {
    format!("/{}", destination.trim_start_matches('/'))
}

/// A text that is a path or a glob pattern.
pub(crate) fn pattern(node: &Node<'_>) -> Option<String> {
    let text = node.string()?.value;
    match glob::Pattern::new(&text) {
        Ok(_) if !text.is_empty() => Some(text),
        Ok(_) => {
            node.found.schema(node.place, format!("`{}` is empty", node.name), "write a path or a pattern");
            None
        }
        Err(cause) => {
            let what = format!("`{}` is no pattern: {text:?}", node.name);
            let help = "write a path, or a pattern such as `assets/**/*.jpg`";
            node.found.error(node.place, Problem::new(ProblemKind::Schema, what, help).caused_by(cause));
            None
        }
    }
}

/// Whether a text has characters that mean something in a glob pattern.
pub(crate) fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '[', ']'])
}
