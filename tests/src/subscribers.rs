//! The application whose components take messages.

use crate::paths::fixture_component;
use crate::{RedisServer, Result, TestApp};

const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "subscribers"

[application.trigger.redis]
address = "{server}"

[[trigger.redis]]
channel = "s7"
component = "s7"

[[trigger.redis]]
channel = "s5"
component = "s5"

[[trigger.redis]]
channel = "both"
component = "s7"

[[trigger.redis]]
channel = "both"
component = "s5"

[component.s7]
source = "{subscriber}"
allowed_outbound_hosts = ["{server}"]
environment = { SERVER = "{server}", LIST = "s7" }
key_value_stores = ["default"]

[component.s5]
source = "{subscriber-spin5}"
allowed_outbound_hosts = ["{server}"]
environment = { SERVER = "{server}", LIST = "s5" }
key_value_stores = ["default"]
"#;

impl TestApp {
    /// Components that put messages into lists of this server: `s7` of spin-sdk 7 and `s5` of spin-sdk 5, each with a
    /// channel of its own, and both with the channel `both`. `edit` changes the manifest.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn subscribers(server: &RedisServer, edit: impl FnOnce(String) -> String) -> Result<Self> {
        Self::subscribers_at(&server.address(), edit)
    }

    /// The same for a server with this address.
    ///
    /// # Errors
    /// The same.
    pub fn subscribers_at(server: &str, edit: impl FnOnce(String) -> String) -> Result<Self> {
        let source = |name: &str| fixture_component(name).display().to_string();
        let manifest = MANIFEST.replace("{subscriber}", &source("subscriber"));
        let manifest = manifest.replace("{subscriber-spin5}", &source("subscriber-spin5"));
        Self::new(&edit(manifest.replace("{server}", server)))
    }
}
