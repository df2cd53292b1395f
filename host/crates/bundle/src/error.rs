//! Why a bundle cannot be read, and why a bundle that can be read is refused.

use crate::gguf::GgufError;
use crate::{Digest, Kind};
use std::io;
use std::path::PathBuf;

/// Why a bundle's folder or manifest cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// The operating system refused.
    #[error("{} cannot be {action}: {source}; check that it exists and may be read", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried, as a participle.
        action: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The manifest breaks a rule of the format.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong, and the next step.
        message: String,
    },
    /// The folder is not where its manifest says.
    #[error(
        "the bundle lies in {}, but its manifest says {expected}; \
         rename the folder, or correct `{key}` in bundle.toml", path.display()
    )]
    Folder {
        /// The bundle's folder.
        path: PathBuf,
        /// `name` or `version`.
        key: &'static str,
        /// What the folder should be called.
        expected: String,
    },
    /// No such bundle.
    #[error("the repository {} has no bundle {name}@{version}; `bobbin bundle list` shows what it has", repository.display())]
    NotFound {
        /// The repository.
        repository: PathBuf,
        /// The name asked for.
        name: String,
        /// The version asked for.
        version: String,
    },
}

/// Why a bundle is not verified. Paths are relative to the bundle's folder unless they begin with `/`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bundle cannot be read at all.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The manifest changed between being read and being verified.
    #[error(
        "bundle.toml of {bundle} changed while the bundle was being verified; a version never changes: make a new one"
    )]
    Changed {
        /// `name@version`.
        bundle: String,
    },
    /// Whoever was told of its progress broke it off.
    #[error("the verification of {bundle} was given up; verify it again")]
    GivenUp {
        /// `name@version`.
        bundle: String,
    },
    /// A listed file is not there.
    #[error(
        "{bundle}: the manifest lists \"{path}\", but it is not in the folder; add it, or remove it from bundle.toml"
    )]
    Missing {
        /// `name@version`.
        bundle: String,
        /// The file.
        path: String,
    },
    /// A file that the manifest does not list.
    #[error("{bundle}: \"{path}\" is in the folder, but not in the manifest; list it in bundle.toml, or remove it")]
    Unlisted {
        /// `name@version`.
        bundle: String,
        /// The file.
        path: String,
    },
    /// A symbolic link, socket, device or folder where a file should be.
    #[error(
        "{bundle}: \"{path}\" is {found}; a bundle holds regular files in plain folders only: copy the file itself"
    )]
    NotAFile {
        /// `name@version`.
        bundle: String,
        /// The file.
        path: String,
        /// What it is.
        found: &'static str,
    },
    /// A file's size is not the manifest's.
    #[error("{bundle}: \"{path}\" has {found} bytes, the manifest says {expected}; fetch the file again")]
    Size {
        /// `name@version`.
        bundle: String,
        /// The file.
        path: String,
        /// The manifest's.
        expected: u64,
        /// The file's.
        found: u64,
    },
    /// A file's bytes are not the manifest's.
    #[error("{bundle}: \"{path}\" has digest {found}, the manifest says {expected}; fetch the file again")]
    Digest {
        /// `name@version`.
        bundle: String,
        /// The file.
        path: String,
        /// The manifest's.
        expected: Digest,
        /// The file's.
        found: Digest,
    },
    /// A file could not be read to its end.
    #[error("{bundle}: \"{path}\" cannot be read: {source}")]
    Read {
        /// `name@version`.
        bundle: String,
        /// The file.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// A blob could not be written or read.
    #[error("the blob {} cannot be {action}: {source}; check the space and the permissions of the state folder", path.display())]
    Blob {
        /// The blob, or its folder.
        path: PathBuf,
        /// What was tried, as a participle.
        action: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The weights did not pass the preflight.
    #[error("{bundle}: \"{path}\": {source}")]
    Gguf {
        /// `name@version`.
        bundle: String,
        /// The weights.
        path: String,
        /// What is wrong with them.
        source: Box<GgufError>,
    },
    /// The weights cannot do what the manifest says.
    #[error("{bundle}: {key} is {found} in bundle.toml, but {problem}")]
    Mismatch {
        /// `name@version`.
        bundle: String,
        /// The manifest's key.
        key: &'static str,
        /// Its value.
        found: String,
        /// What the weights say, and what to do.
        problem: String,
    },
    /// The template is no text.
    #[error("{bundle}: \"{path}\" is no UTF-8 text: {source}; a template is text")]
    Template {
        /// `name@version`.
        bundle: String,
        /// The template.
        path: String,
        /// The cause.
        source: std::string::FromUtf8Error,
    },
}

impl VerifyError {
    pub(crate) fn mismatch(bundle: &str, key: &'static str, found: &impl ToString, problem: impl Into<String>) -> Self {
        Self::Mismatch { bundle: bundle.to_owned(), key, found: found.to_string(), problem: problem.into() }
    }

    pub(crate) fn cannot_generate(bundle: &str, kind: Kind, architecture: &str) -> Self {
        let problem =
            format!("architecture \"{architecture}\" gives embeddings only; use kind = \"embed\", or other weights");
        Self::mismatch(bundle, "kind", &format!("\"{kind}\""), problem)
    }
}
