//! The keys of a running host, or of a command line that changes them.

use crate::error::{ChangeError, FileError};
use crate::file::{Changed, Done, KeyFile, Stamp};
use crate::meter::{Levels, Limited, Meter};
use crate::record::{Created, Known, Record, Revoked, State, View, Wanted};
use crate::timestamp::Timestamp;
use crate::token::{Digest, KeyId, Token, id_of};
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Keys in one file. Beyond it the oldest of those that are not taken any more are forgotten.
const MOST_KEYS: usize = 10_000;

/// All keys, as the file had them when it was last read.
#[derive(Debug)]
pub struct Keys {
    file: KeyFile,
    ring: ArcSwap<Ring>,
    /// Held by the one who reads the file anew.
    reading: Mutex<()>,
    /// What the limits count time from.
    since: Instant,
}

/// What the file said when it was last read.
#[derive(Debug)]
struct Ring {
    seen: Stamp,
    /// There is a file, or there was one since the host started.
    configured: bool,
    keys: HashMap<KeyId, Arc<Key>>,
    /// What keys have used that were there once: one that comes back, with its file or alone, goes on where it was.
    gone: HashMap<KeyId, Arc<Meter>>,
}

/// A key that there is, and what it has used.
#[derive(Debug)]
pub struct Key {
    record: Record,
    meter: Arc<Meter>,
}

/// A request of a key's that its limits let pass. It counts from when this is dropped, unless it is given back.
#[derive(Debug)]
#[must_use]
pub struct Admitted {
    key: Arc<Key>,
    counts: bool,
}

/// Why a key is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It is none of this host's. No more is told to whoever does not have the secret.
    Unknown,
    /// It was revoked.
    Revoked,
    /// Its time is over.
    Expired,
}

/// What one key has used since the host started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// The key.
    pub id: KeyId,
    /// Requests that it was taken for.
    pub admitted: u64,
    /// Requests that its limits refused.
    pub limited: u64,
    /// Tokens of prompts and answers.
    pub tokens: u64,
}

impl Keys {
    /// Reads the file. Where there is none, there are no keys, until somebody makes one.
    ///
    /// # Errors
    /// [`FileError`] where there is a file that cannot be used.
    pub fn open(path: PathBuf) -> Result<Self, FileError> {
        let keys = Self {
            file: KeyFile::at(path),
            ring: ArcSwap::from_pointee(Ring::default()),
            reading: Mutex::default(),
            since: Instant::now(),
        };
        let (records, seen) = keys.file.read()?;
        keys.put(records, seen);
        Ok(keys)
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &KeyFile {
        &self.file
    }

    /// Whether the file is still the one that was read. That is one look at its number and times, which the kernel has in
    /// memory; no lock is taken.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.ring.load().seen == self.file.stamp()
    }

    /// Reads the file, if it is not the one that was read. A file that cannot be used any more leaves the keys as they were.
    /// Blocks for as long as the disk takes.
    pub fn refresh(&self) {
        let _one = self.reading.lock();
        let (ring, stamp) = (self.ring.load_full(), self.file.stamp());
        if ring.seen == stamp {
            return;
        }
        match self.file.read() {
            Ok((records, seen)) => self.put(records, seen),
            Err(error) => {
                tracing::error!(%error, "the keys stay as they were");
                // Whoever made a file wants it asked, also where it cannot be read.
                let configured = ring.configured || stamp != Stamp::Absent;
                let (keys, gone) = (ring.keys.clone(), ring.gone.clone());
                self.ring.store(Arc::new(Ring { seen: stamp, configured, keys, gone }));
            }
        }
    }

    /// Whether anybody has ever made keys for this host. Revoking all of them does not take that back, and neither does
    /// removing the file under a running host: nothing opens by itself.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.ring.load().configured
    }

    /// The key that somebody sent, if it is taken.
    ///
    /// # Errors
    /// Why it is not.
    pub fn authenticate(&self, sent: &[u8], now: Timestamp) -> Result<Arc<Key>, Denied> {
        let ring = self.ring.load();
        let id = std::str::from_utf8(sent).ok().and_then(id_of);
        let key = id.and_then(|id| ring.keys.get(id));
        // Also where there is no such id, so that nobody learns from the time which ids there are.
        let right = key.map_or(&Digest::NOBODY, |key| &key.record.hash).is_of(sent);
        match key.filter(|_| right) {
            None => Err(Denied::Unknown),
            Some(key) => match key.record.state(now) {
                State::Active => Ok(Arc::clone(key)),
                State::Expired => Err(Denied::Expired),
                State::Revoked => Err(Denied::Revoked),
            },
        }
    }

    /// Takes a request from the key's limits, unless one of them is used up; with how they stand.
    pub fn admit(&self, key: Arc<Key>) -> (Levels, Result<Admitted, Limited>) {
        let (levels, admitted) = key.meter.admit(self.clock());
        (levels, admitted.map(|()| Admitted { key, counts: true }))
    }

    /// Has a request be as if it had never come: the host has no place for it. Returns how the limits stand then.
    pub fn give_back(&self, mut admitted: Admitted) -> Levels {
        admitted.counts = false;
        admitted.key.meter.give_back(self.clock())
    }

    /// Counts what a request of the key's used. The key may have gone meanwhile.
    pub fn charge(&self, id: &str, tokens: u64) {
        let ring = self.ring.load();
        let meter = ring.keys.get(id).map(|key| &key.meter).or_else(|| ring.gone.get(id));
        if let Some(meter) = meter {
            meter.charge(tokens, self.clock());
        }
    }

    /// What every key has used that was used at all, by id.
    #[must_use]
    pub fn uses(&self) -> Vec<Use> {
        let of = |key: &Arc<Key>| {
            let [admitted, limited, tokens] = key.meter.counts();
            Use { id: key.record.id.clone(), admitted, limited, tokens }
        };
        let mut uses: Vec<Use> = self.ring.load().keys.values().map(of).collect();
        uses.retain(|used| used.admitted + used.limited + used.tokens > 0);
        uses.sort_by(|a, b| a.id.cmp(&b.id));
        uses
    }

    /// All keys, in the order in which they were made.
    ///
    /// # Errors
    /// Where the file cannot be used now.
    pub fn views(&self) -> Result<Vec<View>, FileError> {
        let now = Timestamp::now();
        let (records, _) = self.file.read()?;
        Ok(records.iter().map(|record| record.view(now)).collect())
    }

    /// Makes a key. It is on the disk when this returns, and the only time that it is shown. Blocks for as long as the
    /// disk takes.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub fn create(&self, wanted: Wanted, known: Option<&Known>) -> Result<Created, ChangeError> {
        let now = Timestamp::now();
        wanted.check(known, now)?;
        let created = self.file.change(|keys| {
            make_room(keys, now)?;
            let id = free_id(keys)?;
            let token = Token::generate(&id).map_err(ChangeError::Random)?;
            let record = wanted.record(id, token.digest(), now);
            let view = record.view(now);
            keys.push(record);
            Ok((view, token))
        });
        let Done { value: (key, token), unsynced } = created.map_err(ChangeError::from)?;
        self.refresh();
        Ok(Created { key, token, unsynced })
    }

    /// Takes a key back, for good. One that was revoked already stays revoked since then. Blocks for as long as the disk
    /// takes.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub fn revoke(&self, id: &KeyId) -> Result<Revoked, ChangeError> {
        let now = Timestamp::now();
        let revoked = self.file.change(|keys| {
            let Some(record) = keys.iter_mut().find(|record| record.id == *id) else {
                let ids: Vec<&str> = keys.iter().map(|record| record.id.as_str()).collect();
                let near = bobbin_suggest::nearest(id.as_str(), ids.iter().copied());
                let help = near.map_or("`bobbin key list` shows those that there are".to_owned(), |near| {
                    format!("did you mean {near}?")
                });
                return Err(ChangeError::Unknown { id: id.clone(), help });
            };
            record.revoked.get_or_insert(now);
            Ok(record.view(now))
        });
        let Done { value: key, unsynced } = revoked.map_err(ChangeError::from)?;
        self.refresh();
        Ok(Revoked { key, unsynced })
    }

    fn clock(&self) -> Duration {
        self.since.elapsed()
    }

    fn put(&self, records: Vec<Record>, seen: Stamp) {
        let (old, now) = (self.ring.load_full(), self.clock());
        let key = |record: Record| {
            let known = old.keys.get(&record.id).map(|key| &key.meter).or_else(|| old.gone.get(&record.id));
            let known = known.filter(|meter| meter.limits() == record.limits());
            let meter = known.map_or_else(|| Arc::new(Meter::new(record.limits(), now)), Arc::clone);
            (record.id.clone(), Arc::new(Key { record, meter }))
        };
        let configured = old.configured || seen != Stamp::Absent;
        let keys: HashMap<KeyId, Arc<Key>> = records.into_iter().map(key).collect();
        let gone = old.gone_without(&keys);
        self.ring.store(Arc::new(Ring { seen, configured, keys, gone }));
    }
}

impl Default for Ring {
    fn default() -> Self {
        Self { seen: Stamp::Absent, configured: false, keys: HashMap::new(), gone: HashMap::new() }
    }
}

impl Ring {
    /// What those have used that are not among these keys. Of too many, those that have just gone stay.
    fn gone_without(&self, keys: &HashMap<KeyId, Arc<Key>>) -> HashMap<KeyId, Arc<Meter>> {
        let is_gone = |id: &KeyId| !keys.contains_key(id);
        let now = self.keys.iter().filter(|(id, _)| is_gone(id)).map(|(id, key)| (id.clone(), Arc::clone(&key.meter)));
        let now: HashMap<_, _> = now.collect();
        if now.len() + self.gone.len() > MOST_KEYS {
            return now;
        }
        let before = self.gone.iter().filter(|(id, _)| is_gone(id)).map(|(id, meter)| (id.clone(), Arc::clone(meter)));
        now.into_iter().chain(before).collect()
    }
}

impl Admitted {
    /// Whose request it is.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if self.counts {
            self.key.meter.taken();
        }
    }
}

impl Key {
    /// Names it.
    #[must_use]
    pub fn id(&self) -> &KeyId {
        &self.record.id
    }

    /// Whether it is for a route, which has a trigger's id and a path.
    #[must_use]
    pub fn allows_route(&self, trigger: &str, path: &str) -> bool {
        self.record.routes.as_ref().is_none_or(|routes| routes.contains(trigger) || routes.contains(path))
    }

    /// Whether it is for certain models alone.
    #[must_use]
    pub fn is_for_some_models(&self) -> bool {
        self.record.models.is_some()
    }

    /// Whether it is for a model, by the name under which components load it.
    #[must_use]
    pub fn allows_model(&self, graph: &str) -> bool {
        self.record.models.as_ref().is_none_or(|models| models.contains(graph))
    }
}

impl From<Changed<ChangeError>> for ChangeError {
    fn from(changed: Changed<Self>) -> Self {
        match changed {
            Changed::Unreadable(error) => Self::Unreadable(error),
            Changed::NotPersisted(error) => Self::NotPersisted(error),
            Changed::Refused(error) => error,
        }
    }
}

/// Keeps the file small: of too many keys the oldest that are not taken any more go.
fn make_room(keys: &mut Vec<Record>, now: Timestamp) -> Result<(), ChangeError> {
    let mut over = (keys.len() + 1).saturating_sub(MOST_KEYS);
    keys.retain(|record| {
        let goes = over > 0 && record.state(now) != State::Active;
        over -= usize::from(goes);
        !goes
    });
    if over > 0 { Err(ChangeError::Full(keys.len())) } else { Ok(()) }
}

fn free_id(keys: &[Record]) -> Result<KeyId, ChangeError> {
    loop {
        let id = KeyId::generate().map_err(ChangeError::Random)?;
        if keys.iter().all(|record| record.id != id) {
            return Ok(id);
        }
    }
}

#[cfg(test)]
mod tests;
