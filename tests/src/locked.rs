//! Locked applications, as Spin writes them.

#![allow(clippy::indexing_slicing, reason = "an object of JSON gets the member that it lacks")]
#![allow(clippy::needless_pass_by_value, reason = "values are written where they are passed")]

use crate::Result;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// A locked application.
#[derive(Debug, Clone)]
pub struct Locked(Value);

impl Locked {
    /// One without components.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let metadata =
            json!({ "name": name, "version": "1.0.0", "triggers": {}, "origin": "file:///elsewhere/spin.toml" });
        Self(json!({ "spin_lock_version": 0, "metadata": metadata, "triggers": [], "components": [] }))
    }

    /// Sets a member of the whole, such as `must_understand`.
    #[must_use]
    pub fn with(mut self, key: &str, value: Value) -> Self {
        self.0[key] = value;
        self
    }

    /// `[application.trigger.<kind>]`.
    #[must_use]
    pub fn settings(mut self, kind: &str, settings: Value) -> Self {
        self.0["metadata"]["triggers"][kind] = settings;
        self
    }

    /// Adds a component, with more members than its id and source.
    #[must_use]
    pub fn component(mut self, id: &str, source: &Path, more: Value) -> Self {
        let mut component = Map::from_iter([("id".to_owned(), json!(id)), ("source".to_owned(), content(source))]);
        component.extend(more.as_object().cloned().unwrap_or_default());
        push(&mut self.0["components"], component.into());
        self
    }

    /// Adds a trigger.
    #[must_use]
    pub fn trigger(mut self, kind: &str, id: &str, config: Value) -> Self {
        push(&mut self.0["triggers"], json!({ "id": id, "trigger_type": kind, "trigger_config": config }));
        self
    }

    /// The whole of it.
    #[must_use]
    pub fn json(&self) -> &Value {
        &self.0
    }

    /// Writes it where Spin writes it: as `spin.lock` in a folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join("spin.lock");
        fs::write(&path, serde_json::to_vec_pretty(&self.0)?)?;
        Ok(path)
    }
}

/// How a locked application refers to a file.
#[must_use]
pub fn content(path: &Path) -> Value {
    json!({ "content_type": "application/wasm", "source": file_url(path) })
}

/// An absolute path as a URL.
#[must_use]
pub fn file_url(path: &Path) -> String {
    format!("file://{}", path.display())
}

fn push(array: &mut Value, item: Value) {
    if let Some(items) = array.as_array_mut() {
        items.push(item);
    }
}
