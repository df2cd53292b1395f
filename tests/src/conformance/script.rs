//! `requests.toml`: what a behaviour needs, what is asked of it, and what is expected.

use super::expected::Expected;
use super::servers::Need;
use crate::Result;
use anyhow::{Context, ensure};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

const FILE: &str = "requests.toml";

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Script {
    /// Servers, and components that are not always built.
    #[serde(default)]
    pub(super) needs: Vec<Need>,
    /// Arguments of `bobbin up`.
    #[serde(default)]
    pub(super) arguments: Vec<String>,
    /// Variables of the host's environment.
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    /// What the host's log contains after the last request.
    #[serde(default)]
    pub(super) log: Vec<String>,
    /// At least one, in their order.
    #[serde(default, rename = "request")]
    pub(super) requests: Vec<Asking>,
}

/// One request.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asking {
    /// What it shows, as a sentence.
    what: String,
    /// `GET`, if nothing is said.
    #[serde(default = "get", deserialize_with = "method")]
    pub(super) method: String,
    /// Path and query.
    pub(super) path: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<String>,
    /// Status 200, if nothing is said.
    #[serde(default)]
    pub(super) expect: Expected,
}

impl Script {
    /// Reads the file of a folder.
    ///
    /// # Errors
    /// When there is none, it says something that nobody knows, or has no request.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let script: Self = toml::from_str(&text).with_context(|| path.display().to_string())?;
        ensure!(!script.requests.is_empty(), "{} has no request: what is expected?", path.display());
        Ok(script)
    }
}

impl fmt::Display for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.method, self.path, self.what)
    }
}

fn get() -> String {
    "GET".to_owned()
}

fn method<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    let method = String::deserialize(deserializer)?;
    match method.parse::<reqwest::Method>() {
        Ok(_) => Ok(method),
        Err(error) => Err(serde::de::Error::custom(format!("{method:?}: {error}"))),
    }
}
