//! The bytes of a `.wasm` file, with the digest that they must have.

use crate::chained::Chained;
use bobbin_manifest::{Problem, ProblemKind};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BytesError {
    #[error("{} cannot be read", path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{} has the digest {found}, and should have {wanted}", path.display())]
    Digest { path: PathBuf, wanted: String, found: String },
}

/// Reads a file whole.
pub(crate) fn read(path: &Path, digest: Option<&str>) -> Result<Vec<u8>, BytesError> {
    let bytes = std::fs::read(path).map_err(|source| BytesError::Read { path: path.to_owned(), source })?;
    if let Some(wanted) = digest {
        let found = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        if found != wanted {
            return Err(BytesError::Digest { path: path.to_owned(), wanted: wanted.to_owned(), found });
        }
    }
    Ok(bytes)
}

/// The problem of whoever names the file: "component \"hello\"", for example.
pub(crate) fn problem(owner: &str, error: BytesError) -> Problem {
    let help = match error {
        BytesError::Read { .. } => "build it first, or correct the path",
        BytesError::Digest { .. } => "fetch the file that was meant, or lock the application again",
    };
    Problem::new(ProblemKind::File, format!("{owner} cannot be loaded"), help).caused_by(Chained(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_file_than_the_one_that_was_meant_is_refused_with_both_digests() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        std::fs::write(&path, "").unwrap();
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(read(&path, Some(empty)).unwrap(), b"");
        std::fs::write(&path, "x").unwrap();
        let error = read(&path, Some(empty)).unwrap_err().to_string();
        assert!(error.contains(empty) && error.contains("sha256:2d711642b726b044"), "{error}");
    }
}
