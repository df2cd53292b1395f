//! What releases need of the rest of the host: bundles to verify, workers to run them, and memory to run them in.

use crate::status::Status;
use bobbin_inference::wire::WorkerStats;
use bobbin_inference::{Class, Graph};
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use serde::Serialize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

/// A loaded (or loading) version: a worker, as releases see it.
pub trait Live: Send + Sync {
    /// Opens sessions.
    fn graph(&self) -> Arc<dyn Graph>;

    /// Loading, warming, ready or failed, in the worker's own words.
    fn status(&self) -> Status;

    /// Whether it answers now. Asked for every request with a choice: it must be cheap.
    fn is_ready(&self) -> bool;

    /// Every status that it enters from now on. The stream keeps no worker alive, and ends with it.
    fn follow(&self) -> BoxStream<'static, Status>;

    /// What the worker process is doing, for metrics and status.
    fn vitals(&self) -> Vitals;

    /// Ends when the worker is ready, or has failed for good: with the reason.
    fn settled(&self) -> BoxFuture<'_, Result<(), String>>;

    /// Ends the worker, and returns when its process is gone; what it computes after `grace` is lost.
    fn stop(&self, grace: Duration) -> BoxFuture<'_, ()>;
}

/// A worker process, as metrics and status show it.
#[derive(Debug, Clone, Default)]
pub struct Vitals {
    /// Its process id, while there is a process.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
    /// Its resident memory, in bytes.
    pub resident_bytes: Option<u64>,
    /// The rules of its cage: name, and why it does not hold on this kernel where it does not. Empty while there
    /// is no process.
    pub cage: Vec<(String, Option<String>)>,
    /// What a GPU computes of it, or why none does although this node has a worker for one; nothing where it has none.
    pub gpu: Option<Result<String, String>>,
    /// Its own account.
    pub stats: WorkerStats,
}

/// A bundle whose every byte was verified: the only thing that workers are started from.
pub trait Verified: Send + Sync {
    /// `sha256:<hex>` of the bundle.
    fn digest(&self) -> String;

    /// Memory that a worker will take, in bytes: weights, key-value cells, compute buffers.
    fn need_bytes(&self) -> u64;

    /// Begins to load it, and returns at once.
    ///
    /// # Errors
    /// When no worker can run such a bundle; the reason.
    fn launch(&self, class: Class) -> Result<Arc<dyn Live>, String>;
}

/// How much a verification may get in the way of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Nothing serves yet: as fast as possible.
    Startup,
    /// Other routes keep their latency.
    Background,
}

/// How far the hashing of a file is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// The file, relative to the bundle's folder.
    pub path: &'a str,
    /// Bytes hashed.
    pub done: u64,
    /// Its size.
    pub total: u64,
}

/// A bundle of the repository, as its manifest describes it; nothing is verified.
#[derive(Debug, Clone)]
pub struct Listing {
    /// `name@version`.
    pub bundle: String,
    /// What the manifest says, or why it cannot be read.
    pub described: Result<Described, String>,
}

/// What a bundle's manifest says.
#[derive(Debug, Clone)]
pub struct Described {
    /// `sha256:<hex>`, as claimed.
    pub digest: String,
    /// `generate`, `embed`, ..
    pub kind: String,
    /// Bytes of all files.
    pub size: u64,
    /// An SPDX expression.
    pub licence: String,
    /// What else its card says.
    pub card: Card,
}

/// What a bundle's card says. Whoever made the bundle wrote it: text to show, never to interpret.
#[derive(Debug, Clone, Serialize)]
pub struct Card {
    /// BCP 47 tags.
    pub languages: Vec<String>,
    /// What it was trained from.
    pub base_model: String,
    /// What it was trained on.
    pub data: String,
    /// What it is for.
    pub intended_use: String,
    /// What it is not for, and where it fails.
    pub limits: String,
    /// How well it does.
    pub evaluations: Vec<Evaluation>,
}

/// One measured result.
#[derive(Debug, Clone, Serialize)]
pub struct Evaluation {
    /// What was measured.
    pub name: String,
    /// The result.
    pub value: f64,
    /// How.
    pub method: String,
}

/// The bundles and the memory of this host. What reads the disk blocks: it is called on threads that may.
pub trait Workshop: Send + Sync + 'static {
    /// What a bundle of the repository is there for, by its manifest alone: `generate`, `embed`, ..
    ///
    /// # Errors
    /// Why it cannot be had, and the next step.
    fn kind(&self, bundle: &str) -> Result<String, String>;

    /// Every bundle of the repository.
    ///
    /// # Errors
    /// When the repository cannot be listed.
    fn list(&self) -> Result<Vec<Listing>, String>;

    /// Hashes every file of `name@version` into the blob store, and checks the weights. Ends with an error where
    /// `progress` breaks it off.
    ///
    /// # Errors
    /// What is wrong with the bundle, for people: what, where, why, and the next step.
    fn verify(
        &self,
        bundle: &str,
        urgency: Urgency,
        progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Box<dyn Verified>, String>;

    /// Removes stored bytes that no bundle of the repository has: those of versions that left it. Not called while
    /// anything is verified, nor while a version lives that the repository lacks: it may have to start again.
    ///
    /// # Errors
    /// Why nothing, or not everything, was removed.
    fn collect(&self) -> Result<(), String>;

    /// Memory that another worker may take, in bytes, less than nothing where more is promised than there is; `None`
    /// where that cannot be measured. A worker that runs counts
    /// with what it needs even where it has not touched all of it, so that what it gives back when it goes is the
    /// larger of what it needs and what it holds.
    fn free_memory(&self) -> Option<i64>;
}
