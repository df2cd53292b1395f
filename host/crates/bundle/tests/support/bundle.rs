//! A bundle in a temporary repository, which a test then damages.

use super::gguf::Gguf;
use bobbin_bundle::{BlobStore, Bundle, BundleError, Digest, VerifiedBundle, VerifyError};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

pub(crate) const WEIGHTS: &str = "tiny.gguf";
pub(crate) const TEMPLATE: &str = "chat.jinja";

/// A repository with the bundle `tiny@1.0.0`, and a state folder beside it.
pub(crate) struct TestBundle {
    directory: TempDir,
}

/// The manifest's tables after `[[files]]`.
pub(crate) const REST: &str = r#"
[limits]
context = 64
parallel = 4

[prompt]
template = "chat.jinja"

[card]
licence = "Apache-2.0"
languages = ["en"]
base_model = "none: made by a test"
data = "none"
intended_use = "tests"
limits = "it says nothing"
"#;

pub(crate) fn entry(path: &str, role: &str, bytes: &[u8]) -> String {
    let digest = Digest::of(bytes).hex();
    let size = bytes.len();
    format!("[[files]]\npath = \"{path}\"\nrole = \"{role}\"\nsha256 = \"{digest}\"\nsize = {size}\n\n")
}

pub(crate) fn head(kind: &str) -> String {
    format!("format = 1\nname = \"tiny\"\nversion = \"1.0.0\"\nkind = \"{kind}\"\nencoding = \"ggml\"\n\n")
}

impl TestBundle {
    pub(crate) fn new() -> Self {
        Self::with_weights("generate", &Gguf::llama().build())
    }

    pub(crate) fn with_weights(kind: &str, weights: &[u8]) -> Self {
        let bundle = Self { directory: TempDir::new().unwrap() };
        let template = b"{{ messages[0].content }}";
        std::fs::create_dir_all(bundle.folder()).unwrap();
        bundle.write(WEIGHTS, weights);
        bundle.write(TEMPLATE, template);
        let files = entry(WEIGHTS, "weights", weights) + &entry(TEMPLATE, "template", template);
        bundle.write("bundle.toml", format!("{}{files}{REST}", head(kind)).as_bytes());
        bundle
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.directory.path().join("models")
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.repository().join("tiny/1.0.0")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn write(&self, path: &str, bytes: &[u8]) {
        let path = self.folder().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.folder().join(path)).unwrap()
    }

    pub(crate) fn edit_manifest(&self, from: &str, to: &str) {
        let text = String::from_utf8(self.read("bundle.toml")).unwrap();
        assert!(text.contains(from), "{from} is not in {text}");
        self.write("bundle.toml", text.replacen(from, to, 1).as_bytes());
    }

    pub(crate) fn open(&self) -> Result<Bundle, BundleError> {
        Bundle::open(&self.folder())
    }

    pub(crate) fn store(&self) -> BlobStore {
        BlobStore::open(&self.state()).unwrap()
    }

    pub(crate) fn verify(&self) -> Result<VerifiedBundle, VerifyError> {
        self.open()?.verify(&self.store())
    }

    /// Everything in the store, by file name.
    pub(crate) fn blobs(&self) -> Vec<String> {
        names_in(&self.state().join("blobs/sha256"))
    }
}

pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
