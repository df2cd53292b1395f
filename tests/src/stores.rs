//! The application whose components read and keep data, and what they answer.

use crate::paths::fixture_component;
use crate::{Result, TestApp, TestHost};
use anyhow::ensure;
use serde_json::Value;

const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "stores"

[[trigger.http]]
route = "/s3/..."
component = "stores"

[[trigger.http]]
route = "/s5/..."
component = "stores-spin5"

[[trigger.http]]
route = "/none/..."
component = "without-grants"

[component.stores]
source = "{stores}"
key_value_stores = ["default"]
sqlite_databases = ["default"]

[component.stores-spin5]
source = "{stores-spin5}"
key_value_stores = ["default"]
sqlite_databases = ["default"]

[component.without-grants]
source = "{stores}"
"#;

impl TestApp {
    /// Components that read and keep data: `/s3` in the interfaces of spin-sdk 7, `/s5` in those of spin-sdk 5 and of
    /// Spin 1, and `/none` the former without any grant. `edit` changes the manifest.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn stores(edit: impl FnOnce(String) -> String) -> Result<Self> {
        let source = |name: &str| fixture_component(name).display().to_string();
        let manifest =
            MANIFEST.replace("{stores}", &source("stores")).replace("{stores-spin5}", &source("stores-spin5"));
        Self::new(&edit(manifest))
    }
}

impl TestHost {
    /// What a component of [`TestApp::stores`] answers.
    ///
    /// # Errors
    /// When it answers anything but JSON.
    pub async fn ask(&self, path: &str, body: impl Into<reqwest::Body>) -> Result<Value> {
        let answer = self.post(path, body).await?;
        ensure!(answer.status() == 200, "{path}: {}: {}", answer.status(), answer.text());
        answer.json()
    }
}
