//! `allowed_outbound_hosts` with the values of the variables in it.

use bobbin_manifest::{Component, Template};

/// A component's entries. An entry that becomes empty grants nothing, as in Spin: so an endpoint can be optional.
pub(crate) fn resolve(component: &Component, render: impl Fn(&Template) -> String) -> Vec<String> {
    let entry = |template: &Template| {
        let literal = template.variables().next().is_none();
        Some(render(template)).filter(|entry| literal || !matches!(entry.as_str(), "" | "http://" | "https://"))
    };
    component.allowed_outbound_hosts.iter().filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bobbin_stores::variables::Variables;

    const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "test"

[variables]
host = { default = "api.example.com" }
port = { default = "8443" }
optional = { default = "" }

[[trigger.http]]
route = "/..."
component = "a"

[component.a]
source = "a.wasm"
allowed_outbound_hosts = [
    "https://{{ host }}:{{ port }}",
    "http://{{ optional }}",
    "{{ optional }}",
    "http://literal",
]
"#;

    #[test]
    fn variables_have_their_values_and_an_empty_one_grants_nothing() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.wasm"), b"").unwrap();
        let file = folder.path().join("spin.toml");
        std::fs::write(&file, MANIFEST).unwrap();
        let app = bobbin_manifest::load(&file).unwrap();
        let component = app.components.get("a").unwrap();
        let variables = Variables::resolve(&app.variables, &[]).unwrap();
        let hosts = resolve(component, |template| variables.render(template).expose().to_owned());
        assert_eq!(hosts, ["https://api.example.com:8443", "http://literal"]);
    }
}
