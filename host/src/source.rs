//! Bundles come from a repository on disk, and live as verified blobs.

use crate::bundles::chain;
use bobbin_bundle::{BlobStore, Bundle, VerifiedBundle};
use bobbin_release::Source;
use std::collections::BTreeMap;

/// The bundles that the manifest's releases name, found before anything was started.
pub(crate) struct RepositorySource {
    /// By `name@version`.
    pub(crate) bundles: BTreeMap<String, Bundle>,
    pub(crate) blobs: BlobStore,
}

impl Source for RepositorySource {
    fn verify(&self, bundle: &str) -> Result<VerifiedBundle, String> {
        let found = self.bundles.get(bundle).ok_or_else(|| format!("{bundle} is not in the repository"))?;
        found.verify(&self.blobs).map_err(|error| chain(&error))
    }
}
