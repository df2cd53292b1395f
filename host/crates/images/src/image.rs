//! What an image is made of, by its manifest.

use crate::bounds;
use crate::digest::{Digest, DigestError};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The locked application, as a layer, or as the configuration of images that older versions of Spin pushed.
const APPLICATION: &str = "application/vnd.fermyon.spin.application.v1+config";
const WASM: [&str; 2] = ["application/vnd.wasm.content.layer.v1+wasm", "application/wasm"];
const DATA: &str = "application/vnd.wasm.content.layer.v1+data";
const ARCHIVE: &str = "application/vnd.wasm.content.bundle.v1.tar+gzip";

/// The manifests that are asked for. Those of several images are, too, so that they can be refused by name.
pub(crate) const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// Content of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob {
    pub(crate) digest: Digest,
    /// In bytes.
    pub(crate) size: u64,
}

/// What a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A component or a core module.
    Wasm,
    /// A file.
    Data,
    /// A compressed archive of files.
    Archive,
    /// Anything else, by its media type.
    Unknown(String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) kind: Kind,
    pub(crate) blob: Blob,
}

/// What an image is there for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Main {
    /// A locked application.
    Application(Blob),
    /// A component without an application around it, as `wkg` publishes it.
    Component(Blob),
}

/// An image that can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) main: Main,
    /// The layers but a locked application.
    pub(crate) layers: Vec<Layer>,
}

/// An image that is no application.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The manifest is no JSON, or none of an image.
    #[error("its manifest cannot be read")]
    Unreadable(#[source] serde_json::Error),
    /// Another version of the format.
    #[error("its manifest is of version {0}, and only 2 is known")]
    Version(u32),
    /// Several images for several machines.
    #[error("it is an index of several images, and an application is one; name one of them by its digest")]
    Index,
    /// What container runtimes run.
    #[error("it is an image for containers, without a Spin application in it; `spin registry push` makes one that has")]
    Container,
    /// Anything else.
    #[error("there is no Spin application in it (no layer of the type {APPLICATION}); `spin registry push` makes one")]
    NoApplication,
    /// A layer that has no proper name.
    #[error("a layer of it has no proper digest")]
    Digest(#[from] DigestError),
    /// Too many layers.
    #[error("it has {found} layers, and at most {} are accepted", bounds::LAYERS)]
    Layers {
        /// How many there are.
        found: usize,
    },
    /// An application that is too large.
    #[error("the locked application in it has {found} bytes, and at most {} are accepted", bounds::APPLICATION_BYTES)]
    Application {
        /// How many there are.
        found: u64,
    },
    /// Blobs that are too large together.
    #[error("its layers have more than {} bytes together, which is the most that is accepted", bounds::IMAGE_BYTES)]
    TooLarge,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    manifests: Option<Vec<IgnoredAny>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

impl Descriptor {
    fn blob(&self) -> Result<Blob, DigestError> {
        Ok(Blob { digest: Digest::parse(&self.digest)?, size: self.size })
    }

    fn kind(&self) -> Kind {
        match self.media_type.as_str() {
            known if WASM.contains(&known) => Kind::Wasm,
            DATA => Kind::Data,
            ARCHIVE => Kind::Archive,
            other => Kind::Unknown(other.chars().take(100).collect()),
        }
    }
}

impl Image {
    /// Reads an image's manifest.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, ImageError> {
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(ImageError::Unreadable)?;
        if manifest.schema_version != 2 {
            return Err(ImageError::Version(manifest.schema_version));
        }
        if manifest.manifests.is_some() {
            return Err(ImageError::Index);
        }
        let layers = manifest.layers.unwrap_or_default();
        if layers.len() > bounds::LAYERS {
            return Err(ImageError::Layers { found: layers.len() });
        }
        let is_application = |descriptor: &&Descriptor| descriptor.media_type == APPLICATION;
        let application = layers.iter().find(is_application).or(manifest.config.as_ref().filter(is_application));
        let main = match (application, layers.as_slice()) {
            (Some(application), _) => Main::Application(application.blob()?),
            (None, [only]) if only.kind() == Kind::Wasm => Main::Component(only.blob()?),
            (None, _) => return Err(without_application(&layers)),
        };
        let size = match &main {
            Main::Application(application) if application.size > bounds::APPLICATION_BYTES => {
                return Err(ImageError::Application { found: application.size });
            }
            Main::Application(application) => application.size,
            // It is one of the layers.
            Main::Component(_) => 0,
        };
        let layers: Result<Vec<Layer>, DigestError> = layers
            .iter()
            .filter(|layer| layer.media_type != APPLICATION)
            .map(|layer| Ok(Layer { kind: layer.kind(), blob: layer.blob()? }))
            .collect();
        let layers = layers?;
        let bytes = layers.iter().try_fold(size, |sum, layer| sum.checked_add(layer.blob.size));
        if bytes.is_none_or(|bytes| bytes > bounds::IMAGE_BYTES) {
            return Err(ImageError::TooLarge);
        }
        Ok(Self { main, layers })
    }
}

/// What an image without an application is instead.
fn without_application(layers: &[Descriptor]) -> ImageError {
    let container = ["application/vnd.oci.image.layer.", "application/vnd.docker.image."];
    if layers.iter().any(|layer| container.iter().any(|start| layer.media_type.starts_with(start))) {
        return ImageError::Container;
    }
    ImageError::NoApplication
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn descriptor(media_type: &str, content: &str, size: u64) -> Value {
        json!({ "mediaType": media_type, "digest": Digest::of(content.as_bytes()).to_string(), "size": size })
    }

    fn read(config: &str, layers: &[Value]) -> Result<Image, ImageError> {
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFESTS[0], "config": descriptor(config, "{}", 2), "layers": layers,
            "annotations": { "org.opencontainers.image.title": "x" },
        });
        Image::read(manifest.to_string().as_bytes())
    }

    const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";

    #[test]
    fn an_image_of_spins_is_its_application_and_its_layers() {
        let layers = [
            descriptor(WASM[0], "a", 10),
            descriptor(WASM[1], "b", 20),
            descriptor(DATA, "c", 30),
            descriptor(ARCHIVE, "d", 40),
            descriptor("text/html", "e", 50),
            descriptor(APPLICATION, "app", 60),
        ];
        let image = read(OCI_CONFIG, &layers).unwrap();
        assert_eq!(image.main, Main::Application(Blob { digest: Digest::of(b"app"), size: 60 }));
        let kinds: Vec<_> = image.layers.iter().map(|layer| layer.kind.clone()).collect();
        assert_eq!(kinds, [Kind::Wasm, Kind::Wasm, Kind::Data, Kind::Archive, Kind::Unknown("text/html".into())]);
    }

    #[test]
    fn older_images_have_the_application_as_their_configuration() {
        let image = read(APPLICATION, &[descriptor(WASM[0], "a", 10)]).unwrap();
        assert_eq!(image.main, Main::Application(Blob { digest: Digest::of(b"{}"), size: 2 }));
    }

    #[test]
    fn a_component_alone_is_one_layer_of_its_type() {
        for (config, media_type) in [("application/vnd.wasm.config.v0+json", WASM[1]), (OCI_CONFIG, WASM[0])] {
            let image = read(config, &[descriptor(media_type, "a", 10)]).unwrap();
            assert_eq!(image.main, Main::Component(Blob { digest: Digest::of(b"a"), size: 10 }));
            assert_eq!(image.layers.len(), 1);
        }
        let two = [descriptor(WASM[1], "a", 10), descriptor(WASM[1], "b", 10)];
        assert!(matches!(read(OCI_CONFIG, &two), Err(ImageError::NoApplication)));
        let large = descriptor(WASM[1], "a", bounds::IMAGE_BYTES + 1);
        assert!(matches!(read(OCI_CONFIG, &[large]), Err(ImageError::TooLarge)));
    }

    #[test]
    fn what_is_no_application_is_refused_for_what_it_is() {
        let container = descriptor("application/vnd.oci.image.layer.v1.tar+gzip", "a", 10);
        assert!(matches!(read(OCI_CONFIG, &[container]), Err(ImageError::Container)));
        let docker = descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", "a", 10);
        assert!(matches!(read(OCI_CONFIG, &[docker]), Err(ImageError::Container)));
        assert!(matches!(read(OCI_CONFIG, &[]), Err(ImageError::NoApplication)));
        assert!(matches!(Image::read(b"{}"), Err(ImageError::Unreadable(_))));
        assert!(matches!(Image::read(br#"{ "schemaVersion": 1 }"#), Err(ImageError::Version(1))));
        assert!(matches!(Image::read(br#"{ "schemaVersion": 2, "manifests": [{}] }"#), Err(ImageError::Index)));
        let nameless = json!({ "mediaType": WASM[0], "digest": "sha256:../../etc", "size": 1 });
        assert!(matches!(read(APPLICATION, &[nameless]), Err(ImageError::Digest(_))));
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_fetched() {
        let huge = descriptor(APPLICATION, "app", bounds::APPLICATION_BYTES + 1);
        assert!(matches!(read(OCI_CONFIG, &[huge]), Err(ImageError::Application { .. })));
        let half = descriptor(DATA, "a", bounds::IMAGE_BYTES / 2 + 1);
        assert!(matches!(read(APPLICATION, &[half.clone(), half]), Err(ImageError::TooLarge)));
        let endless = descriptor(DATA, "a", u64::MAX);
        assert!(matches!(read(APPLICATION, &[endless]), Err(ImageError::TooLarge)));
        let many = vec![descriptor(DATA, "a", 1); bounds::LAYERS + 1];
        assert!(matches!(read(APPLICATION, &many), Err(ImageError::Layers { found: 1001 })));
    }
}
