//! How a release is changed: refused at once, made at once where every version is ready, or prepared and then made.

use crate::command::{Change, Command, Refusal};
use crate::commit::unknown;
use crate::error::ChangeError;
use crate::events::timestamp;
use crate::pending::Pending;
use crate::prepare::{Departing, Preparation};
use crate::record::Record;
use crate::releases::{Releases, Roles, Writer};
use crate::spec::Spec;
use crate::table::{Release, ReleaseId};
use crate::version::Hold;
use crate::view::{ChangeView, FailureView, ReleaseView};
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::{OwnedMutexGuard, oneshot};

/// A change that was accepted.
#[derive(Debug)]
pub enum Accepted {
    /// It is made.
    Committed(Box<ReleaseView>),
    /// It will be made when its versions are ready.
    Pending(Box<ReleaseView>, Outcome),
}

/// What becomes of a change that is under way. Dropping it gives up nothing.
#[derive(Debug)]
pub struct Outcome(oneshot::Receiver<Result<ReleaseView, ChangeError>>);

impl Outcome {
    /// Waits until the change is made or refused.
    ///
    /// # Errors
    /// Why it was not made.
    pub async fn wait(self) -> Result<ReleaseView, ChangeError> {
        // The sender is dropped only with the host's runtime.
        self.0.await.unwrap_or_else(|_stopping| Err(ChangeError::Stopping))
    }
}

type Guard = OwnedMutexGuard<Writer>;

impl Releases {
    /// Changes a release. Returns once it is known whether the change is accepted: it is made then, or under way.
    ///
    /// # Errors
    /// Why it is not accepted; nothing has changed then.
    pub async fn change(self: &Arc<Self>, id: &ReleaseId, change: Change) -> Result<Accepted, ChangeError> {
        // The disk is looked at before the lock is taken, so that a slow one holds up nobody who only reads.
        let (current, next) = self.accept(id, &change)?;
        self.check_bundles(id, &current, &next).await?;
        let writer = Arc::clone(&self.writer).lock_owned().await;
        let (current, next) = self.accept(id, &change)?;
        let release = self.current().get(id).cloned().ok_or_else(|| unknown(id))?;
        if next == current {
            return self.unchanged(id, &release);
        }
        let roles = self.roles_after(&next, &release);
        drop(release);
        let needed = needed(&current, &next, &roles);
        if needed.iter().all(|hold| hold.version().is_ready()) {
            return self.make_at_once(writer, id, &change, next, roles).await;
        }
        self.begin(&writer, id, change, next, roles, needed)
    }

    /// Commits a change whose versions are ready. Only a rollback gets here while another change is under way, and
    /// overtakes it.
    async fn make_at_once(
        self: &Arc<Self>,
        writer: Guard,
        id: &ReleaseId,
        change: &Change,
        next: Spec,
        roles: Roles,
    ) -> Result<Accepted, ChangeError> {
        let (_writer, committed) = self.commit_blocking(writer, id.clone(), record(change, next), roles).await;
        committed.inspect_err(|error| self.note(id, change, error))?;
        if let Some(book) = self.books.lock().get_mut(id) {
            book.give_up();
        }
        Ok(Accepted::Committed(Box::new(self.view(id)?)))
    }

    /// Begins to prepare a change.
    fn begin(
        self: &Arc<Self>,
        _writer: &Writer,
        id: &ReleaseId,
        change: Change,
        next: Spec,
        roles: Roles,
        needed: Vec<Hold>,
    ) -> Result<Accepted, ChangeError> {
        let Change { expected_generation, who, why, .. } = &change;
        let pending = Pending::new(id.clone(), who.clone(), why.clone(), *expected_generation, &self.hub);
        let before = self.books.lock().get_mut(id).and_then(|book| {
            book.give_up();
            book.pending = Some(Arc::clone(&pending));
            book.leaving.clone()
        });
        let view = self.view(id)?;
        let (done, outcome) = oneshot::channel();
        let releases = Arc::clone(self);
        tokio::spawn(async move {
            if let Some(before) = before {
                releases.follow(&before, &pending, &next).await;
            }
            let result = releases.carry_out(&pending, &change, next, roles, needed).await;
            // Whoever asked need not have waited.
            let _ = done.send(result);
        });
        Ok(Accepted::Pending(Box::new(view), Outcome(outcome)))
    }

    /// Waits until the change before this one has left: its worker is gone then, and memory is measured right. What it
    /// owes is this one's to give: at once where stable stays, since it must not find its room taken.
    async fn follow(self: &Arc<Self>, before: &Pending, pending: &Pending, next: &Spec) {
        before.over.cancelled().await;
        let Some(debt) = before.take_debt() else { return };
        let stays = |release: &Arc<Release>| *release.stable.bundle() == next.stable;
        if self.current().get(&pending.release).is_some_and(stays) {
            // Said in the log, and in the version's status.
            let _ = self.restore(&pending.release, Some(debt)).await;
        } else {
            pending.owe(debt);
        }
    }

    /// A release that is set to what it is keeps its generation, and gets versions back that have failed.
    fn unchanged(self: &Arc<Self>, id: &ReleaseId, release: &Release) -> Result<Accepted, ChangeError> {
        let view = Box::new(self.view(id)?);
        let Some(failed) = release.versions().find(|version| version.has_failed()) else {
            return Ok(Accepted::Committed(view));
        };
        let (done, outcome) = oneshot::channel();
        let (releases, id, bundle) = (Arc::clone(self), id.clone(), Arc::clone(failed.bundle()));
        drop(failed);
        tokio::spawn(async move {
            let result = match releases.restore(&id, None).await {
                Ok(()) => releases.view(&id),
                Err(reason) => Err(ChangeError::VersionFailed { id, bundle, reason }),
            };
            let _ = done.send(result);
        });
        Ok(Accepted::Pending(view, Outcome(outcome)))
    }

    /// Checks a change against the release as it is.
    fn accept(&self, id: &ReleaseId, change: &Change) -> Result<(Spec, Spec), ChangeError> {
        if self.stop.is_cancelled() {
            return Err(ChangeError::Stopping);
        }
        let record = self.current().get(id).map(|release| Arc::clone(&release.record)).ok_or_else(|| unknown(id))?;
        let (current, expected) = (record.generation, change.expected_generation);
        if current != expected {
            return Err(ChangeError::Stale { id: id.clone(), expected, current });
        }
        let next = record.spec.next(&change.command).map_err(|refusal| ChangeError::refused(id, refusal))?;
        match self.books.lock().get(id).and_then(|book| book.pending.as_ref()) {
            Some(pending) if change.command != Command::Rollback => {
                Err(ChangeError::InProgress { id: id.clone(), who: pending.who.clone(), current })
            }
            _ => Ok((record.spec.clone(), next)),
        }
    }

    /// Every bundle that has a new role must be one, and do what the one does that serves.
    async fn check_bundles(&self, id: &ReleaseId, current: &Spec, next: &Spec) -> Result<(), ChangeError> {
        let known: Vec<_> = bundles(current).collect();
        let named: Vec<_> = bundles(next).filter(|bundle| !known.contains(bundle)).cloned().collect();
        if named.is_empty() {
            return Ok(());
        }
        let (id, stable, workshop) = (id.clone(), Arc::clone(&current.stable), Arc::clone(&self.workshop));
        let check = move || {
            // Where its folder is gone, nobody knows any more.
            let serves = workshop.kind(&stable).ok();
            named.into_iter().try_for_each(|bundle| match (workshop.kind(&bundle), &serves) {
                (Err(reason), _) => Err(ChangeError::UnknownBundle { bundle, reason }),
                (Ok(kind), Some(serves)) if kind != *serves => {
                    let (stable, serves) = (Arc::clone(&stable), serves.clone());
                    Err(ChangeError::refused(&id, Refusal::OtherKind { bundle, kind, stable, serves }))
                }
                (Ok(_), _) => Ok(()),
            })
        };
        tokio::task::spawn_blocking(check).await.unwrap_or(Err(ChangeError::Stopping))
    }

    async fn commit_blocking(
        self: &Arc<Self>,
        writer: Guard,
        id: ReleaseId,
        record: Record,
        roles: Roles,
    ) -> (Guard, Result<(), ChangeError>) {
        let releases = Arc::clone(self);
        let commit = move || {
            let committed = releases.commit(&writer, &id, record, roles);
            (writer, committed)
        };
        match tokio::task::spawn_blocking(commit).await {
            Ok(done) => done,
            // The runtime is being shut down.
            Err(_stopping) => (Arc::clone(&self.writer).lock_owned().await, Err(ChangeError::Stopping)),
        }
    }

    /// Prepares the versions of a change, and makes it; gives back what it took away where that fails.
    async fn carry_out(
        self: &Arc<Self>,
        pending: &Arc<Pending>,
        change: &Change,
        next: Spec,
        roles: Roles,
        needed: Vec<Hold>,
    ) -> Result<ReleaseView, ChangeError> {
        let id = &pending.release;
        let versions: Vec<_> = needed.iter().map(|hold| Departing::of(hold.version())).collect();
        let mut preparation = Preparation::new(Arc::clone(self), Arc::clone(pending), next.clone());
        let prepared = tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(ChangeError::Stopping),
            () = pending.cancel.cancelled() => Err(superseded(pending)),
            prepared = preparation.run(&needed) => prepared,
        };
        drop((preparation, needed));
        let writer = Arc::clone(&self.writer).lock_owned().await;
        // Between the preparation's end and the lock, a rollback may have come.
        let prepared =
            prepared.and_then(|()| if pending.cancel.is_cancelled() { Err(superseded(pending)) } else { Ok(()) });
        let (writer, result) = match prepared {
            Ok(()) => self.commit_blocking(writer, id.clone(), record(change, next), roles).await,
            Err(error) => {
                drop(roles);
                (writer, Err(error))
            }
        };
        // Whoever asks from here on may, and waits until this one has left.
        if let Some(book) = self.books.lock().get_mut(id).filter(|book| is(book.pending.as_ref(), pending)) {
            book.give_up();
        }
        if let Err(error) = &result {
            self.note(id, change, error);
            pending.failed(error.code(), &error.to_string());
            tracing::warn!(release = %id, who = %pending.who, %error, "a change was not made");
        }
        let result = result.and_then(|()| self.view(id));
        drop(writer);
        self.leave(pending, versions).await;
        result
    }

    /// The end of a change, made or not: workers that were started for it and have no role are gone, and a stable
    /// version that was retired for it is back, unless the change that comes next sees to that.
    async fn leave(self: &Arc<Self>, pending: &Arc<Pending>, versions: Vec<Departing>) {
        let id = &pending.release;
        for version in versions {
            version.gone().await;
        }
        let followed = self.books.lock().get(id).is_some_and(|book| book.pending.is_some());
        let serves = || self.current().get(id).is_none_or(|release| release.stable.is_ready());
        if !followed
            && let Some(debt) = pending.take_debt()
            && !serves()
        {
            // Said in the log, and in the version's status.
            let _ = self.restore(id, Some(debt)).await;
        }
        if let Some(book) = self.books.lock().get_mut(id) {
            book.forget(pending);
        }
        pending.over.cancel();
    }

    /// Gives up the change that is under way.
    ///
    /// # Errors
    /// `nothing_pending`, `unknown_release`.
    pub async fn cancel(self: &Arc<Self>, id: &ReleaseId) -> Result<ReleaseView, ChangeError> {
        let _writer = self.writer.lock().await;
        let given_up = self.books.lock().get_mut(id).ok_or_else(|| unknown(id))?.give_up();
        given_up.ok_or_else(|| ChangeError::NothingPending { id: id.clone() })?;
        self.view(id)
    }

    /// Remembers a change that was not made, for whoever looks at the release next.
    fn note(&self, id: &ReleaseId, change: &Change, error: &ChangeError) {
        let failure = FailureView {
            at: timestamp(SystemTime::now()),
            who: change.who.clone(),
            why: change.why.clone(),
            code: error.code(),
            detail: error.to_string(),
        };
        if let Some(book) = self.books.lock().get_mut(id) {
            book.failure = Some(failure);
        }
    }

    /// The last generations of a release, newest first.
    ///
    /// # Errors
    /// `unknown_release`; `not_persisted` where the state cannot be read.
    pub async fn history(&self, id: &ReleaseId, limit: usize) -> Result<Vec<ChangeView>, ChangeError> {
        let generation = self.current().get(id).map(|release| release.record.generation);
        let current = generation.ok_or_else(|| unknown(id))?;
        let (store, of) = (self.store.clone(), id.clone());
        let read = tokio::task::spawn_blocking(move || store.history(&of, limit)).await;
        let records = read.map_err(|_stopping| ChangeError::Stopping)?;
        let records = records.map_err(|source| ChangeError::NotPersisted {
            id: id.clone(),
            current,
            source: Box::new(source),
        })?;
        Ok(records.iter().map(ChangeView::of).collect())
    }
}

/// Versions that must be ready before the change is made: those that get a role they did not have.
fn needed(current: &Spec, next: &Spec, roles: &Roles) -> Vec<Hold> {
    let candidate = |spec: &Spec| spec.candidate.as_ref().map(|candidate| Arc::clone(&candidate.bundle));
    let stable = (current.stable != next.stable).then(|| roles.stable.clone());
    let as_candidate = roles.candidate.clone().filter(|_| candidate(current) != candidate(next));
    let as_shadow = roles.shadow.clone().filter(|_| current.shadow != next.shadow);
    [stable, as_candidate, as_shadow].into_iter().flatten().collect()
}

fn bundles(spec: &Spec) -> impl Iterator<Item = &Arc<str>> {
    let candidate = spec.candidate.as_ref().map(|candidate| &candidate.bundle);
    [Some(&spec.stable), candidate, spec.shadow.as_ref(), spec.previous.as_ref()].into_iter().flatten()
}

fn record(change: &Change, spec: Spec) -> Record {
    Record {
        generation: change.expected_generation + 1,
        at: SystemTime::now(),
        who: change.who.clone(),
        why: change.why.clone(),
        action: change.command.action(),
        spec,
    }
}

fn is(held: Option<&Arc<Pending>>, pending: &Arc<Pending>) -> bool {
    held.is_some_and(|held| Arc::ptr_eq(held, pending))
}

fn superseded(pending: &Pending) -> ChangeError {
    let why = "it was cancelled, or a rollback overtook it";
    ChangeError::Superseded { id: pending.release.clone(), why, current: pending.expected }
}
