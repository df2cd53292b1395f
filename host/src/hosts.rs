//! `allowed_outbound_hosts` with the values of the variables in it.

use bobbin_manifest::{Component, VariableName};

/// A component's entries. An entry that becomes empty grants nothing, as in Spin: so an endpoint can be optional. One
/// whose variable has no value grants nothing either, and the log says so.
pub(crate) fn resolve(component: &Component, value_of: impl Fn(&VariableName) -> Option<String>) -> Vec<String> {
    let mut entries = Vec::new();
    for template in &component.allowed_outbound_hosts {
        let mut variables = template.variables().peekable();
        let literal = variables.peek().is_none();
        match template.render(|name| value_of(name).ok_or_else(|| name.clone())) {
            Ok(entry) if !literal && matches!(entry.as_str(), "" | "http://" | "https://") => {}
            Ok(entry) => entries.push(entry),
            Err(variable) => {
                let (component, entry) = (&component.id, template.source());
                tracing::warn!(%component, entry, %variable, "an outbound host is not granted: its variable has no value");
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "test"

[variables]
host = { default = "api.example.com" }
port = { default = "8443" }
optional = { default = "" }
missing = { required = true }

[[trigger.http]]
route = "/..."
component = "a"

[component.a]
source = "a.wasm"
allowed_outbound_hosts = [
    "https://{{ host }}:{{ port }}",
    "http://{{ optional }}",
    "{{ optional }}",
    "http://{{ missing }}",
    "http://literal",
]
"#;

    #[test]
    fn variables_have_their_values_and_what_has_none_grants_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.wasm"), b"").unwrap();
        let file = folder.path().join("spin.toml");
        std::fs::write(&file, MANIFEST).unwrap();
        let app = bobbin_manifest::load(&file).unwrap();
        let component = app.components.get("a").unwrap();
        let value = |name: &VariableName| app.variables.get(name)?.default.clone();
        assert_eq!(resolve(component, value), ["https://api.example.com:8443", "http://literal"]);
    }
}
