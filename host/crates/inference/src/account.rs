//! What the host holds for one guest, counted in bytes.
//!
//! wasmtime's limits see guest memory only; tensors, table entries and queued pieces live in the host.
//! Each is charged here before it is allocated, and given back when its [`Charge`] is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A budget of host bytes, shared by everything that one request makes the host hold.
#[derive(Clone, Debug)]
pub struct Account(Arc<Ledger>);

#[derive(Debug)]
struct Ledger {
    limit: u64,
    held: AtomicU64,
    peak: AtomicU64,
}

/// The account cannot hold this: the guest asked the host to keep more than its request is allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the request holds {held} bytes in the host and asked for {asked} more, over its limit of {limit} bytes; \
     drop tensors and outputs that are no longer needed"
)]
pub struct OverAccount {
    /// Bytes held already.
    pub held: u64,
    /// Bytes asked for.
    pub asked: u64,
    /// The account's limit, in bytes.
    pub limit: u64,
}

impl Account {
    /// An empty account that holds at most `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self(Arc::new(Ledger { limit, held: AtomicU64::new(0), peak: AtomicU64::new(0) }))
    }

    /// Takes `bytes` from the account until the returned charge is dropped.
    ///
    /// # Errors
    /// [`OverAccount`] when the limit would be passed; nothing is charged then.
    pub fn charge(&self, bytes: u64) -> Result<Charge, OverAccount> {
        self.take(bytes)?;
        Ok(Charge { account: self.clone(), bytes })
    }

    fn take(&self, bytes: u64) -> Result<(), OverAccount> {
        let limit = self.0.limit;
        let taken = self.0.held.fetch_update(Ordering::AcqRel, Ordering::Acquire, |held| {
            held.checked_add(bytes).filter(|sum| *sum <= limit)
        });
        match taken {
            Ok(before) => {
                self.0.peak.fetch_max(before + bytes, Ordering::Relaxed);
                Ok(())
            }
            Err(held) => Err(OverAccount { held, asked: bytes, limit }),
        }
    }

    /// Bytes held now.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.0.held.load(Ordering::Acquire)
    }

    /// The most bytes ever held at once.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.0.peak.load(Ordering::Relaxed)
    }

    /// The limit, in bytes.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.limit
    }
}

/// Bytes taken from an [`Account`]; dropping it gives them back.
#[derive(Debug)]
pub struct Charge {
    account: Account,
    bytes: u64,
}

impl Charge {
    /// Changes the charge to `bytes`, upwards only if the account allows it.
    ///
    /// # Errors
    /// [`OverAccount`] when the limit would be passed; the old charge stands then.
    pub fn resize(&mut self, bytes: u64) -> Result<(), OverAccount> {
        if let Some(more) = bytes.checked_sub(self.bytes) {
            self.account.take(more)?;
        } else {
            self.account.0.held.fetch_sub(self.bytes - bytes, Ordering::AcqRel);
        }
        self.bytes = bytes;
        Ok(())
    }

    /// Bytes charged.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.0.held.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_charge_is_given_back_when_dropped() {
        let account = Account::new(100);
        let first = account.charge(60).unwrap();
        assert_eq!(account.charge(41).unwrap_err(), OverAccount { held: 60, asked: 41, limit: 100 });
        drop(first);
        assert_eq!(account.held(), 0);
        assert_eq!(account.charge(100).unwrap().bytes(), 100);
        assert_eq!(account.peak(), 100);
    }

    #[test]
    fn a_refused_resize_keeps_the_old_charge() {
        let account = Account::new(10);
        let mut charge = account.charge(4).unwrap();
        assert!(charge.resize(11).is_err());
        assert_eq!(account.held(), 4);
        charge.resize(10).unwrap();
        charge.resize(1).unwrap();
        assert_eq!(account.held(), 1);
    }

    #[test]
    fn an_absurd_charge_does_not_wrap_around() {
        let account = Account::new(u64::MAX);
        let _held = account.charge(8).unwrap();
        assert!(account.charge(u64::MAX).is_err());
    }
}
