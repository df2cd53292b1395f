//! The file of the keys: read whole, replaced whole, for its owner alone.
//!
//! A change takes the lock beside it, reads what is there now, writes a new file, forces it to the disk and renames it
//! into place; so of two writers neither loses what the other wrote, readers need no lock, and a file is never half.

use crate::error::FileError;
use crate::record::Record;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What it is called in the state folder.
pub const FILE_NAME: &str = "keys.json";
/// The version of the format; another one is refused rather than guessed at.
const FORMAT: u32 = 1;
/// Bytes that are read of it: many times what the most keys take.
const MOST_BYTES: u64 = 64 << 20;
/// How long another process may take for a change.
const PATIENCE: Duration = Duration::from_secs(5);
/// The permissions of the file: its owner's alone.
const MODE: u32 = 0o600;
/// What they must not be, for a file of the host's own user.
const OTHERS: u32 = 0o077;
/// The same for a file of somebody else's, which can only be read as one of its group: mounted secrets are like that.
const STRANGERS: u32 = 0o037;

/// Where keys are kept.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
    /// Forces a folder to the disk.
    sync: fn(&Path) -> io::Result<()>,
}

/// Tells one content of the file from the next: each is a file of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// There is no file.
    Absent,
    /// The file cannot even be looked at.
    Hidden(ErrorKind),
    /// Device, number, size, and when it was last changed.
    File([i64; 6], [u64; 3]),
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    keys: &'a [Record],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: u32,
    keys: Vec<Record>,
}

/// A change that was made.
pub(crate) struct Done<T> {
    pub(crate) value: T,
    /// Why it may be lost when the machine loses power, where it may.
    pub(crate) unsynced: Option<FileError>,
}

/// What a change may end with besides the file's own errors.
pub(crate) enum Changed<E> {
    Unreadable(FileError),
    NotPersisted(FileError),
    Refused(E),
}

impl KeyFile {
    /// The file at this path; nothing is opened yet.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path, sync: |folder| File::open(folder)?.sync_all() }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn stamp(&self) -> Stamp {
        match std::fs::metadata(&self.path) {
            Ok(metadata) => Stamp::of(&metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => Stamp::Absent,
            Err(error) => Stamp::Hidden(error.kind()),
        }
    }

    /// The keys, and the stamp of what they were read from. No file is no keys.
    pub(crate) fn read(&self) -> Result<(Vec<Record>, Stamp), FileError> {
        let failed = |action, source| self.io(action, source);
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Vec::new(), Stamp::Absent)),
            Err(error) => return Err(failed("opened", error)),
        };
        let metadata = file.metadata().map_err(|source| failed("looked at", source))?;
        if !metadata.is_file() {
            return Err(FileError::NoFile { path: self.path.clone() });
        }
        let mode = metadata.permissions().mode() & 0o777;
        let own = metadata.uid() == rustix::process::geteuid().as_raw();
        if mode & (if own { OTHERS } else { STRANGERS }) != 0 {
            return Err(FileError::Open { path: self.path.clone(), mode });
        }
        let mut text = Vec::new();
        let read = file.take(MOST_BYTES + 1).read_to_end(&mut text).map_err(|source| failed("read", source))?;
        if read as u64 > MOST_BYTES {
            return Err(self.corrupt(format!("it has more than {MOST_BYTES} bytes")));
        }
        let keys = parse(&text).map_err(|why| self.corrupt(why))?;
        Ok((keys, Stamp::of(&metadata)))
    }

    /// Changes the keys: `edit` gets them as they are now, and what it leaves is written.
    pub(crate) fn change<T, E>(
        &self,
        edit: impl FnOnce(&mut Vec<Record>) -> Result<T, E>,
    ) -> Result<Done<T>, Changed<E>> {
        let _lock = self.lock().map_err(Changed::NotPersisted)?;
        let (mut keys, _) = self.read().map_err(Changed::Unreadable)?;
        let value = edit(&mut keys).map_err(Changed::Refused)?;
        self.write(&keys).map_err(|(action, source)| Changed::NotPersisted(self.io(action, source)))?;
        // From here on hosts read what is new, so this is no reason to say that nothing has changed.
        let unsynced = (self.sync)(self.folder()).err();
        let unsynced = unsynced.map(|source| FileError::Unsynced { path: self.path.clone(), source });
        Ok(Done { value, unsynced })
    }

    /// The kernel gives the lock up when its holder ends, however it ends.
    fn lock(&self) -> Result<File, FileError> {
        self.make_folder()?;
        let path = self.beside("lock");
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(false).mode(MODE).open(path);
        let file = file.map_err(|source| self.io("locked", source))?;
        let asked = Instant::now();
        while let Err(errno) = flock(&file, FlockOperation::NonBlockingLockExclusive) {
            if errno != rustix::io::Errno::WOULDBLOCK {
                return Err(self.io("locked", errno.into()));
            }
            if asked.elapsed() > PATIENCE {
                return Err(FileError::Busy { path: self.path.clone() });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(file)
    }

    /// Makes the folder, and no other one: a path with a slip in it makes no folders that nobody looks into.
    fn make_folder(&self) -> Result<(), FileError> {
        match std::fs::create_dir(self.folder()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let parent = self.folder().parent().unwrap_or(Path::new("/")).to_owned();
                Err(FileError::NoFolder { path: self.path.clone(), parent })
            }
            Err(error) => Err(self.io("made", error)),
        }
    }

    fn folder(&self) -> &Path {
        self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    /// Called with the lock held, so nobody else writes the file that is renamed.
    fn write(&self, keys: &[Record]) -> Result<(), (&'static str, io::Error)> {
        let text = serde_json::to_string_pretty(&Written { format: FORMAT, keys });
        let text = text.map_err(|error| ("written", error.into()))?;
        if text.len() as u64 >= MOST_BYTES {
            return Err(("written", io::Error::other(format!("it would have more than {MOST_BYTES} bytes"))));
        }
        let next = self.beside("next");
        let placed = self.place(&next, text.as_bytes());
        if placed.is_err() {
            // Half of a file, on a disk that is full perhaps; that it cannot be removed changes nothing.
            let _ = std::fs::remove_file(&next);
        }
        placed
    }

    /// Writes a file whole, and has it take the place of the one that is there.
    fn place(&self, next: &Path, text: &[u8]) -> Result<(), (&'static str, io::Error)> {
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(MODE).open(next);
        let mut file = file.map_err(|source| ("written", source))?;
        // One that a writer which was killed left behind keeps its permissions.
        file.set_permissions(Permissions::from_mode(MODE)).map_err(|source| ("written", source))?;
        let written = file.write_all(text).and_then(|()| file.write_all(b"\n"));
        written.and_then(|()| file.sync_all()).map_err(|source| ("written", source))?;
        std::fs::rename(next, &self.path).map_err(|source| ("replaced", source))
    }

    /// `keys.json.lock`, and the like.
    fn beside(&self, end: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(".");
        name.push(end);
        name.into()
    }

    fn io(&self, action: &'static str, source: io::Error) -> FileError {
        FileError::Io { path: self.path.clone(), action, source }
    }

    fn corrupt(&self, why: String) -> FileError {
        FileError::Corrupt { path: self.path.clone(), why }
    }
}

/// Reads the file's text. What is wrong with it is told without quoting values: they may be hashes.
fn parse(text: &[u8]) -> Result<Vec<Record>, String> {
    let document: Document = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    if document.format != FORMAT {
        return Err(format!("it is of format {}, and this host reads {FORMAT}", document.format));
    }
    let mut seen = BTreeSet::new();
    for record in &document.keys {
        if !seen.insert(&record.id) {
            return Err(format!("the key {} stands there twice", record.id));
        }
        if let Some(fault) = record.fault() {
            return Err(format!("the key {}: {fault}", record.id));
        }
    }
    Ok(document.keys)
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let times = [metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()];
        let [mtime, mtime_nsec, ctime, ctime_nsec] = times;
        // Permissions count: they are part of what makes a file good.
        let mode = i64::from(metadata.mode());
        let uid = i64::from(metadata.uid());
        Self::File([mtime, mtime_nsec, ctime, ctime_nsec, mode, uid], [metadata.dev(), metadata.ino(), metadata.size()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{KeyId, Token};
    use crate::{Timestamp, Wanted};
    use std::fs;
    use tempfile::TempDir;

    fn place() -> (TempDir, KeyFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::at(folder.path().join("state").join(FILE_NAME));
        (folder, file)
    }

    fn record(name: &str) -> (Record, Token) {
        let id = KeyId::generate().unwrap();
        let token = Token::generate(&id).unwrap();
        let hash = token.digest();
        (Wanted { name: name.into(), ..Wanted::default() }.record(id, hash, Timestamp::now()), token)
    }

    fn add(file: &KeyFile, record: Record) {
        let added = file.change(|keys| {
            keys.push(record);
            Ok::<_, ()>(())
        });
        assert!(added.is_ok());
    }

    fn written(file: &KeyFile, text: &str) -> String {
        fs::create_dir_all(file.path().parent().unwrap()).unwrap();
        fs::write(file.path(), text).unwrap();
        fs::set_permissions(file.path(), Permissions::from_mode(0o600)).unwrap();
        file.read().unwrap_err().to_string()
    }

    #[test]
    fn what_was_written_is_read_and_the_secret_is_not_in_it() {
        let (_folder, file) = place();
        assert_eq!(file.read().unwrap().1, Stamp::Absent);
        let (record, token) = record("one");
        add(&file, record.clone());
        let (keys, stamp) = file.read().unwrap();
        assert_eq!(stamp, file.stamp());
        assert_eq!((keys.len(), &keys[0].id, &keys[0].name), (1, &record.id, &"one".to_owned()));
        assert!(keys[0].hash.is_of(token.reveal().as_bytes()));
        let text = fs::read_to_string(file.path()).unwrap();
        let secret = token.reveal().rsplit_once('_').unwrap().1;
        assert!(!text.contains(secret) && text.contains("sha256:"), "{text}");
    }

    #[test]
    fn the_file_is_its_owners_alone_and_so_is_what_lies_beside_it() {
        let (_folder, file) = place();
        // As a writer that was killed might leave it.
        fs::create_dir_all(file.path().parent().unwrap()).unwrap();
        fs::write(file.beside("next"), "half").unwrap();
        add(&file, record("one").0);
        for path in [file.path().to_owned(), file.beside("lock")] {
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
        }
        for mode in [0o640, 0o604, 0o620, 0o644, 0o666] {
            fs::set_permissions(file.path(), Permissions::from_mode(mode)).unwrap();
            let error = file.read().unwrap_err().to_string();
            assert!(error.contains("chmod 600") && error.contains(&format!("{mode:o}")), "{error}");
        }
        fs::set_permissions(file.path(), Permissions::from_mode(0o400)).unwrap();
        assert_eq!(file.read().unwrap().0.len(), 1);
    }

    #[test]
    fn every_change_has_another_stamp() {
        let (_folder, file) = place();
        let mut seen = vec![file.stamp()];
        for name in ["a", "b", "c"] {
            add(&file, record(name).0);
            let stamp = file.stamp();
            assert!(!seen.contains(&stamp), "{name}");
            seen.push(stamp);
        }
    }

    #[test]
    fn a_file_that_says_something_else_is_refused_with_its_place_and_the_next_step() {
        let (_folder, file) = place();
        let (record, _) = record("one");
        let key = serde_json::to_string(&record).unwrap();
        let with = |more: &str| format!(r#"{{"format":1,"keys":[{}]}}"#, key.replacen('{', &format!("{{{more},"), 1));
        for (text, part) in [
            (String::new(), "line 1 column 0"),
            ("{".into(), "line 1 column 1"),
            ("[]".into(), "no file of keys"),
            (r#"{"format":1}"#.into(), "missing field `keys`"),
            (r#"{"format":2,"keys":[]}"#.into(), "of format 2, and this host reads 1"),
            (r#"{"format":1,"keys":[],"kyes":[]}"#.into(), "unknown field `kyes`"),
            (with(r#""requests_per_hour":1"#), "unknown field `requests_per_hour`"),
            (with(r#""requests_per_minute":0"#), "requests_per_minute is 0"),
            (with(r#""models":[]"#), "models has 0 entries"),
            (with(r#""expires":"never""#), "is no moment"),
            (format!(r#"{{"format":1,"keys":[{key},{key}]}}"#), "stands there twice"),
            (format!(r#"{{"format":1,"keys":[{}]}}"#, key.replace("sha256:", "")), "a hash is sha256:"),
        ] {
            let error = written(&file, &text);
            assert!(error.contains(part) && error.contains("bobbin key create"), "{text}: {error}");
            assert!(error.contains(FILE_NAME), "{error}");
        }
    }

    #[test]
    fn a_folder_in_its_place_is_named() {
        let (_folder, file) = place();
        fs::create_dir_all(file.path()).unwrap();
        assert!(file.read().unwrap_err().to_string().contains("is no file"));
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_beside_the_file() {
        let (_folder, file) = place();
        // Nothing can take the place of a folder that holds something.
        fs::create_dir_all(file.path().join("full")).unwrap();
        assert_eq!(file.write(&[record("one").0]).unwrap_err().0, "replaced");
        assert!(!file.beside("next").exists());
    }

    #[test]
    fn a_change_that_is_refused_changes_nothing() {
        let (_folder, file) = place();
        add(&file, record("one").0);
        let before = file.stamp();
        assert!(matches!(file.change(|_| Err::<(), _>("no")), Err(Changed::Refused("no"))));
        assert_eq!(file.stamp(), before);
        fs::write(file.path(), "nonsense").unwrap();
        assert!(matches!(file.change(|_| Ok::<_, ()>(())), Err(Changed::Unreadable(FileError::Corrupt { .. }))));
        assert_eq!(fs::read_to_string(file.path()).unwrap(), "nonsense");
    }

    #[test]
    fn a_change_whose_folder_is_not_on_the_disk_is_made_and_says_what_may_become_of_it() {
        let (_folder, mut file) = place();
        let one = record("one").0;
        file.sync = |_folder| Err(io::Error::other("the disk is gone"));
        let done = file.change(|keys| {
            keys.push(one);
            Ok::<_, ()>(())
        });
        let told = done.ok().and_then(|done| done.unsynced).unwrap().to_string();
        for part in [FILE_NAME, "counts from now on", "the disk is gone", "loses power"] {
            assert!(told.contains(part), "{part}: {told}");
        }
        assert_eq!(file.read().unwrap().0.len(), 1);
    }

    #[test]
    fn the_files_own_folder_is_made_and_none_above_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = KeyFile::at(folder.path().join("nope/state").join(FILE_NAME));
        let told = match file.change(|_| Ok::<_, ()>(())) {
            Err(Changed::NotPersisted(error)) => error.to_string(),
            _ => String::new(),
        };
        assert!(told.contains(&format!("no folder {}", folder.path().join("nope").display())), "{told}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        fs::create_dir(folder.path().join("nope")).unwrap();
        add(&file, record("one").0);
    }

    #[test]
    fn of_many_writers_at_once_none_loses_what_another_wrote() {
        let (_folder, file) = place();
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let file = &file;
                scope.spawn(move || (0..5).for_each(|key| add(file, record(&format!("{writer} {key}")).0)));
            }
        });
        assert_eq!(file.read().unwrap().0.len(), 40);
    }
}
