//! Images of OCI registries, fetched while a person or a log looks on: a bar on a terminal, lines elsewhere.

use crate::terminal::say;
use anyhow::{Context, Result};
use bobbin_images::{Held, Placed, Progress, Pruned, Pull, Pulled};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use parking_lot::Mutex;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Downloads run at once, and each may be hashing or writing.
const THREADS: usize = 2;

const BYTES: &str = "{msg} [{bar:30}] {binary_bytes}/{binary_total_bytes}  {binary_bytes_per_sec}";

/// What this process serves: other hosts leave it where it is for as long as this one runs.
static SERVED: Mutex<Option<Held>> = Mutex::new(None);

/// Where an application is, which is this process's from now on.
pub(crate) fn serve(placed: Placed) -> PathBuf {
    // The one before goes after the new one is there: they may share something.
    *SERVED.lock() = Some(placed.held);
    placed.locked
}

/// Makes room in the folder of images. An application is served whether that succeeds or not.
pub(crate) fn prune(cache: &Path, most: u64) {
    match bobbin_images::prune(cache, most) {
        Ok(Some(Pruned { freed, left, in_use })) => {
            if freed > 0 {
                tracing::info!(freed, left, folder = %cache.display(), "images that were used least recently are gone");
            }
            if left > most {
                tracing::warn!(left, in_use, most, "images that running hosts use take more room than --cache-size");
            }
        }
        // Whoever fetches one makes room afterwards.
        Ok(None) => tracing::debug!("another host fetches an image; it makes room"),
        Err(error) => tracing::warn!("no room was made for images: {}", crate::bundles::chain(&error)),
    }
}

/// Fetches an image, and returns where its application is.
pub(crate) fn pull(reference: &str, insecure: bool, cache: &Path) -> Result<PathBuf> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build()?;
    let shown = Shown::new(reference);
    let pulled = runtime.block_on(bobbin_images::pull(Pull { reference, insecure, cache }, &shown));
    shown.bar.finish_and_clear();
    let Pulled { placed, digest } = pulled.with_context(|| format!("{reference} was not fetched"))?;
    tracing::info!(%reference, %digest, "the image is complete");
    Ok(serve(placed))
}

struct Shown {
    /// Hidden where nobody could see it move.
    bar: ProgressBar,
    lines: bool,
    blobs: AtomicUsize,
    whole: AtomicUsize,
}

impl Shown {
    fn new(reference: &str) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let bar = if is_terminal { ProgressBar::no_length() } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template(BYTES).unwrap_or_else(|_unknown_key| ProgressStyle::default_bar());
        let bar = bar.with_style(style.progress_chars("=> ")).with_message(format!("fetching {reference}"));
        Self { bar, lines: !is_terminal, blobs: AtomicUsize::new(0), whole: AtomicUsize::new(0) }
    }
}

impl Progress for Shown {
    fn begin(&self, blobs: usize, bytes: u64) {
        self.blobs.store(blobs, Ordering::Relaxed);
        self.bar.set_length(bytes);
        if self.lines && blobs > 0 {
            let layers = if blobs == 1 { "1 layer".to_owned() } else { format!("{blobs} layers") };
            say(format_args!("{}: {layers}, {}", self.bar.message(), HumanBytes(bytes)));
        }
    }

    fn more(&self, bytes: u64) {
        self.bar.inc(bytes);
    }

    fn again(&self, bytes: u64) {
        self.bar.dec(bytes);
    }

    fn whole(&self, digest: &str, bytes: u64) {
        let whole = self.whole.fetch_add(1, Ordering::Relaxed) + 1;
        if self.lines {
            let blobs = self.blobs.load(Ordering::Relaxed);
            say(format_args!("fetched layer {whole} of {blobs}: {digest} ({})", HumanBytes(bytes)));
        }
    }
}
