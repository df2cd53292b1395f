//! The engine: the one thread that owns the model's context, and its loop.
//!
//! Each turn takes what arrived, fails what is past its deadline, computes one step, and sends what it made.
//! Without work it sleeps until something arrives or a deadline passes.

mod desk;
mod embed;
mod generator;
mod pace;
mod score;

pub(super) use embed::EmbedEngine;
pub(super) use generator::Generator;

use super::event::Event;
use super::link::Outbox;
use bobbin_inference::wire::{CallId, FromWorker, WorkerStats};
use bobbin_inference::{InferenceError, Reason};
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

/// What the loop drives: generation or embedding.
pub(super) trait Machine {
    /// Something arrived.
    fn receive(&mut self, event: Event, out: &mut Outbox);

    /// Fails what is past its deadline; returns the next one.
    fn expire(&mut self, now: Instant, out: &mut Outbox) -> Option<Instant>;

    /// Computes one step; false when there is nothing to compute.
    fn step(&mut self, out: &mut Outbox) -> bool;

    /// What it is doing.
    fn stats(&mut self) -> WorkerStats;
}

/// Runs until the link's threads are gone.
pub(super) fn serve(machine: &mut impl Machine, events: &Receiver<Event>, out: &mut Outbox) {
    let mut told = WorkerStats::default();
    loop {
        loop {
            match events.try_recv() {
                Ok(event) => machine.receive(event, out),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
        }
        let (worked, next) = turn(machine, &mut told, out);
        if worked {
            continue;
        }
        let wait = next.map_or(Duration::from_secs(3600), |next| next.saturating_duration_since(Instant::now()));
        match events.recv_timeout(wait) {
            Ok(event) => machine.receive(event, out),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// One turn without what arrived. Returns whether there was anything to compute, and the next deadline.
fn turn(machine: &mut impl Machine, told: &mut WorkerStats, out: &mut Outbox) -> (bool, Option<Instant>) {
    let next = machine.expire(Instant::now(), out);
    let worked = machine.step(out);
    let stats = machine.stats();
    // A step by itself is no news.
    if (WorkerStats { steps: told.steps, ..stats }) != *told {
        *told = stats;
        send(out, &FromWorker::Stats(stats));
    }
    out.flush();
    (worked, next)
}

/// Sends a frame that fits by construction.
fn send(out: &mut Outbox, message: &FromWorker) {
    if let Err(error) = out.push(message) {
        tracing::error!("a frame was not sent: {error}");
    }
}

/// Sends an answer whose size the request decides; over the bounds it is refused instead.
fn send_values(out: &mut Outbox, call: CallId, account: u64, bytes: usize, message: &FromWorker) {
    let refused = |why: String| {
        InferenceError::new(Reason::LimitExceeded, format!("the answer has {bytes} bytes; {why}; ask for less at once"))
    };
    let error = if u64::try_from(bytes).is_ok_and(|bytes| bytes <= account) {
        match out.push(message) {
            Ok(()) => return,
            Err(error) => refused(error.to_string()),
        }
    } else {
        refused(format!("the request may hold {account} more"))
    };
    send(out, &FromWorker::Failed { call, error });
}

fn past_deadline(doing: &str) -> InferenceError {
    InferenceError::new(
        Reason::DeadlineExceeded,
        format!("the request's deadline passed while its compute was {doing}; ask for less, or allow more time"),
    )
}

fn unsupported(asked: &str, does: &str) -> InferenceError {
    InferenceError::new(Reason::UnsupportedByModel, format!("the model {does}; {asked} needs another model"))
}

fn too_many(most: usize) -> InferenceError {
    InferenceError::new(
        Reason::QueueFull,
        format!("{most} computes are in the model's worker already; try again later"),
    )
}
