//! Which blobs of an image are needed for its application, besides those that are here.

use crate::digest::Digest;
use crate::image::{Blob, Image, Kind, Layer};
use std::collections::{BTreeMap, BTreeSet};

/// What to fetch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Blobs that are used as they are.
    pub(crate) blobs: Vec<Blob>,
    /// Archives, in which some of `loose` may be.
    pub(crate) archives: Vec<Blob>,
    /// What only the archives can hold.
    pub(crate) loose: BTreeSet<Digest>,
}

/// Content that the image does not have.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// It is in no layer.
    #[error("{owner} needs the content {digest}, which is in no layer of the image; push the application again")]
    Missing {
        /// Who needs it.
        owner: String,
        /// Its digest.
        digest: Digest,
    },
    /// Its layer is of no type that is known.
    #[error("{owner} needs the layer {digest}, which is of the unknown media type {media_type:?}")]
    UnknownType {
        /// Who needs it.
        owner: String,
        /// Its digest.
        digest: Digest,
        /// What the image calls it.
        media_type: String,
    },
}

/// Decides what is needed. `wanted` is the application's content and who needs it, `is_here` what need not be fetched.
/// Layers that nobody needs are left where they are.
pub(crate) fn plan(
    image: &Image,
    wanted: &BTreeMap<Digest, String>,
    is_here: impl Fn(&Digest) -> bool,
) -> Result<Plan, PlanError> {
    let layers: BTreeMap<&Digest, &Layer> = image.layers.iter().map(|layer| (&layer.blob.digest, layer)).collect();
    let archives = image.layers.iter().filter(|layer| layer.kind == Kind::Archive);
    let archives: BTreeMap<&Digest, &Blob> = archives.map(|layer| (&layer.blob.digest, &layer.blob)).collect();
    let mut plan = Plan::default();
    for (digest, owner) in wanted.iter().filter(|(digest, _)| !is_here(digest)) {
        match layers.get(digest).map(|layer| (&layer.kind, &layer.blob)) {
            Some((Kind::Wasm | Kind::Data | Kind::Archive, blob)) => plan.blobs.push(blob.clone()),
            Some((Kind::Unknown(media_type), _)) => {
                let (owner, digest, media_type) = (owner.clone(), digest.clone(), media_type.clone());
                return Err(PlanError::UnknownType { owner, digest, media_type });
            }
            None if archives.is_empty() => return Err(missing(wanted, digest)),
            None => {
                plan.loose.insert(digest.clone());
            }
        }
    }
    if !plan.loose.is_empty() {
        plan.archives = archives.into_values().cloned().collect();
    }
    Ok(plan)
}

/// The error for content that is nowhere.
pub(crate) fn missing(wanted: &BTreeMap<Digest, String>, digest: &Digest) -> PlanError {
    let owner = wanted.get(digest).cloned().unwrap_or_default();
    PlanError::Missing { owner, digest: digest.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Main;

    fn blob(content: &str) -> Blob {
        Blob { digest: Digest::of(content.as_bytes()), size: 7 }
    }

    fn image(layers: &[(&str, Kind)]) -> Image {
        let layers = layers.iter().map(|(content, kind)| Layer { kind: kind.clone(), blob: blob(content) });
        Image { main: Main::Application(blob("app")), layers: layers.collect() }
    }

    fn wanted(contents: &[&str]) -> BTreeMap<Digest, String> {
        contents.iter().map(|content| (blob(content).digest, format!("the user of {content}"))).collect()
    }

    #[test]
    fn only_what_is_needed_and_not_here_is_fetched() {
        let image = image(&[
            ("main", Kind::Wasm),
            ("page", Kind::Data),
            ("unused", Kind::Data),
            ("odd", Kind::Unknown("x/y".into())),
        ]);
        let plan = plan(&image, &wanted(&["main", "page"]), |digest| *digest == blob("page").digest).unwrap();
        assert_eq!(plan, Plan { blobs: vec![blob("main")], ..Plan::default() });
    }

    #[test]
    fn what_is_in_no_layer_is_looked_for_in_the_archives() {
        let image = image(&[("main", Kind::Wasm), ("files", Kind::Archive)]);
        let found = plan(&image, &wanted(&["main", "page"]), |_| false).unwrap();
        assert_eq!((found.blobs, found.archives), (vec![blob("main")], vec![blob("files")]));
        assert_eq!(found.loose, BTreeSet::from([blob("page").digest]));
        let none = plan(&image, &wanted(&["main", "page"]), |digest| *digest == blob("page").digest).unwrap();
        assert_eq!((none.archives, none.loose.len()), (Vec::new(), 0), "an archive that nobody needs stays there");
    }

    #[test]
    fn what_is_nowhere_or_of_an_unknown_type_is_named_with_who_needs_it() {
        let image = image(&[("main", Kind::Wasm), ("odd", Kind::Unknown("x/y".into()))]);
        let error = plan(&image, &wanted(&["gone"]), |_| false).unwrap_err().to_string();
        assert!(error.contains("the user of gone") && error.contains("in no layer"), "{error}");
        let error = plan(&image, &wanted(&["odd"]), |_| false).unwrap_err().to_string();
        assert!(error.contains("the user of odd") && error.contains("\"x/y\""), "{error}");
    }
}
