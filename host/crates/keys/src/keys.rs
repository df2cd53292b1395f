//! The keys of a running host, or of a command line that changes them.

use crate::error::{ChangeError, FileError};
use crate::file::{Changed, KeyFile, Stamp};
use crate::meter::{Levels, Limited, Meter};
use crate::names::{Known, nearest};
use crate::record::{Created, Record, State, View, Wanted};
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

/// All keys. Whoever asks sees the file as it is at that moment.
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
}

/// A key that there is, and what it has used.
#[derive(Debug)]
pub struct Key {
    record: Record,
    meter: Arc<Meter>,
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
            ring: ArcSwap::from_pointee(Ring { seen: Stamp::Absent, configured: false, keys: HashMap::new() }),
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

    /// Whether anybody has ever made keys for this host. Revoking all of them does not take that back, and neither does
    /// removing the file under a running host: nothing opens by itself.
    #[must_use]
    pub fn is_configured(&self) -> bool {
        self.ring().configured
    }

    /// The key that somebody sent, if it is taken.
    ///
    /// # Errors
    /// Why it is not.
    pub fn authenticate(&self, sent: &[u8], now: Timestamp) -> Result<Arc<Key>, Denied> {
        let ring = self.ring();
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

    /// Counts a request of the key's, unless one of its limits is used up; with how they stand.
    pub fn admit(&self, key: &Key) -> (Levels, Result<(), Limited>) {
        key.meter.admit(self.clock())
    }

    /// Counts what a request of the key's used. Of a key that is gone nothing needs to be counted.
    pub fn charge(&self, id: &str, tokens: u64) {
        // Without a look at the file: the key was there when its request came.
        if let Some(key) = self.ring.load().keys.get(id) {
            key.meter.charge(tokens, self.clock());
        }
    }

    /// What every key has used that was used at all, by id.
    #[must_use]
    pub fn uses(&self) -> Vec<Use> {
        let of = |key: &Arc<Key>| {
            let [admitted, limited, tokens] = key.meter.counts();
            Use { id: key.record.id.clone(), admitted, limited, tokens }
        };
        let mut uses: Vec<Use> = self.ring().keys.values().map(of).collect();
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
            let created = Created { key: record.view(now), token };
            keys.push(record);
            Ok(created)
        });
        created.map_err(ChangeError::from)
    }

    /// Takes a key back, for good. One that was revoked already stays revoked since then. Blocks for as long as the disk
    /// takes.
    ///
    /// # Errors
    /// [`ChangeError`]; nothing has changed then.
    pub fn revoke(&self, id: &KeyId) -> Result<View, ChangeError> {
        let now = Timestamp::now();
        let revoked = self.file.change(|keys| {
            let Some(record) = keys.iter_mut().find(|record| record.id == *id) else {
                let ids: Vec<&str> = keys.iter().map(|record| record.id.as_str()).collect();
                let near = nearest(id.as_str(), ids.iter().copied());
                let help = near.map_or("`bobbin key list` shows those that there are".to_owned(), |near| {
                    format!("did you mean {near}?")
                });
                return Err(ChangeError::Unknown { id: id.clone(), help });
            };
            record.revoked.get_or_insert(now);
            Ok(record.view(now))
        });
        revoked.map_err(ChangeError::from)
    }

    fn clock(&self) -> Duration {
        self.since.elapsed()
    }

    /// The keys as the file has them now. That is one look at the file's number and times, which the kernel has in
    /// memory; only a change makes it read. A file that cannot be used any more leaves the keys as they were.
    fn ring(&self) -> Arc<Ring> {
        let stamp = self.file.stamp();
        let ring = self.ring.load_full();
        if ring.seen == stamp {
            return ring;
        }
        let _one = self.reading.lock();
        let ring = self.ring.load_full();
        let stamp = self.file.stamp();
        if ring.seen == stamp {
            return ring;
        }
        match self.file.read() {
            Ok((records, seen)) => self.put(records, seen),
            Err(error) => {
                tracing::error!(%error, "the keys stay as they were");
                let keys = ring.keys.clone();
                // Whoever made a file wants it asked, also where it cannot be read.
                let configured = ring.configured || stamp != Stamp::Absent;
                self.ring.store(Arc::new(Ring { seen: stamp, configured, keys }));
            }
        }
        self.ring.load_full()
    }

    fn put(&self, records: Vec<Record>, seen: Stamp) {
        let (old, now) = (self.ring.load_full(), self.clock());
        let key = |record: Record| {
            let known = old.keys.get(&record.id).filter(|key| key.meter.limits() == record.limits());
            let meter = known.map_or_else(|| Arc::new(Meter::new(record.limits(), now)), |key| Arc::clone(&key.meter));
            (record.id.clone(), Arc::new(Key { record, meter }))
        };
        let configured = old.configured || seen != Stamp::Absent;
        let keys = records.into_iter().map(key).collect();
        self.ring.store(Arc::new(Ring { seen, configured, keys }));
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
mod tests {
    use super::*;
    use crate::Which;
    use std::collections::BTreeSet;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    fn host() -> (TempDir, Keys) {
        let folder = tempfile::tempdir().unwrap();
        let keys = Keys::open(folder.path().join("keys.json")).unwrap();
        (folder, keys)
    }

    /// What a command line sees of the same file.
    fn elsewhere(keys: &Keys) -> Keys {
        Keys::open(keys.file().path().to_owned()).unwrap()
    }

    fn named(name: &str) -> Wanted {
        Wanted { name: name.into(), ..Wanted::default() }
    }

    fn ask(keys: &Keys, token: &str) -> Result<String, Denied> {
        keys.authenticate(token.as_bytes(), Timestamp::now()).map(|key| key.id().to_string())
    }

    #[test]
    fn a_first_file_that_cannot_be_read_closes_what_was_open() {
        let (_folder, keys) = host();
        assert!(!keys.is_configured());
        fs::write(keys.file().path(), "no keys").unwrap();
        assert!(keys.is_configured());
    }

    #[test]
    fn a_key_that_somebody_else_makes_or_revokes_counts_from_the_next_question_on() {
        let (_folder, keys) = host();
        assert!(!keys.is_configured());
        let other = elsewhere(&keys);
        let Created { key, token } = other.create(named("one"), None).unwrap();
        assert!(keys.is_configured());
        assert_eq!(ask(&keys, token.reveal()), Ok(key.id.to_string()));
        let revoked = other.revoke(&key.id).unwrap();
        assert_eq!(revoked.state, State::Revoked);
        assert_eq!(ask(&keys, token.reveal()), Err(Denied::Revoked));
        assert_eq!(other.revoke(&key.id).unwrap(), revoked, "it stays revoked since then");
        assert!(keys.is_configured(), "a host whose last key was revoked is not open");
    }

    #[test]
    fn only_the_whole_key_opens_and_only_its_holder_learns_why_it_does_not() {
        let (_folder, keys) = host();
        let Created { key, token } = keys.create(named("one"), None).unwrap();
        let text = token.reveal();
        let (head, secret) = text.rsplit_once('_').unwrap();
        let turned = if secret.starts_with('a') { "b" } else { "a" };
        let wrong = format!("{head}_{turned}{}", secret.get(1..).unwrap());
        let stranger = keys.create(named("two"), None).unwrap().token;
        let mixed = format!("{head}_{}", stranger.reveal().rsplit_once('_').unwrap().1);
        keys.revoke(&key.id).unwrap();
        for sent in ["", "x", key.id.as_str(), secret, &wrong, &mixed, &format!("{text} "), "\u{e4}"] {
            assert_eq!(ask(&keys, sent), Err(Denied::Unknown), "{sent}");
        }
        assert_eq!(keys.authenticate(b"\xff\xfe", Timestamp::now()).err(), Some(Denied::Unknown));
        assert_eq!(ask(&keys, text), Err(Denied::Revoked));
    }

    #[test]
    fn a_key_ends_when_its_time_is_over() {
        let (_folder, keys) = host();
        let expires = Timestamp::now().after(Duration::from_secs(3600));
        let token = keys.create(Wanted { expires: Some(expires), ..named("one") }, None).unwrap().token;
        let ask = |now| keys.authenticate(token.reveal().as_bytes(), now).err();
        assert_eq!((ask(Timestamp::now()), ask(expires)), (None, Some(Denied::Expired)));
    }

    #[test]
    fn what_a_key_has_used_is_kept_while_other_keys_change() {
        let (_folder, keys) = host();
        let wanted = Wanted { requests_per_minute: Some(1), ..named("one") };
        let Created { key: view, token } = keys.create(wanted, None).unwrap();
        let key = keys.authenticate(token.reveal().as_bytes(), Timestamp::now()).unwrap();
        assert_eq!(keys.admit(&key).1, Ok(()));
        keys.charge(view.id.as_str(), 7);
        elsewhere(&keys).create(named("two"), None).unwrap();
        let key = keys.authenticate(token.reveal().as_bytes(), Timestamp::now()).unwrap();
        assert!(matches!(keys.admit(&key).1, Err(Limited { which: Which::Requests, .. })));
        assert_eq!(keys.uses(), [Use { id: view.id, admitted: 1, limited: 1, tokens: 7 }]);
        keys.charge("nobody", 1);
    }

    #[test]
    fn a_file_that_breaks_under_a_running_host_leaves_the_keys_as_they_were() {
        let (_folder, keys) = host();
        let Created { key, token } = keys.create(named("one"), None).unwrap();
        assert!(ask(&keys, token.reveal()).is_ok());
        let path = keys.file().path().to_owned();
        let good = fs::read(&path).unwrap();
        fs::write(&path, "nonsense").unwrap();
        assert!(ask(&keys, token.reveal()).is_ok());
        assert!(matches!(keys.revoke(&key.id), Err(ChangeError::Unreadable(_))));
        assert!(keys.views().is_err());
        fs::write(&path, good).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(ask(&keys, token.reveal()).is_ok());
        assert!(Keys::open(path.clone()).is_err(), "a host does not start with it");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        keys.revoke(&key.id).unwrap();
        assert_eq!(ask(&keys, token.reveal()), Err(Denied::Revoked));
    }

    #[test]
    fn a_file_that_goes_takes_its_keys_with_it_and_opens_nothing() {
        let (_folder, keys) = host();
        let token = keys.create(named("one"), None).unwrap().token;
        assert!(ask(&keys, token.reveal()).is_ok());
        fs::remove_file(keys.file().path()).unwrap();
        assert_eq!(ask(&keys, token.reveal()), Err(Denied::Unknown));
        assert!(keys.is_configured());
        assert!(!elsewhere(&keys).is_configured());
    }

    #[test]
    fn a_key_that_there_is_not_is_refused_with_the_one_that_was_probably_meant() {
        let (_folder, keys) = host();
        let id = keys.create(named("one"), None).unwrap().key.id;
        let mut slip: Vec<char> = id.as_str().chars().collect();
        slip[3] = if slip[3] == 'q' { 'r' } else { 'q' };
        let slip: KeyId = slip.into_iter().collect::<String>().parse().unwrap();
        let error = keys.revoke(&slip).unwrap_err().to_string();
        assert!(error.contains(&format!("did you mean {id}?")), "{error}");
    }

    #[test]
    fn a_scope_is_by_path_or_by_trigger_and_by_the_models_name() {
        let (_folder, keys) = host();
        let set = |entry: &str| Some(BTreeSet::from([entry.to_owned()]));
        let wanted = Wanted { routes: set("/infer"), models: set("story"), ..named("one") };
        let token = keys.create(wanted, None).unwrap().token;
        let key = keys.authenticate(token.reveal().as_bytes(), Timestamp::now()).unwrap();
        assert!(key.allows_route("http:/infer:c", "/infer") && key.allows_route("/infer", "/other"));
        assert!(!key.allows_route("http:/infer:c", "/infer/...") && !key.allows_route("x", "/embed"));
        assert!(key.allows_model("story") && !key.allows_model("sentence") && key.is_for_some_models());
        let token = keys.create(named("two"), None).unwrap().token;
        let key = keys.authenticate(token.reveal().as_bytes(), Timestamp::now()).unwrap();
        assert!(key.allows_route("x", "/embed") && key.allows_model("sentence") && !key.is_for_some_models());
    }

    #[test]
    fn of_too_many_keys_the_oldest_that_are_not_taken_go_and_no_other() {
        let now = Timestamp::now();
        let record = |revoked: bool| {
            let id = KeyId::generate().unwrap();
            let hash = Token::generate(&id).unwrap().digest();
            Record { revoked: revoked.then_some(now), ..named("x").record(id, hash, now) }
        };
        let mut keys: Vec<Record> = (0..MOST_KEYS).map(|n| record(n == 7 || n == 9)).collect();
        let (goes, stays) = (keys[7].id.clone(), keys[9].id.clone());
        make_room(&mut keys, now).unwrap();
        assert_eq!(keys.len(), MOST_KEYS - 1);
        assert!(keys.iter().all(|record| record.id != goes) && keys.iter().any(|record| record.id == stays));
        let mut full: Vec<Record> = (0..MOST_KEYS).map(|_| record(false)).collect();
        assert!(matches!(make_room(&mut full, now), Err(ChangeError::Full(MOST_KEYS))));
    }
}
