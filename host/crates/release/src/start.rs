//! The way to live: a declared bundle is verified, loaded by a worker, and then answers.
//!
//! None of it happens on the request path. A version that fails says why and changes nothing else.

use crate::live::{Launcher, Source};
use crate::status::State;
use crate::table::{Release, ReleaseId, Table};
use crate::version::Version;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A release as the manifest declares it.
#[derive(Debug, Clone)]
pub struct Declared {
    /// Which.
    pub id: ReleaseId,
    /// `name@version`.
    pub stable: Arc<str>,
}

/// A bundle that could not be brought to life.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{bundle} does not serve: {reason}")]
pub struct ServeError {
    /// `name@version`.
    pub bundle: Arc<str>,
    /// Why, and the next step.
    pub reason: String,
}

impl Table {
    /// The table that a manifest declares: every release in its first generation, each bundle version once.
    #[must_use]
    pub fn declared(releases: &[Declared]) -> Self {
        let mut versions: BTreeMap<Arc<str>, Arc<Version>> = BTreeMap::new();
        Self::new(releases.iter().map(|declared| {
            let version = versions
                .entry(Arc::clone(&declared.stable))
                .or_insert_with(|| Version::new(Arc::clone(&declared.stable)));
            Release { id: declared.id.clone(), generation: 1, stable: Arc::clone(version) }
        }))
    }
}

/// Brings one version to life: verifies its bundle, starts its worker, and waits until it answers.
///
/// # Errors
/// [`ServeError`] when it cannot serve; the version's status says the same from then on.
pub async fn serve(version: &Arc<Version>, source: Arc<dyn Source>, launcher: &dyn Launcher) -> Result<(), ServeError> {
    let bundle = Arc::clone(version.bundle());
    let fail = |reason: String| {
        version.enter(State::Failed, Some(reason.clone()));
        tracing::error!(%bundle, %reason, "the bundle does not serve");
        ServeError { bundle: Arc::clone(&bundle), reason }
    };
    version.enter(State::Verifying, None);
    let name = Arc::clone(&bundle);
    let verified = tokio::task::spawn_blocking(move || source.verify(&name)).await;
    let verified = verified.unwrap_or_else(|error| Err(format!("its verification was interrupted: {error}")));
    let verified = verified.map_err(fail)?;
    version.enter(State::Loading, None);
    let live = launcher.launch(&verified).map_err(fail)?;
    version.attach(Arc::clone(&live));
    live.settled().await.map_err(fail)?;
    tracing::info!(bundle = %version.bundle(), digest = %live.graph().info().digest, "the bundle serves");
    Ok(())
}
