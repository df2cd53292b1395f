//! Who uses what is kept, and who changes it: locks that end with the process that has them, however it ends.
//!
//! Whoever adds to the store has a share of the lock of the whole store while it does so, and before it gives that up it has
//! a share of the lock of the application that it added. Whoever removes from the store has the lock of the whole to
//! itself, and leaves applications alone whose locks somebody has a share of.

use crate::digest::Digest;
use crate::store::{Store, StoreError, failed};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::time::SystemTime;

/// While this lives, nobody removes what an application needs.
#[derive(Debug)]
pub struct Held {
    _lock: File,
}

/// While this lives, nobody removes anything.
#[derive(Debug)]
pub(crate) struct Adding {
    _lock: File,
}

/// While this lives, nobody adds anything.
#[derive(Debug)]
pub(crate) struct Removing {
    _lock: File,
}

impl Store {
    /// Waits for whoever removes something.
    pub(crate) fn adding(&self) -> Result<Adding, StoreError> {
        let path = self.lock();
        let lock = opened(&path)?;
        lock.lock_shared().map_err(failed("locked", &path))?;
        Ok(Adding { _lock: lock })
    }

    /// None where somebody adds or removes something just now.
    pub(crate) fn removing(&self) -> Result<Option<Removing>, StoreError> {
        let path = self.lock();
        Ok(lock_alone(&path)?.map(|lock| Removing { _lock: lock }))
    }

    /// Uses an application from now on. Only for whoever is adding: the file could go otherwise.
    pub(crate) fn hold(&self, _adding: &Adding, application: &Digest) -> Result<Held, StoreError> {
        let path = self.in_use(application);
        let lock = opened(&path)?;
        lock.lock_shared().map_err(failed("locked", &path))?;
        // What was used last goes last.
        lock.set_modified(SystemTime::now()).map_err(failed("written", &path))?;
        Ok(Held { _lock: lock })
    }

    /// Whether somebody uses an application. Only for whoever is removing: somebody could begin to otherwise.
    pub(crate) fn is_held(&self, _removing: &Removing, application: &Digest) -> Result<bool, StoreError> {
        Ok(lock_alone(&self.in_use(application))?.is_none())
    }
}

fn opened(path: &Path) -> Result<File, StoreError> {
    let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
    options.map_err(failed("opened", path))
}

fn lock_alone(path: &Path) -> Result<Option<File>, StoreError> {
    let lock = opened(path)?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(failed("locked", path)(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_removes_while_somebody_adds_and_what_is_used_is_known_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (Store::open(folder.path()).unwrap(), Store::open(folder.path()).unwrap());
        let application = Digest::of(b"image");
        let (first, second) = (one.adding().unwrap(), other.adding().unwrap());
        assert!(one.removing().unwrap().is_none());
        let placed = one.keep_application(&application, b"{}", &[]).unwrap();
        let held = one.hold(&first, &application).unwrap();
        drop((first, second));
        let removing = other.removing().unwrap().unwrap();
        assert!(other.removing().unwrap().is_none(), "two remove at once");
        assert!(other.is_held(&removing, &application).unwrap());
        drop(held);
        assert!(!other.is_held(&removing, &application).unwrap());
        assert!(placed.is_file());
    }
}
