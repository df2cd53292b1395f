//! A large bundle that nobody has to download: the shapes of a llama, and weights that say nothing.

use anyhow::Result;
use bobbin_synthetic::{Architecture, Quant, Shape};
use bobbin_tests::{BundleText, WrittenBundle, write_bundle};
use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::path::Path;

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

/// Adds such a bundle to a repository: on the disk, and not in the page cache, when this returns.
pub(crate) fn write(models: &Path, name: &str, version: &str, shape: &Shape) -> Result<WrittenBundle> {
    // Another version has other weights.
    let seed = version.bytes().map(u64::from).sum();
    let bundle = write_bundle(models, name, version, TEXT, |mut file| {
        bobbin_synthetic::write(&mut file, shape, Quant::Q8_0, seed)?;
        Ok(())
    })?;
    let weights = File::open(&bundle.weights)?;
    // What is not on the disk yet cannot leave the page cache.
    weights.sync_all()?;
    fadvise(&weights, 0, None, Advice::DontNeed)?;
    Ok(bundle)
}

const TEXT: BundleText = BundleText {
    context: CONTEXT,
    parallel: 16,
    more: "[warm_up]\nprompts = [\"Once upon a time, there was a model that had learnt nothing at all.\"]\n",
};
