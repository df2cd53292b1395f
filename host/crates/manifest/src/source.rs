//! Where a component's bytes come from, and the digests that remote ones must carry.

use url::Url;

use crate::errors::{Findings, Problem, ProblemKind};
use crate::place::{At, Place};
use crate::reader::{Node, Table};

/// A component's `source`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file, relative to the manifest.
    Local(String),
    /// A file behind a URL, with the digest it must have.
    Remote { url: String },
    /// A package of a registry.
    Registry { package: String, version: String },
}

/// Reads a source: a path, or a table with `url` and `digest`, or one with `package` and `version`.
pub(crate) fn read(node: &Node<'_>) -> Option<At<Source>> {
    let place = node.place;
    if node.is_string() {
        let path = node.string()?;
        if path.value.is_empty() {
            let what = format!("`{}` is empty", node.name);
            node.found.schema(place, what, "name the component's .wasm file, relative to the manifest");
            return None;
        }
        return Some(path.map(Source::Local));
    }
    if !node.is_table() {
        return node.wrong_type("a path, or a table with `url` and `digest`, or one with `package` and `version`");
    }
    let mut table = node.table()?;
    let source = match table.has("url") || table.has("digest") {
        true => remote(&mut table),
        false => registry(&mut table),
    };
    table.finish();
    Some(At { place, value: source? })
}

fn remote(table: &mut Table<'_>) -> Option<Source> {
    let url = table.required("url", "url = \"https://example.com/hello.wasm\"").and_then(|node| http_url(&node));
    let example = format!("digest = \"sha256:{}\"", "0".repeat(64));
    let digest = table.required("digest", &example).and_then(|node| sha256(&node));
    digest.and(url).map(|url| Source::Remote { url })
}

fn registry(table: &mut Table<'_>) -> Option<Source> {
    let registry = table.get("registry").map(|node| node.string());
    let package = table.required("package", "package = \"example:hello\"").and_then(|node| package_name(&node));
    let version = table.required("version", "version = \"1.0.0\"").and_then(|node| exact_version(&node));
    if matches!(registry, Some(None)) {
        return None;
    }
    Some(Source::Registry { package: package?, version: version? })
}

/// An `http` or `https` URL with a host.
pub(crate) fn http_url(node: &Node<'_>) -> Option<String> {
    let text = node.string()?;
    let help = "write an absolute URL, such as https://example.com/hello.wasm";
    match Url::parse(&text.value) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Some(text.value),
        Ok(url) => {
            let what =
                format!("`{}` has the scheme {:?}, and only http and https are fetched", node.name, url.scheme());
            node.found.schema(text.place, what, help);
            None
        }
        Err(cause) => {
            let what = format!("`{}` is no URL: {:?}", node.name, text.value);
            node.found.error(text.place, Problem::new(ProblemKind::Schema, what, help).caused_by(cause));
            None
        }
    }
}

/// `sha256:` and 64 lower-case hexadecimal digits.
pub(crate) fn sha256(node: &Node<'_>) -> Option<String> {
    let text = node.string()?;
    let hex = text.value.strip_prefix("sha256:");
    let good = |hex: &str| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    if hex.is_some_and(good) {
        return Some(text.value);
    }
    let why = match hex {
        None => "it does not start with `sha256:`".to_owned(),
        Some(hex) if hex.chars().count() != 64 => {
            format!("64 digits follow `sha256:` in a digest, and here are {}", hex.chars().count())
        }
        Some(_) => "after `sha256:` only the digits 0-9 and a-f, in lower case, may follow".to_owned(),
    };
    let what = format!("`{}` is no digest: {:?}", node.name, text.value);
    let help = "write `sha256:` and what `sha256sum` prints for the file";
    node.found.error(text.place, Problem::new(ProblemKind::Schema, what, help).because(why));
    None
}

/// `namespace:name`, both in kebab-case.
pub(crate) fn package_name(node: &Node<'_>) -> Option<String> {
    let text = node.string()?;
    if is_package(&text.value) {
        return Some(text.value);
    }
    let what = format!("`{}` is no package name: {:?}", node.name, text.value);
    node.found.schema(text.place, what, "write `namespace:name`, both in kebab-case");
    None
}

/// Whether a text is `namespace:name`.
pub(crate) fn is_package(text: &str) -> bool {
    let parts = text.split_once(':');
    parts.is_some_and(|(space, name)| crate::names::kebab(space).is_ok() && crate::names::kebab(name).is_ok())
}

fn exact_version(node: &Node<'_>) -> Option<String> {
    let text = node.string()?;
    match semver::Version::parse(&text.value) {
        Ok(_) => Some(text.value),
        Err(cause) => {
            let what = format!("`{}` is no version: {:?}", node.name, text.value);
            let problem = Problem::new(ProblemKind::Schema, what, "write a full semantic version, such as 1.0.0");
            node.found.error(text.place, problem.caused_by(cause));
            None
        }
    }
}

/// Reports a source that is right and that this version cannot fetch.
pub(crate) fn unsupported(found: &Findings<'_>, owner: &str, place: Place, source: &Source) {
    let (kind, what) = match source {
        Source::Local(_) => return,
        Source::Remote { url } => ("url", url.clone()),
        Source::Registry { package, version } => ("registry", format!("{package}@{version}")),
    };
    let what = format!("component sources of the kind `{kind}` are not supported yet: {owner} names {what}");
    let help = "download the file, and write its path: source = \"component.wasm\"";
    found.error(place, Problem::new(ProblemKind::Unsupported, what, help));
}
