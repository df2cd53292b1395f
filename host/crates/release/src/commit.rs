//! How a generation becomes the one that serves: persisted, then visible in one swap, then told.

use crate::drain::Until;
use crate::error::ChangeError;
use crate::events::Happening;
use crate::record::Record;
use crate::releases::{Releases, Roles, Writer};
use crate::spec::Spec;
use crate::table::{Release, ReleaseId, Warm};
use crate::tenure::Tenure;
use crate::version::Hold;
use crate::view::ChangeView;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

impl Releases {
    /// Commits a generation and makes it visible. Blocks while the disk writes: called on a thread that may, by
    /// whoever holds the writer's lock.
    ///
    /// # Errors
    /// `not_persisted`; then nothing has changed.
    pub(crate) fn commit(
        self: &Arc<Self>,
        writer: &Writer,
        id: &ReleaseId,
        record: Record,
        roles: Roles,
    ) -> Result<(), ChangeError> {
        let Some(declaration) = self.books.lock().get(id).map(|book| book.declaration.clone()) else {
            return Err(unknown(id));
        };
        let current = self.table();
        let old = current.get(id);
        let expected = old.map_or(0, |old| old.record.generation);
        let record = Arc::new(record);
        // Everything is made ready before the commit, so that between commit and swap there is nothing to do.
        let release = self.assemble(id, Arc::clone(&record), roles, old);
        let table = Arc::new(current.with(release.clone()));
        self.store.commit(id, &declaration, &record).map_err(|source| ChangeError::NotPersisted {
            id: id.clone(),
            current: expected,
            source: Box::new(source),
        })?;
        let committed = Instant::now();
        let before = self.swap(writer, table);
        let flip = committed.elapsed();
        self.flips.add(flip);
        drop(before);
        if let Some(book) = self.books.lock().get_mut(id) {
            book.failure = None;
        }
        self.announce(id, &record, expected, flip);
        if let Some(old) = old {
            self.retire_what_left(old, &release);
        }
        Ok(())
    }

    fn announce(&self, id: &ReleaseId, record: &Record, expected: u64, flip: Duration) {
        self.hub.tell(&Happening::Change {
            release: id.to_string(),
            expected_generation: expected,
            step: "committed",
            bundle: Some(&record.spec.stable),
            who: &record.who,
            why: record.why.as_deref(),
            code: None,
            reason: None,
            generation: Some(record.generation),
            flip_us: Some(flip.as_secs_f64() * 1e6),
        });
        self.hub.tell(&Happening::Release { release: id.to_string(), change: &ChangeView::of(record) });
        tracing::info!(release = %id, generation = record.generation, stable = %record.spec.stable, who = %record.who,
            "a new generation serves");
    }

    /// Versions that lost their place drain; a version that is kept warm is let go of when its time is over.
    fn retire_what_left(self: &Arc<Self>, old: &Release, new: &Release) {
        let stays = |tenure: &Arc<Tenure>| new.tenures().any(|kept| Arc::ptr_eq(kept, tenure));
        let patience = Duration::from_secs(new.record.spec.drain_seconds);
        if old.record.spec.drain_seconds != new.record.spec.drain_seconds {
            self.hasten(&new.id, patience);
        }
        // One that was retired to make room has drained already.
        for left in old.tenures().filter(|tenure| !stays(tenure) && tenure.active().is_some()) {
            self.drain(left, patience, Until::Idle);
        }
        let same = |warm: &Arc<Warm>| old.warm.as_ref().is_some_and(|old| Arc::ptr_eq(old, warm));
        if let Some(warm) = new.warm.as_ref().filter(|warm| !same(warm)) {
            self.cool_later(&new.id, warm);
        }
    }

    /// The hold on the previous version, for as long as it is kept warm.
    pub(crate) fn warm(&self, spec: &Spec, old: Option<&Arc<Release>>) -> Option<Arc<Warm>> {
        let (previous, old) = (spec.previous.as_ref()?, old?);
        let now = SystemTime::now();
        let kept = old.warm.as_ref().filter(|warm| warm.hold.version().bundle() == previous);
        let (hold, since) = match kept {
            Some(warm) => (warm.hold.clone(), warm.since),
            None => {
                let version = old.stable.active().filter(|_| old.stable.bundle() == previous)?;
                (Hold::new(version), now)
            }
        };
        let until = since + Duration::from_secs(spec.keep_warm_seconds);
        match kept {
            Some(warm) if warm.until == until => Some(Arc::clone(warm)),
            _ => (until > now && !hold.version().has_failed()).then(|| Arc::new(Warm { hold, since, until })),
        }
    }

    fn cool_later(self: &Arc<Self>, id: &ReleaseId, warm: &Arc<Warm>) {
        let (releases, id, warm) = (Arc::downgrade(self), id.clone(), Arc::downgrade(warm));
        tokio::spawn(async move {
            let Some(until) = warm.upgrade().map(|warm| warm.until) else { return };
            tokio::time::sleep(until.duration_since(SystemTime::now()).unwrap_or_default()).await;
            let (Some(releases), Some(warm)) = (releases.upgrade(), warm.upgrade()) else { return };
            let writer = releases.writer.lock().await;
            releases.cool(&writer, &id, &warm);
        });
    }

    /// Lets go of a version that was kept warm.
    pub(crate) fn cool(self: &Arc<Self>, writer: &Writer, id: &ReleaseId, warm: &Arc<Warm>) {
        let table = self.table();
        let Some(release) = table.get(id) else { return };
        if release.warm.as_ref().is_some_and(|kept| Arc::ptr_eq(kept, warm)) {
            let exact = release.exact.clone();
            let cooled = Release { warm: None, exact: None, ..Release::clone(release) };
            self.swap(writer, Arc::new(table.with(cooled)));
            // Whoever asked for it by its name has as long as with any version that leaves.
            if let Some(exact) = exact {
                self.drain(&exact, Duration::from_secs(release.record.spec.drain_seconds), Until::Idle);
            }
        }
    }

    /// Puts fresh versions in the places of a release, in the generation that it has.
    pub(crate) fn refill(&self, writer: &Writer, release: &Arc<Release>, roles: Roles) {
        let refilled = self.assemble(&release.id, Arc::clone(&release.record), roles, Some(release));
        self.swap(writer, Arc::new(self.table().with(refilled)));
    }
}

pub(crate) fn unknown(id: &ReleaseId) -> ChangeError {
    ChangeError::UnknownRelease { asked: id.to_string(), known: "the manifest declares no such release".into() }
}
