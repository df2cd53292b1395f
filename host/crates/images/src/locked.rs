//! The content that a locked application refers to.
//!
//! In an image, components, dependencies and files are named by digest, or lie in the application itself; paths mean
//! nothing there. In a file that Spin wrote, they are paths of the machine that it runs on. Only references to content are
//! looked at and changed here; what the application means is read elsewhere, and so is everything that is wrong with it.

use crate::digest::{Digest, DigestError};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use url::Url;

/// Spin writes content without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where a locked application comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An image: only digests and content in the application itself count.
    Image,
    /// A file of this machine: what it says of other files stays.
    File,
}

/// A reference to content that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum LockedError {
    /// No JSON.
    #[error("the locked application is no JSON")]
    Json(#[source] serde_json::Error),
    /// Content without a name.
    #[error("{owner} has neither a digest nor content in the application; push the application again")]
    Nameless {
        /// Whose content it is.
        owner: String,
    },
    /// A digest that is none.
    #[error("{owner} has no proper digest")]
    Digest {
        /// Whose content it is.
        owner: String,
        /// What is wrong with it.
        source: DigestError,
    },
    /// Content that is no base64.
    #[error("{owner} has content that is no base64")]
    Base64 {
        /// Whose content it is.
        owner: String,
        /// What is wrong with it.
        source: base64::DecodeError,
    },
    /// Content with another digest than it should have.
    #[error("{owner} has the digest {found}, and should have {wanted}")]
    Content {
        /// Whose content it is.
        owner: String,
        /// The digest of the content.
        found: Digest,
        /// The digest in the application.
        wanted: Digest,
    },
    /// A path that leads out of what a component is given.
    #[error("{owner} is to be mounted at {path:?}, and only plain relative paths are mounted")]
    Path {
        /// Whose content it is.
        owner: String,
        /// The path, as it is written.
        path: String,
    },
    /// A path that no URL can name.
    #[error("{} cannot be written as a URL; choose another cache folder with --cache-dir", .0.display())]
    Url(PathBuf),
}

/// A locked application, and the content that it needs.
#[derive(Debug, Clone)]
pub(crate) struct Locked {
    json: Value,
    /// What is needed by digest, and for whom.
    pub(crate) wanted: BTreeMap<Digest, String>,
    /// What lies in the application itself.
    pub(crate) inline: BTreeMap<Digest, Vec<u8>>,
}

impl Locked {
    pub(crate) fn read(bytes: &[u8], origin: Origin) -> Result<Self, LockedError> {
        let mut json: Value = serde_json::from_slice(bytes).map_err(LockedError::Json)?;
        let (mut wanted, mut inline) = (BTreeMap::new(), BTreeMap::new());
        each(&mut json, &mut |owner, content| {
            if origin == Origin::Image {
                content.remove("source");
                mounted(owner, content)?;
            }
            let digest = digest(owner, content)?;
            if let Some(text) = content.get("inline").and_then(Value::as_str) {
                let (digest, bytes) = decoded(owner, text, digest.as_ref())?;
                content.remove("inline");
                content.insert("digest".to_owned(), digest.to_string().into());
                inline.insert(digest, bytes);
            } else if origin == Origin::Image {
                let digest = digest.ok_or_else(|| LockedError::Nameless { owner: owner.to_owned() })?;
                wanted.insert(digest, owner.to_owned());
            }
            Ok(())
        })?;
        wanted.retain(|digest, _| !inline.contains_key(digest));
        Ok(Self { json, wanted, inline })
    }

    /// The application with a path for each content that `path` knows one of.
    pub(crate) fn placed(mut self, path: impl Fn(&Digest) -> PathBuf) -> Result<Vec<u8>, LockedError> {
        let (wanted, inline) = (self.wanted, self.inline);
        each(&mut self.json, &mut |owner, content| {
            let Some(digest) = digest(owner, content)? else { return Ok(()) };
            let known = wanted.contains_key(&digest) || inline.contains_key(&digest);
            if known && !content.contains_key("source") {
                let path = path(&digest);
                let url = Url::from_file_path(&path).map_err(|()| LockedError::Url(path))?;
                content.insert("source".to_owned(), url.to_string().into());
            }
            Ok(())
        })?;
        Ok(self.json.to_string().into_bytes())
    }
}

type Visit<'a> = dyn FnMut(&str, &mut Map<String, Value>) -> Result<(), LockedError> + 'a;

/// Visits every reference to content, with the words for whose it is.
fn each(json: &mut Value, visit: &mut Visit<'_>) -> Result<(), LockedError> {
    for component in items(json, "components") {
        let owner = format!("component {:?}", id(component));
        if let Some(source) = object(component, "source") {
            visit(&owner, source)?;
        }
        if let Some(dependencies) = object(component, "dependencies") {
            for (name, dependency) in dependencies {
                if let Some(source) = object(dependency, "source") {
                    visit(&format!("the dependency {name:?} of {owner}"), source)?;
                }
            }
        }
        for file in items(component, "files") {
            let path = file.get("path").and_then(Value::as_str).unwrap_or_default().to_owned();
            if let Some(file) = file.as_object_mut() {
                visit(&format!("the file {path:?} of {owner}"), file)?;
            }
        }
        middleware(component, &owner, visit)?;
    }
    for trigger in items(json, "triggers") {
        let owner = format!("trigger {:?}", id(trigger));
        middleware(trigger, &owner, visit)?;
    }
    Ok(())
}

fn middleware(owner: &mut Value, name: &str, visit: &mut Visit<'_>) -> Result<(), LockedError> {
    let Some(roles) = object(owner, "trigger_dependencies") else { return Ok(()) };
    for dependency in roles.values_mut().filter_map(Value::as_array_mut).flatten() {
        if let Some(source) = object(dependency, "source") {
            visit(&format!("the middleware of {name}"), source)?;
        }
    }
    Ok(())
}

fn items<'a>(json: &'a mut Value, key: &str) -> impl Iterator<Item = &'a mut Value> {
    json.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten()
}

fn object<'a>(json: &'a mut Value, key: &str) -> Option<&'a mut Map<String, Value>> {
    json.get_mut(key).and_then(Value::as_object_mut)
}

fn id(json: &Value) -> String {
    json.get("id").and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn digest(owner: &str, content: &Map<String, Value>) -> Result<Option<Digest>, LockedError> {
    let Some(text) = content.get("digest").and_then(Value::as_str) else { return Ok(None) };
    Digest::parse(text).map(Some).map_err(|source| LockedError::Digest { owner: owner.to_owned(), source })
}

fn decoded(owner: &str, text: &str, wanted: Option<&Digest>) -> Result<(Digest, Vec<u8>), LockedError> {
    let bytes = BASE64.decode(text).map_err(|source| LockedError::Base64 { owner: owner.to_owned(), source })?;
    let found = Digest::of(&bytes);
    match wanted {
        Some(wanted) if *wanted != found => {
            Err(LockedError::Content { owner: owner.to_owned(), found, wanted: wanted.clone() })
        }
        _ => Ok((found, bytes)),
    }
}

/// A file of an image must stay within its component's tree.
fn mounted(owner: &str, content: &Map<String, Value>) -> Result<(), LockedError> {
    let Some(path) = content.get("path").and_then(Value::as_str) else { return Ok(()) };
    let is_plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    if is_plain && !path.is_empty() && !path.contains('\0') {
        return Ok(());
    }
    Err(LockedError::Path { owner: owner.to_owned(), path: path.chars().take(200).collect() })
}

#[cfg(test)]
#[path = "locked/tests.rs"]
mod tests;
