//! A large bundle that nobody has to download: the shapes of a llama, and weights that say nothing.

use anyhow::Result;
use bobbin_synthetic::{Architecture, Quant, Shape};
use rustix::fs::{Advice, fadvise};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const CONTEXT: u32 = 512;

/// As a model of 1.1 billion weights has them, but for its vocabulary.
pub(crate) const BILLION: Shape = llama("a billion", 22, 2048, 5632);
/// 38 million weights.
pub(crate) const SMALL: Shape = llama("a small llama", 12, 512, 1536);

/// With 64 numbers a head, of which four have keys and values, and hardly a vocabulary.
const fn llama(name: &'static str, layers: u32, width: u32, feed_forward: u32) -> Shape {
    Shape {
        name,
        architecture: Architecture::Llama,
        layers,
        width,
        feed_forward,
        heads: width / 64,
        kv_heads: 4,
        head_width: 64,
        vocabulary: 320,
        context: CONTEXT,
        tied: true,
        rope_base: 1e4,
        epsilon: 1e-5,
    }
}

/// What was written.
pub(crate) struct Large {
    pub(crate) bundle: String,
    pub(crate) sha256: String,
    pub(crate) size: u64,
}

/// Adds such a bundle to a repository: on the disk, and not in the page cache, when this returns.
pub(crate) fn write(models: &Path, name: &str, version: &str, shape: &Shape) -> Result<Large> {
    let folder: PathBuf = models.join(name).join(version);
    std::fs::create_dir_all(&folder)?;
    let mut file = Hashed { file: File::create(folder.join("weights.gguf"))?, hasher: Sha256::new() };
    // Another version has other weights.
    let seed = version.bytes().map(u64::from).sum();
    let size = bobbin_synthetic::write(&mut file, shape, Quant::Q8_0, seed)?;
    file.file.sync_all()?;
    fadvise(&file.file, 0, None, Advice::DontNeed)?;
    let sha256 = hex::encode(file.hasher.finalize());
    std::fs::write(folder.join("bundle.toml"), manifest(name, version, &sha256, size))?;
    Ok(Large { bundle: format!("{name}@{version}"), sha256, size })
}

struct Hashed {
    file: File,
    hasher: Sha256,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn manifest(name: &str, version: &str, sha256: &str, size: u64) -> String {
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
context = {CONTEXT}
parallel = 16

[warm_up]
prompts = ["Once upon a time, there was a model that had learnt nothing at all."]

[card]
licence = "Apache-2.0"
languages = ["en"]
base_model = "none"
data = "none: its weights are noise"
intended_use = "benchmarks of loading"
limits = "it says nothing"
"#
    )
}
