//! Which bundle version serves which trigger.
//!
//! A release is what a trigger's graph name resolves to. The whole table of releases is one immutable value
//! behind one swap: readers take it once per request and keep what they saw, the one writer replaces it. What
//! a request may use is decided at admission ([`Releases::pin`]) and never again: everything later only reads
//! its [`Pins`], and each pin's lease keeps the version's worker alive for as long as the request lives.
//!
//! What is decided without I/O: `spec` and `command` (what a release is set to, and what a change makes of it), `split`
//! (which side a request is on), `policy` (what happens first when memory is short). Around that core: `store` keeps
//! generations, `open` begins with them, `change`, `prepare` and `commit` lead from one to the next, `version` is a
//! worker's life, `tenure` and `drain` the end of its service, `pins` and `session` a request's part in it, `shadow` a
//! listener's, `events` and `view` what the world sees.

#![forbid(unsafe_code)]

mod background;
mod change;
mod command;
mod commit;
mod describe;
mod drain;
mod error;
mod events;
mod live;
mod lock;
mod open;
mod pending;
mod pins;
mod policy;
mod prepare;
mod record;
mod releases;
mod repository;
mod session;
mod shadow;
mod spec;
mod split;
mod status;
mod store;
mod table;
mod tenure;
#[cfg(test)]
mod tests;
mod version;
mod view;

pub use change::{Accepted, Outcome};
pub use command::{Action, Change, Command, Edit, Refusal};
pub use error::ChangeError;
pub use events::{Delivery, Event, Subscription};
pub use live::{Card, Described, Evaluation, Listing, Live, Progress, Urgency, Verified, Vitals, Workshop};
pub use open::Opened;
pub use pins::{Asker, Listed, Pinned, Pins};
pub use record::Record;
pub use releases::{Declared, Readiness, Releases, Unready};
pub use repository::Sighting;
pub use shadow::AgreementView;
pub use spec::{
    Candidate, DRAIN_SECONDS, KEEP_WARM_SECONDS, LONGEST_DRAIN, LONGEST_WARM, Policy, Spec, Sticky, UnknownWord,
    Weight, WeightError,
};
pub use status::{State, Status};
pub use store::{Store, StoreError};
pub use table::{Release, ReleaseId, Table};
pub use tenure::{Lease, Tenure};
pub use version::Version;
pub use view::{
    BundleView, CandidateView, ChangeView, ChangedView, DrainingView, FailureView, PendingView, PreviousView,
    ReleaseView, VersionView,
};
