//! `dependencies`: which other components satisfy the imports of a component, or stand before a trigger.

use semver::VersionReq;

use crate::errors::{Problem, ProblemKind};
use crate::imports::ImportName;
use crate::names::ComponentId;
use crate::place::{At, Place};
use crate::reader::{Node, Table};
use crate::source;

/// One dependency of a component, or one piece of a trigger's middleware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Where its bytes come from.
    pub from: DependencySource,
    /// The export that satisfies the import, where it has another name. Always none for middleware.
    pub export: Option<String>,
    /// Which of the component's grants it shares.
    pub inherit: Option<Inherit>,
    /// The digest that a local file must have: `sha256:` and 64 hexadecimal digits. Locked applications may give one.
    pub digest: Option<String>,
    /// Where it is declared.
    pub place: Place,
}

/// Where a dependency's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DependencySource {
    /// A package of a registry; without a name, the package that the import names.
    Package {
        /// `namespace:name`.
        package: Option<String>,
        /// The wanted versions.
        version: VersionReq,
        /// The registry's host name; none is the default registry.
        registry: Option<String>,
    },
    /// A file, relative to the manifest.
    Local(String),
    /// A file behind a URL.
    Remote {
        /// The URL.
        url: String,
        /// `sha256:` and 64 hexadecimal digits.
        digest: String,
    },
    /// Another component of this application.
    Component(ComponentId),
}

/// Which grants of a component its dependency shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inherit {
    /// All of them, or none.
    All(bool),
    /// Those named, such as `ai_models`.
    Only(Vec<String>),
}

/// The keys of a component's table that a dependency can share.
pub const INHERITABLE: [&str; 7] = [
    "ai_models",
    "allowed_outbound_hosts",
    "environment",
    "files",
    "key_value_stores",
    "sqlite_databases",
    "variables",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Component,
    Trigger,
}

/// Reads `[component.<id>.dependencies]`.
pub(crate) fn of_component(node: &Node<'_>) -> Vec<(String, Dependency)> {
    let Some(table) = node.table() else { return Vec::new() };
    let mut read: Vec<(String, Option<ImportName>, Dependency)> = Vec::new();
    for (name, entry) in table.entries() {
        let import = import_name(&table, &name);
        let Some(dependency) = dependency(&entry, name.place, Owner::Component) else { continue };
        if let Some(import) = &import {
            check_shape(&table, &name, import, &dependency);
            let clash = read.iter().find(|(_, other, _)| other.as_ref().is_some_and(|other| import.overlaps(other)));
            if let Some((other, _, first)) = clash {
                let what = format!("the dependencies {other:?} and {:?} satisfy the same import", name.value);
                let why = format!("{other:?} stands at {}", table.found.point(first.place));
                let help = "name one interface or one version in each of the two, or remove one";
                table.found.error(name.place, Problem::new(ProblemKind::Duplicate, what, help).because(why));
            }
        }
        read.push((name.value.to_owned(), import, dependency));
    }
    read.into_iter().map(|(name, _, dependency)| (name, dependency)).collect()
}

/// Reads one entry of a trigger's `dependencies.<role>` array.
pub(crate) fn of_trigger(node: &Node<'_>) -> Option<Dependency> {
    dependency(node, node.place, Owner::Trigger)
}

fn dependency(node: &Node<'_>, place: Place, owner: Owner) -> Option<Dependency> {
    if owner == Owner::Component && node.is_string() {
        let version = version_req(node)?;
        let from = DependencySource::Package { package: None, version, registry: None };
        return Some(Dependency { from, export: None, inherit: None, digest: None, place });
    }
    if !node.is_table() {
        return node.wrong_type(match owner {
            Owner::Component => "a version, or a table with `version`, `path`, `url` or `component`",
            Owner::Trigger => "a table with `version`, `path`, `url` or `component`",
        });
    }
    let mut table = node.table()?;
    let export = if owner == Owner::Component { table.string("export").map(|text| text.value) } else { None };
    let inherit = table.get("inherit_configuration").and_then(|node| inherit(&node));
    let from = from(&mut table, owner);
    table.finish();
    Some(Dependency { from: from?, export, inherit, digest: None, place })
}

fn from(table: &mut Table<'_>, owner: Owner) -> Option<DependencySource> {
    if table.has("path") {
        return Some(DependencySource::Local(table.string("path")?.value));
    }
    if table.has("url") || table.has("digest") {
        let url = table.required("url", "url = \"https://example.com/part.wasm\"");
        let digest = table.required("digest", &format!("digest = \"sha256:{}\"", "0".repeat(64)));
        let (url, digest) = (url.and_then(|n| source::http_url(&n)), digest.and_then(|n| source::sha256(&n)));
        return Some(DependencySource::Remote { url: url?, digest: digest? });
    }
    if table.has("component") {
        return Some(DependencySource::Component(ComponentId::new(table.string("component")?.value)));
    }
    let registry = table.string("registry").map(|text| text.value);
    let package = match owner {
        Owner::Component => table.get("package"),
        Owner::Trigger => table.required("package", "package = \"example:part\""),
    };
    let package = package.map(|node| source::package_name(&node));
    let version = table.required("version", "version = \">=1.0.0\", or `path`, `url` or `component` in its place");
    let version = version.and_then(|node| version_req(&node))?;
    let package = match (package, owner) {
        (Some(package), _) => Some(package?),
        (None, Owner::Component) => None,
        (None, Owner::Trigger) => return None,
    };
    Some(DependencySource::Package { package, version, registry })
}

fn inherit(node: &Node<'_>) -> Option<Inherit> {
    match (node.is_bool(), node.is_array()) {
        (true, _) => node.boolean().map(|flag| Inherit::All(flag.value)),
        (_, true) => Some(Inherit::Only(node.strings().into_iter().map(|text| known_key(node, text)).collect())),
        _ => node.wrong_type("true, false, or an array of keys"),
    }
}

/// Spin takes any text here, and one that is no key grants nothing.
fn known_key(node: &Node<'_>, key: At<String>) -> String {
    if !INHERITABLE.contains(&key.value.as_str()) {
        let what = format!("{:?} is nothing that can be inherited", key.value);
        let help = bobbin_suggest::help(&key.value, INHERITABLE, "remove it");
        node.found.warning(key.place, what, help);
    }
    key.value
}

fn version_req(node: &Node<'_>) -> Option<VersionReq> {
    let text = node.string()?;
    match VersionReq::parse(&text.value) {
        Ok(version) => Some(version),
        Err(cause) => {
            let what = format!("`{}` is no version range: {:?}", node.name, text.value);
            let problem = Problem::new(ProblemKind::Schema, what, "write a range of versions, such as `>=1.0.0`");
            node.found.error(text.place, problem.caused_by(cause));
            None
        }
    }
}

/// Reports a dependency that is right and that this version cannot fetch. `owner` is how messages call it.
pub(crate) fn unsupported(dependency: &Dependency, owner: &str) -> Option<(Place, Problem)> {
    let (kind, what) = match &dependency.from {
        DependencySource::Local(_) | DependencySource::Component(_) => return None,
        DependencySource::Remote { url, .. } => ("url", url.clone()),
        DependencySource::Package { package, version, .. } => {
            ("registry", package.as_ref().map_or_else(|| version.to_string(), |package| format!("{package} {version}")))
        }
    };
    let what = format!("dependencies of the kind `{kind}` are not supported yet: {owner} is {what}");
    let help = "download the component, and write its path: { path = \"part.wasm\" }";
    Some((dependency.place, Problem::new(ProblemKind::Unsupported, what, help)))
}

fn import_name(table: &Table<'_>, name: &At<&str>) -> Option<ImportName> {
    let import = ImportName::parse(name.value);
    if import.is_none() {
        let what = format!("{:?} names no import", name.value);
        let help = "write `namespace:package`, `namespace:package/interface@1.0.0` or a plain kebab-case name";
        table.found.schema(name.place, what, help);
    }
    import
}

fn check_shape(table: &Table<'_>, name: &At<&str>, import: &ImportName, dependency: &Dependency) {
    let nameless = matches!(dependency.from, DependencySource::Package { package: None, .. });
    if matches!(import, ImportName::Plain(_)) && nameless {
        let what = format!("the dependency {:?} does not say which package it comes from", name.value);
        table.found.schema(name.place, what, "write { package = \"namespace:name\", version = \"...\" }");
    }
    let whole = matches!(import, ImportName::Package { interface: None, .. });
    let composed = matches!(dependency.from, DependencySource::Package { .. } | DependencySource::Local(_));
    if whole && composed && dependency.export.is_some() {
        let what = format!("the dependency {:?} is a whole package and names one `export`", name.value);
        table.found.schema(name.place, what, "remove `export`, or name one interface: \"namespace:package/interface\"");
    }
}
