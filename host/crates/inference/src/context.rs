//! The one context of a request: it lives in the store, travels in every frame to a worker, and chained
//! calls between components inherit it.

use crate::Account;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Names one request in answers and logs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A new id, sortable by time.
    #[must_use]
    pub fn new() -> Self {
        let mut text = [0; uuid::fmt::Simple::LENGTH];
        Self(Arc::from(&*uuid::Uuid::now_v7().simple().encode_lower(&mut text)))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A W3C `traceparent`, checked for its shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent(String);

impl TraceParent {
    /// Reads a header; `None` where it is not of the form `00-<32 hex>-<16 hex>-<2 hex>` or is all zeros.
    #[must_use]
    pub fn parse(header: &str) -> Option<Self> {
        let mut fields = header.trim().split('-');
        let (version, trace, span, flags) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let hex = |field: &str, len: usize| {
            field.len() == len && field.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        let nonzero = |field: &str| field.bytes().any(|byte| byte != b'0');
        let sound = hex(version, 2) && hex(trace, 32) && hex(span, 16) && hex(flags, 2);
        let known = version != "ff" && (version != "00" || fields.next().is_none());
        (sound && known && nonzero(trace) && nonzero(span)).then(|| Self(header.trim().to_owned()))
    }

    /// A new trace that starts here.
    #[must_use]
    pub fn start() -> Self {
        // The second half of a version 4 holds the mark of its variant, so it is never zero.
        let [mut trace, mut span] = [[0; uuid::fmt::Simple::LENGTH]; 2];
        let trace = uuid::Uuid::new_v4().simple().encode_lower(&mut trace);
        let span = uuid::Uuid::new_v4().simple().encode_lower(&mut span);
        let (_, span) = span.split_at(span.len() / 2);
        Self(["00-", trace, "-", span, "-00"].concat())
    }

    /// As a header.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// When a request must be over.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// From here on a compute answers `timeout`, so that the guest can still say so.
    pub soft: Instant,
    /// Here the store is dropped.
    pub hard: Instant,
}

impl Deadlines {
    /// Deadlines counted from now.
    #[must_use]
    pub fn after(soft: Duration, grace: Duration) -> Self {
        let now = Instant::now();
        Self { soft: now + soft, hard: now + soft + grace }
    }

    /// Time left until the soft deadline.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.soft.saturating_duration_since(Instant::now())
    }
}

/// Why a request ended before its answer did. The first cause wins: what follows from it is noise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The client closed its connection.
    ClientGone,
    /// The hard deadline passed.
    DeadlineExceeded,
    /// The guest used more CPU than its budget.
    CpuBudgetExceeded,
    /// The guest trapped: its message.
    GuestTrapped(String),
    /// The guest returned an error or ended without an answer: its message.
    GuestFailed(String),
    /// The host is stopping and the bound of its drain has passed.
    HostStopping,
    /// The version that was answering has retired, and the bound of its drain has passed.
    VersionRetired,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientGone => f.write_str("the client closed its connection"),
            Self::DeadlineExceeded => f.write_str("the request's deadline passed"),
            Self::CpuBudgetExceeded => f.write_str("the component used more CPU than its budget"),
            Self::GuestTrapped(message) => write!(f, "the component trapped: {message}"),
            Self::GuestFailed(message) => write!(f, "the component failed: {message}"),
            Self::HostStopping => f.write_str("the host is stopping"),
            Self::VersionRetired => f.write_str("the version that was answering has retired, and its drain is over"),
        }
    }
}

/// Holds the first cause of a request's end.
#[derive(Debug, Default)]
pub struct CauseSlot(OnceLock<Cause>);

impl CauseSlot {
    /// Records a cause unless there is one.
    pub fn set(&self, cause: Cause) {
        // A later cause is a consequence of the first; losing it is the point.
        let _ = self.0.set(cause);
    }

    /// The first cause.
    #[must_use]
    pub fn get(&self) -> Option<&Cause> {
        self.0.get()
    }
}

/// The bundle versions that a request used, in the order of first use. Its clones are one log.
#[derive(Debug, Clone, Default)]
pub struct BundleLog(Arc<Mutex<Used>>);

#[derive(Debug, Default)]
struct Used {
    /// Each with the computes that named it.
    bundles: Vec<(Arc<str>, usize)>,
    /// The client was told, or is about to be.
    told: bool,
}

impl Used {
    fn listed(&self) -> Option<String> {
        let names: Vec<&str> = self.bundles.iter().map(|(bundle, _)| &**bundle).collect();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

impl BundleLog {
    /// Notes that a compute goes to `name@version`.
    pub fn note(&self, bundle: &Arc<str>) {
        let mut used = self.used();
        match used.bundles.iter_mut().find(|(known, _)| known == bundle) {
            Some((_, computes)) => *computes += 1,
            None => used.bundles.push((Arc::clone(bundle), 1)),
        }
    }

    /// A compute that was noted came to nothing, and another version makes it. False where the client was told already,
    /// so that it must not.
    #[must_use]
    pub fn withdraw(&self, bundle: &Arc<str>) -> bool {
        let mut used = self.used();
        if used.told {
            return false;
        }
        for (known, computes) in &mut used.bundles {
            if known == bundle {
                *computes = computes.saturating_sub(1);
            }
        }
        used.bundles.retain(|(_, computes)| *computes > 0);
        true
    }

    /// `name@version, name@version`, or `None` where no model was used; for the answer's head, which is made now.
    #[must_use]
    pub fn tell(&self) -> Option<String> {
        let mut used = self.used();
        used.told = true;
        used.listed()
    }

    /// The same as [`BundleLog::tell`], for the host's own log.
    #[must_use]
    pub fn header(&self) -> Option<String> {
        self.used().listed()
    }

    fn used(&self) -> std::sync::MutexGuard<'_, Used> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Everything that belongs to one request.
#[derive(Debug)]
pub struct RequestContext {
    /// Names the request.
    pub id: RequestId,
    /// The trace that the request is part of.
    pub trace: TraceParent,
    /// Id of the trigger that admitted it.
    pub trigger: Arc<str>,
    /// Who asks, where the host knows: the id of an API key.
    pub principal: Option<Arc<str>>,
    /// What splits and sharing by client go by.
    pub sticky_key: Option<Arc<str>>,
    /// When it must be over.
    pub deadlines: Deadlines,
    /// Bytes that the host holds for it.
    pub account: Account,
    /// Fired once, when nobody wants the answer any more.
    pub cancel: CancellationToken,
    /// Why it ended early.
    pub cause: CauseSlot,
    /// The versions it used.
    pub bundles: BundleLog,
}

impl RequestContext {
    /// Of a request that begins now, that nobody has shown anything for, and that ends with nothing else. It may take so long,
    /// and the host may hold so many bytes for it.
    #[must_use]
    pub fn new(trigger: Arc<str>, deadlines: Deadlines, bytes: u64) -> Self {
        Self {
            id: RequestId::new(),
            trace: TraceParent::start(),
            trigger,
            principal: None,
            sticky_key: None,
            deadlines,
            account: Account::new(bytes),
            cancel: CancellationToken::new(),
            cause: CauseSlot::default(),
            bundles: BundleLog::default(),
        }
    }

    /// The context of a call that a component makes to another one of its application. It is the same request: it ends
    /// with it, and holds what it holds; but a call that breaks off, or is given up, ends nothing else.
    #[must_use]
    pub fn call(&self) -> Self {
        Self {
            id: self.id.clone(),
            trace: self.trace.clone(),
            trigger: Arc::clone(&self.trigger),
            principal: self.principal.clone(),
            sticky_key: self.sticky_key.clone(),
            deadlines: self.deadlines,
            account: self.account.clone(),
            cancel: self.cancel.child_token(),
            cause: CauseSlot::default(),
            bundles: self.bundles.clone(),
        }
    }

    /// Ends the request: notes why, and cancels everything that works for it.
    pub fn end(&self, cause: Cause) {
        self.cause.set(cause);
        self.cancel.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traceparents_are_checked() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(TraceParent::parse(good).unwrap().as_str(), good);
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
        assert!(TraceParent::parse(TraceParent::start().as_str()).is_some());
    }

    #[test]
    fn the_first_cause_wins() {
        let slot = CauseSlot::default();
        slot.set(Cause::ClientGone);
        slot.set(Cause::DeadlineExceeded);
        assert_eq!(slot.get(), Some(&Cause::ClientGone));
    }

    #[test]
    fn bundles_are_listed_once_in_order() {
        let log = BundleLog::default();
        assert_eq!(log.header(), None);
        for bundle in ["b@1.0.0", "a@2.0.0", "b@1.0.0"] {
            log.note(&bundle.into());
        }
        assert_eq!(log.header().unwrap(), "b@1.0.0, a@2.0.0");
    }

    #[test]
    fn a_call_ends_with_its_request_and_alone() {
        let request = RequestContext::new("t".into(), Deadlines::after(Duration::from_secs(1), Duration::ZERO), 100);
        let (broken, other) = (request.call(), request.call());
        broken.end(Cause::GuestTrapped("why".into()));
        assert!(!request.cancel.is_cancelled() && !other.cancel.is_cancelled());
        assert_eq!(request.cause.get(), None);
        let charge = other.account.charge(60).unwrap();
        assert_eq!(request.account.held(), 60);
        drop(charge);
        other.bundles.note(&"a@1.0.0".into());
        assert_eq!(request.bundles.header().unwrap(), "a@1.0.0");
        request.end(Cause::ClientGone);
        assert!(other.cancel.is_cancelled());
    }

    #[test]
    fn a_version_whose_computes_came_to_nothing_is_not_listed() {
        let (log, old, new): (BundleLog, Arc<str>, Arc<str>) =
            (BundleLog::default(), "a@1.0.0".into(), "a@2.0.0".into());
        log.note(&old);
        assert!(log.withdraw(&old));
        log.note(&new);
        assert_eq!(log.tell().unwrap(), "a@2.0.0");
        assert!(!log.withdraw(&new), "the client was told");
        assert_eq!(log.header().unwrap(), "a@2.0.0");
    }

    #[test]
    fn a_version_that_answered_another_compute_stays_listed() {
        let (log, old): (BundleLog, Arc<str>) = (BundleLog::default(), "a@1.0.0".into());
        log.note(&old);
        log.note(&old);
        assert!(log.withdraw(&old));
        assert_eq!(log.tell().unwrap(), "a@1.0.0");
    }
}
