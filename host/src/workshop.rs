//! Bundles come from a repository on disk, live as verified blobs, and run in workers.

use crate::bundles::{chain, unknown};
use crate::launcher::{Startable, Workers};
use bobbin_bundle::{BlobStore, Bundle, BundleError, Collected, Pace, Repository};
use bobbin_manifest::BundleRef;
use bobbin_release::{Card, Described, Evaluation, Listing, Progress, Urgency, Verified, Workshop};
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::sync::Arc;

/// How fast files are hashed while routes serve, in bytes per second: some percent of one core, and of a disk.
const BACKGROUND_PACE: NonZeroU64 = NonZeroU64::MIN.saturating_add((64 << 20) - 1);

/// The bundles and the workers of this host.
pub(crate) struct HostWorkshop {
    pub(crate) repository: Repository,
    pub(crate) blobs: BlobStore,
    pub(crate) workers: Arc<Workers>,
}

impl HostWorkshop {
    fn find(&self, bundle: &str) -> Result<Bundle, String> {
        let named: BundleRef =
            bundle.parse().map_err(|error| format!("{error}; write `name@version`, such as \"storyteller@1.1.0\""))?;
        self.repository.find(&named.name, &named.version).map_err(|error| match &error {
            // What there is instead helps more.
            BundleError::NotFound { name, version, .. } => unknown(&self.repository, name, Some(version))
                .map_or_else(|unreadable| chain(&unreadable), |failure| failure.message),
            _ => chain(&error),
        })
    }
}

fn card(card: &bobbin_bundle::Card) -> Card {
    let evaluation = |evaluation: &bobbin_bundle::Evaluation| Evaluation {
        name: evaluation.name.clone(),
        value: evaluation.value,
        method: evaluation.method.clone(),
    };
    Card {
        languages: card.languages.clone(),
        base_model: card.base_model.clone(),
        data: card.data.clone(),
        intended_use: card.intended_use.clone(),
        limits: card.limits.clone(),
        evaluations: card.evaluations.iter().map(evaluation).collect(),
    }
}

impl Workshop for HostWorkshop {
    fn kind(&self, bundle: &str) -> Result<String, String> {
        Ok(self.find(bundle)?.manifest().kind.to_string())
    }

    fn list(&self) -> Result<Vec<Listing>, String> {
        let listed = self.repository.list().map_err(|error| chain(&error))?;
        let described = |bundle: Bundle| Described {
            digest: bundle.digest().to_string(),
            kind: bundle.manifest().kind.to_string(),
            size: bundle.manifest().size(),
            licence: bundle.manifest().card.licence.clone(),
            card: card(&bundle.manifest().card),
        };
        let listing = |listed: bobbin_bundle::Listed| Listing {
            bundle: format!("{}@{}", listed.name, listed.version),
            described: listed.bundle.map(described).map_err(|error| chain(&error)),
        };
        Ok(listed.into_iter().map(listing).collect())
    }

    fn verify(
        &self,
        bundle: &str,
        urgency: Urgency,
        progress: &mut dyn FnMut(Progress<'_>) -> ControlFlow<()>,
    ) -> Result<Box<dyn Verified>, String> {
        let found = self.find(bundle)?;
        let mut tell =
            |at: bobbin_bundle::Progress<'_>| progress(Progress { path: at.path, done: at.done, total: at.total });
        let pace = Pace::full().with_progress(&mut tell);
        let mut pace = match urgency {
            Urgency::Startup => pace,
            Urgency::Background => pace.at_most(BACKGROUND_PACE),
        };
        let verified = found.verify_at(&self.blobs, &mut pace).map_err(|error| chain(&error))?;
        Ok(Box::new(Startable { bundle: verified, workers: Arc::clone(&self.workers) }))
    }

    fn collect(&self) -> Result<(), String> {
        let keep = self.repository.digests().map_err(|error| chain(&error))?;
        let Collected { blobs, bytes } = self.blobs.collect(&keep).map_err(|error| chain(&error))?;
        if blobs > 0 {
            tracing::info!(blobs, bytes, "removed what bundles left behind that are gone from the repository");
        }
        Ok(())
    }

    fn free_memory(&self) -> Option<i64> {
        self.workers.free_memory()
    }
}
