//! Bundles whose weights are made or copied for one test or benchmark.

use crate::Result;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What a bundle's manifest says besides its name and its file.
#[derive(Debug, Clone, Copy)]
pub struct BundleText {
    /// Tokens of one sequence.
    pub context: u32,
    /// Sequences at once.
    pub parallel: u32,
    /// More of the manifest.
    pub more: &'static str,
}

/// A bundle that was written.
#[derive(Debug)]
pub struct WrittenBundle {
    /// `name@version`.
    pub id: String,
    /// The weights' file.
    pub weights: PathBuf,
    /// The file's digest.
    pub sha256: String,
    /// The file's bytes.
    pub size: u64,
}

/// Adds a bundle that generates to a repository; `weights` writes its file, which is hashed meanwhile.
///
/// # Errors
/// When a file cannot be written, and as `weights`.
pub fn write_bundle(
    models: &Path,
    name: &str,
    version: &str,
    text: BundleText,
    weights: impl FnOnce(&mut dyn Write) -> Result,
) -> Result<WrittenBundle> {
    let folder = models.join(name).join(version);
    fs::create_dir_all(&folder)?;
    let path = folder.join("weights.gguf");
    let mut file = Hashed { file: File::create(&path)?, hasher: Sha256::new(), size: 0 };
    weights(&mut file)?;
    let (sha256, size) = (hex::encode(file.hasher.finalize()), file.size);
    fs::write(folder.join("bundle.toml"), manifest(name, version, &sha256, size, text))?;
    Ok(WrittenBundle { id: format!("{name}@{version}"), weights: path, sha256, size })
}

struct Hashed {
    file: File,
    hasher: Sha256,
    size: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

pub(crate) fn manifest(name: &str, version: &str, sha256: &str, size: u64, text: BundleText) -> String {
    let BundleText { context, parallel, more } = text;
    format!(
        r#"format = 1
name = "{name}"
version = "{version}"
kind = "generate"
encoding = "ggml"

[[files]]
path = "weights.gguf"
role = "weights"
sha256 = "{sha256}"
size = {size}

[limits]
context = {context}
parallel = {parallel}

[card]
licence = "see the weights"
languages = ["en"]
base_model = "none"
data = "test data"
intended_use = "tests"
limits = "tests only"
{more}"#
    )
}
