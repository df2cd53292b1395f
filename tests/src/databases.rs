//! The application whose components talk to servers elsewhere.

use crate::paths::fixture_component;
use crate::{Result, TestApp};

const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "databases"

[application.trigger.bobbin.limits]
account_bytes = 16777216
body_bytes = 16777216

[[trigger.http]]
route = "/s7/..."
component = "databases"

[[trigger.http]]
route = "/s5/..."
component = "databases-spin5"

[[trigger.http]]
route = "/none/..."
component = "without-grants"

[[trigger.http]]
route = "/none5/..."
component = "without-grants-spin5"

[component.databases]
source = "{databases}"
allowed_outbound_hosts = [{hosts}]

[component.databases-spin5]
source = "{databases-spin5}"
allowed_outbound_hosts = [{hosts}]

[component.without-grants]
source = "{databases}"

[component.without-grants-spin5]
source = "{databases-spin5}"
"#;

impl TestApp {
    /// Components that talk to servers: `/s7` in the interfaces of spin-sdk 7, `/s5` in those of spin-sdk 5 and of Spin 1,
    /// both with these entries of `allowed_outbound_hosts`; and `/none` and `/none5` the same without any grant.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn databases(hosts: &[&str]) -> Result<Self> {
        let source = |name: &str| fixture_component(name).display().to_string();
        let hosts: Vec<String> = hosts.iter().map(|host| format!("\"{host}\"")).collect();
        let manifest = MANIFEST.replace("{databases}", &source("databases"));
        let manifest = manifest.replace("{databases-spin5}", &source("databases-spin5"));
        Self::new(&manifest.replace("{hosts}", &hosts.join(", ")))
    }
}
