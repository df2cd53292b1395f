//! `[[client_tls]]`: how TLS is spoken when some components ask some hosts. What is in the files that it names is for
//! whoever opens them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use url::Host;

use crate::errors::{Findings, Problem, ProblemKind};
use crate::place::{At, Place};
use crate::reader::{Node, Table};

/// One `[[client_tls]]`. Paths are relative to the runtime configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTls {
    /// Where it begins.
    pub place: Place,
    /// The components that it is for.
    pub components: Vec<At<String>>,
    /// The hosts that it is for, each in the usual form of a URL's host.
    pub hosts: Vec<At<String>>,
    /// Whether the authorities are trusted that the machine trusts.
    pub platform_roots: bool,
    /// Whether the authorities are trusted that browsers trust, by the list that comes with this host.
    pub webpki_roots: bool,
    /// Further authorities, in PEM.
    pub roots_file: Option<At<PathBuf>>,
    /// What is shown to a host that asks who is there.
    pub identity: Option<ClientIdentity>,
}

/// A client certificate, in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The certificate, and those that vouch for it behind it.
    pub certificates: At<PathBuf>,
    /// Its private key.
    pub key: At<PathBuf>,
}

/// Reads `client_tls`, an array of tables.
pub(super) fn read(node: &Node<'_>) -> Vec<ClientTls> {
    let all: Vec<ClientTls> = node.items().unwrap_or_default().iter().filter_map(one).collect();
    refuse_twice(&all, node.found);
    all
}

fn one(node: &Node<'_>) -> Option<ClientTls> {
    let mut table = node.table()?;
    let components = listed(&mut table, "component_ids", "component_ids = [\"my-component\"]");
    let hosts = listed(&mut table, "hosts", "hosts = [\"api.example.com\"]");
    let hosts = hosts.iter().filter_map(|text| host(&table, text)).collect();
    let platform = table.boolean("ca_use_platform_roots");
    let webpki = table.boolean("ca_use_webpki_roots");
    let roots_file = file(&mut table, "ca_roots_file");
    let certificates = file(&mut table, "client_cert_file");
    let key = file(&mut table, "client_private_key_file");
    // As in Spin: whoever names authorities means these and no others.
    let named = platform.is_some() || webpki.is_some() || roots_file.is_some();
    let platform_roots = platform.as_ref().map_or(!named, |flag| flag.value);
    let webpki_roots = webpki.as_ref().is_some_and(|flag| flag.value);
    if !platform_roots && !webpki_roots && roots_file.is_none() {
        let place = platform.as_ref().or(webpki.as_ref()).map_or(table.place, |flag| flag.place);
        let help = "name their certificates in `ca_roots_file`, or set `ca_use_platform_roots = true`";
        table.found.schema(place, format!("`{}` trusts no authority", table.name), help);
    }
    let identity = identity(&table, certificates, key);
    let place = table.place;
    table.finish();
    Some(ClientTls { place, components, hosts, platform_roots, webpki_roots, roots_file, identity })
}

/// A list that must be there and must not be empty.
fn listed(table: &mut Table<'_>, key: &'static str, example: &str) -> Vec<At<String>> {
    let Some(node) = table.required(key, example) else { return Vec::new() };
    let items = node.items();
    if items.as_ref().is_some_and(Vec::is_empty) {
        node.found.schema(node.place, format!("`{}` is empty", node.name), format!("write {example}"));
    }
    items.unwrap_or_default().iter().filter_map(Node::string).collect()
}

fn file(table: &mut Table<'_>, key: &'static str) -> Option<At<PathBuf>> {
    let text = table.string(key)?;
    if text.value.is_empty() {
        table.found.schema(text.place, format!("`{}.{key}` is empty", table.name), "name a file, or remove the line");
        return None;
    }
    Some(text.map(PathBuf::from))
}

/// The host as requests name it.
fn host(table: &Table<'_>, text: &At<String>) -> Option<At<String>> {
    let parsed = match text.value.parse() {
        Ok(v6) => Ok(Host::Ipv6(v6)),
        Err(_other) => Host::parse(&text.value),
    };
    let wrong = |problem: Problem| table.found.error(text.place, problem);
    let what = || format!("{:?} is no host that `hosts` may list", text.value);
    let help = "write the name or the address alone, such as \"api.example.com\": without scheme, port and path";
    if text.value.contains('*') {
        let why = "one that holds for many hosts would show a client certificate to all of them";
        wrong(Problem::new(ProblemKind::Schema, what(), help).because(why));
        return None;
    }
    match parsed {
        Ok(host) => Some(At { place: text.place, value: host.to_string() }),
        Err(cause) => {
            wrong(Problem::new(ProblemKind::Schema, what(), help).caused_by(cause));
            None
        }
    }
}

fn identity(table: &Table<'_>, certificates: Option<At<PathBuf>>, key: Option<At<PathBuf>>) -> Option<ClientIdentity> {
    let alone = |given: &At<PathBuf>, is: &str, missing: &str| {
        let what = format!("`{}` has `{is}` and no `{missing}`", table.name);
        table.found.schema(given.place, what, "a client certificate needs both; add the other, or remove this one");
    };
    match (certificates, key) {
        (Some(certificates), Some(key)) => return Some(ClientIdentity { certificates, key }),
        (Some(given), None) => alone(&given, "client_cert_file", "client_private_key_file"),
        (None, Some(given)) => alone(&given, "client_private_key_file", "client_cert_file"),
        (None, None) => {}
    }
    None
}

/// Spin takes the first of two that are for the same component and host; which one that is, nobody should have to know.
fn refuse_twice(all: &[ClientTls], found: &Findings<'_>) {
    let mut seen: BTreeMap<(&str, &str), Place> = BTreeMap::new();
    for entry in all {
        for component in &entry.components {
            for host in &entry.hosts {
                let Some(first) = seen.insert((&component.value, &host.value), host.place) else { continue };
                let what =
                    format!("`client_tls` is told twice for host {:?} of component {:?}", host.value, component.value);
                let problem = Problem::new(ProblemKind::Duplicate, what, "keep one of them");
                found.error(host.place, problem.because(format!("first at {}", found.point(first))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::RuntimeConfigFile;
    use super::*;
    use std::path::Path;

    fn parse(text: &str) -> Result<Vec<ClientTls>, String> {
        let config = RuntimeConfigFile::parse(text, Path::new("rc.toml"));
        config.map(|config| config.client_tls).map_err(|errors| errors.to_string())
    }

    fn roots(more: &str) -> (bool, bool, Option<PathBuf>) {
        let text = format!("[[client_tls]]\ncomponent_ids = [\"a\"]\nhosts = [\"b\"]\n{more}");
        let [one] = <[ClientTls; 1]>::try_from(parse(&text).unwrap()).unwrap();
        (one.platform_roots, one.webpki_roots, one.roots_file.map(|file| file.value))
    }

    #[test]
    fn whom_to_trust_is_what_spin_says() {
        let file = Some(PathBuf::from("ca.pem"));
        assert_eq!(roots(""), (true, false, None));
        assert_eq!(roots("ca_roots_file = \"ca.pem\""), (false, false, file.clone()));
        assert_eq!(roots("ca_use_webpki_roots = true"), (false, true, None));
        assert_eq!(roots("ca_use_platform_roots = true\nca_roots_file = \"ca.pem\""), (true, false, file.clone()));
        assert_eq!(roots("ca_use_webpki_roots = true\nca_roots_file = \"ca.pem\""), (false, true, file));
        assert_eq!(roots("ca_use_platform_roots = true\nca_use_webpki_roots = true"), (true, true, None));
    }

    #[test]
    fn everything_that_can_be_said_is_read() {
        let text = r#"
[[client_tls]]
component_ids = ["one", "two"]
hosts = ["API.Example.com", "::1", "10.0.0.1"]
client_cert_file = "client.crt"
client_private_key_file = "client.key"
[[client_tls]]
component_ids = ["one"]
hosts = ["other.example.com"]
"#;
        let all = parse(text).unwrap();
        let first = &all[0];
        let hosts: Vec<_> = first.hosts.iter().map(|host| host.value.as_str()).collect();
        assert_eq!(hosts, ["api.example.com", "[::1]", "10.0.0.1"]);
        let identity = first.identity.as_ref().unwrap();
        assert_eq!((identity.certificates.value.as_path(), identity.key.place.line), (Path::new("client.crt"), 6));
        assert_eq!((all.len(), all[1].place.line), (2, 7));
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_place() {
        let both = "component_ids = [\"a\"]\nhosts = [\"b\"]\n";
        for (text, parts) in [
            ("[[client_tls]]\nhosts = [\"b\"]".to_owned(), &["rc.toml:1:", "`component_ids`"][..]),
            ("[[client_tls]]\ncomponent_ids = [\"a\"]".to_owned(), &["rc.toml:1:", "`hosts`"]),
            ("[[client_tls]]\ncomponent_ids = []\nhosts = [\"b\"]".to_owned(), &["rc.toml:2:", "empty"]),
            ("[[client_tls]]\ncomponent_ids = [\"a\"]\nhosts = []".to_owned(), &["rc.toml:3:", "empty"]),
            ("[client_tls]\nhosts = [\"b\"]".to_owned(), &["rc.toml:1:", "must be an array"]),
            (
                format!("[[client_tls]]\n{both}ca_root_file = \"x\""),
                &["rc.toml:4:1:", "`ca_root_file`", "ca_roots_file"],
            ),
            (format!("[[client_tls]]\n{both}cert_chain_file = \"x\""), &["rc.toml:4:1:", "`cert_chain_file`"]),
            (format!("[[client_tls]]\n{both}ca_roots_file = \"\""), &["rc.toml:4:", "empty"]),
            (format!("[[client_tls]]\n{both}ca_use_platform_roots = false"), &["rc.toml:4:", "trusts no authority"]),
            (
                format!("[[client_tls]]\n{both}client_cert_file = \"x\""),
                &["rc.toml:4:", "no `client_private_key_file`"],
            ),
            (
                format!("[[client_tls]]\n{both}client_private_key_file = \"x\""),
                &["rc.toml:4:", "no `client_cert_file`"],
            ),
            ("[[client_tls]]\ncomponent_ids = [\"a\"]\nhosts = [\"*.b.c\"]".to_owned(), &["rc.toml:3:10:", "*.b.c"]),
            ("[[client_tls]]\ncomponent_ids = [\"a\"]\nhosts = [\"b:443\"]".to_owned(), &["rc.toml:3:10:", "port"]),
            (
                "[[client_tls]]\ncomponent_ids = [\"a\"]\nhosts = [\"https://b\"]".to_owned(),
                &["rc.toml:3:10:", "scheme"],
            ),
            (
                format!("[[client_tls]]\n{both}[[client_tls]]\ncomponent_ids = [\"c\", \"a\"]\nhosts = [\"B\"]"),
                &["rc.toml:6:10:", "twice", "\"b\" of component \"a\"", "first at rc.toml:3:10"],
            ),
            ("[[client_tls]]\ncomponent_ids = [\"a\"]\nhosts = [\"b\", \"b\"]".to_owned(), &["rc.toml:3:15:", "twice"]),
        ] {
            let errors = parse(&text).unwrap_err();
            for part in parts {
                assert!(errors.contains(part), "{part:?} is missing in {errors}");
            }
        }
    }
}
