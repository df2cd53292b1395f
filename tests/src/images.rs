//! Images as `spin registry push` makes them, down to what it leaves out.

#![allow(clippy::indexing_slicing, reason = "an object of JSON gets the member that it lacks")]

use crate::registry::Registry;
use crate::{Locked, Result};
use anyhow::{Context, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Spin's media types.
const APPLICATION: &str = "application/vnd.fermyon.spin.application.v1+config";
const WASM: &str = "application/vnd.wasm.content.layer.v1+wasm";
const DATA: &str = "application/vnd.wasm.content.layer.v1+data";
const ARCHIVE: &str = "application/vnd.wasm.content.bundle.v1.tar+gzip";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// So many bytes lie in the locked application itself.
const INLINE: usize = 128;

/// How Spin puts the files of components into an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assembly {
    /// A layer for each.
    Simple,
    /// An archive for each folder, which Spin does for many files, and with `SPIN_OCI_ARCHIVE_LAYERS`.
    Archive,
}

/// An image, ready to be pushed.
#[derive(Debug, Clone)]
pub struct SpinImage {
    /// Its manifest.
    pub manifest: Value,
    /// Its blobs by digest.
    pub blobs: BTreeMap<String, Vec<u8>>,
}

impl SpinImage {
    /// What Spin makes of an application whose content is in files.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn of(app: &Locked, assembly: Assembly) -> Result<Self> {
        let mut app = app.json().clone();
        let mut image = Self::empty();
        for component in app["components"].as_array_mut().into_iter().flatten() {
            image.source(&mut component["source"])?;
            for dependency in component["dependencies"].as_object_mut().into_iter().flatten() {
                image.source(&mut dependency.1["source"])?;
            }
            let roles = component["trigger_dependencies"].as_object_mut().into_iter().flatten();
            for dependency in roles.filter_map(|(_, role)| role.as_array_mut()).flatten() {
                image.source(&mut dependency["source"])?;
            }
            let mut files = Vec::new();
            for mount in component["files"].as_array().into_iter().flatten() {
                image.mount(&path_of(mount)?, assembly, &mut files)?;
            }
            component["files"] = files.into();
            component.as_object_mut().context("a component")?.retain(|_, value| !value.is_null());
        }
        app["metadata"].as_object_mut().context("metadata")?.remove("origin");
        let application = image.layer(APPLICATION, app.to_string().into_bytes());
        let labels = json!({ "com.fermyon.spin.lockedAppDigest": application });
        let config = json!({
            "architecture": "wasm", "os": "Wasip1", "config": { "Labels": labels },
            "rootfs": { "type": "layers", "diff_ids": [] }, "history": [],
        });
        image.configure(CONFIG, config.to_string().into_bytes());
        Ok(image)
    }

    /// Without layers.
    #[must_use]
    pub fn empty() -> Self {
        let manifest =
            json!({ "schemaVersion": 2, "mediaType": MANIFEST, "layers": [], "annotations": { "title": "test" } });
        let mut image = Self { manifest, blobs: BTreeMap::new() };
        image.configure(CONFIG, b"{}".to_vec());
        image
    }

    /// Adds a layer, once, and returns its digest.
    pub fn layer(&mut self, media_type: &str, bytes: Vec<u8>) -> String {
        let descriptor = self.blob(media_type, bytes);
        let digest = descriptor["digest"].as_str().unwrap_or_default().to_owned();
        if let Some(layers) = self.manifest["layers"].as_array_mut()
            && !layers.contains(&descriptor)
        {
            layers.push(descriptor);
        }
        digest
    }

    /// Sets the configuration.
    pub fn configure(&mut self, media_type: &str, bytes: Vec<u8>) {
        let config = self.blob(media_type, bytes);
        let former = std::mem::replace(&mut self.manifest["config"], config);
        // Nobody names the former one any more.
        former["digest"].as_str().and_then(|digest| self.blobs.remove(digest));
    }

    /// The digest of its manifest.
    #[must_use]
    pub fn digest(&self) -> String {
        digest(self.manifest.to_string().as_bytes())
    }

    /// The digest of the largest layer.
    #[must_use]
    pub fn largest(&self) -> String {
        let largest = self.blobs.iter().max_by_key(|(_, bytes)| bytes.len());
        largest.map(|(digest, _)| digest.clone()).unwrap_or_default()
    }

    /// Pushes it under this name, and returns its reference.
    ///
    /// # Errors
    /// When the registry refuses.
    pub async fn push(&self, registry: &Registry, name: &str, tag: &str) -> Result<String> {
        let (client, base) = registry.client()?;
        for (digest, bytes) in &self.blobs {
            let begun = client.post(format!("{base}/v2/{name}/blobs/uploads/")).send().await?.error_for_status()?;
            let location = begun.headers().get("location").context("a place to upload to")?.to_str()?.to_owned();
            let mut to: reqwest::Url = format!("{base}/").parse()?;
            let place: reqwest::Url = to.join(&location)?;
            to.set_path(place.path());
            to.set_query(place.query());
            to.query_pairs_mut().append_pair("digest", digest);
            client.put(to).body(bytes.clone()).send().await?.error_for_status()?;
        }
        let put = client.put(format!("{base}/v2/{name}/manifests/{tag}")).header("content-type", MANIFEST);
        let put = put.body(self.manifest.to_string()).send().await?;
        let status = put.status();
        ensure!(status.is_success(), "{status}: {}", put.text().await?);
        Ok(format!("{}/{name}:{tag}", registry.name()))
    }

    fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let (digest, size) = (digest(&bytes), bytes.len());
        self.blobs.insert(digest.clone(), bytes);
        json!({ "mediaType": media_type, "digest": digest, "size": size })
    }

    fn source(&mut self, source: &mut Value) -> Result {
        let bytes = fs::read(path_of(source)?)?;
        let inline = inline(&bytes);
        let digest = self.layer(WASM, bytes);
        *source = json!({ "content_type": "application/wasm", "digest": digest });
        if let Some(inline) = inline {
            source["inline"] = inline;
        }
        Ok(())
    }

    fn mount(&mut self, folder: &Path, assembly: Assembly, files: &mut Vec<Value>) -> Result {
        for path in below(folder)? {
            let bytes = fs::read(&path)?;
            let relative = path.strip_prefix(folder)?.display().to_string();
            let (inline, digest) = (inline(&bytes), digest(&bytes));
            let mut file = json!({ "path": relative, "digest": digest });
            if let Some(inline) = &inline {
                file["inline"] = inline.clone();
            }
            files.push(file);
            if assembly == Assembly::Simple && inline.is_none() {
                self.layer(DATA, bytes);
            }
        }
        if assembly == Assembly::Archive {
            let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
            archive.append_dir_all(".", folder)?;
            self.layer(ARCHIVE, archive.into_inner()?.finish()?);
        }
        Ok(())
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn inline(bytes: &[u8]) -> Option<Value> {
    (bytes.len() <= INLINE).then(|| STANDARD_NO_PAD.encode(bytes).into())
}

fn path_of(content: &Value) -> Result<PathBuf> {
    let url = content["source"].as_str().context("content has a source")?;
    Ok(url.strip_prefix("file://").context("it is a file")?.into())
}

fn below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    Ok(found)
}
