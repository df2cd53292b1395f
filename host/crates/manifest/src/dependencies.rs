//! `dependencies`: which other components satisfy the imports of a component, or stand before a trigger.

use semver::{Version, VersionReq};

use crate::errors::{Problem, ProblemKind};
use crate::names::{self, ComponentId};
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
        return Some(Dependency { from, export: None, inherit: None, place });
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
    Some(Dependency { from: from?, export, inherit, place })
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
        (_, true) => Some(Inherit::Only(node.strings().into_iter().map(|text| text.value).collect())),
        _ => node.wrong_type("true, false, or an array of keys"),
    }
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

/// The name of an import: `plain-name`, or `namespace:package[/interface][@version]`.
#[derive(Debug, PartialEq, Eq)]
enum ImportName {
    Plain,
    Package { package: String, interface: Option<String>, version: Option<Version> },
}

impl ImportName {
    fn parse(text: &str) -> Option<Self> {
        if !text.contains([':', '/']) {
            return names::kebab(text).is_ok().then_some(Self::Plain);
        }
        let (name, version) = match text.split_once('@') {
            Some((name, version)) => (name, Some(Version::parse(version).ok()?)),
            None => (text, None),
        };
        let (package, interface) = match name.split_once('/') {
            Some((package, interface)) => (package, Some(interface.to_owned())),
            None => (name, None),
        };
        let good = source::is_package(package) && interface.as_deref().is_none_or(|text| names::kebab(text).is_ok());
        good.then(|| Self::Package { package: package.to_owned(), interface, version })
    }

    /// Whether two names can mean the same import: one package, and neither version nor interface tells them apart.
    fn overlaps(&self, other: &Self) -> bool {
        let (
            Self::Package { package, interface, version },
            Self::Package { package: other_package, interface: other_interface, version: other_version },
        ) = (self, other)
        else {
            return false;
        };
        let versions_differ = match (version, other_version) {
            (Some(a), Some(b)) => compatibility(a) != compatibility(b),
            _ => false,
        };
        let interfaces_differ = matches!((interface, other_interface), (Some(a), Some(b)) if a != b);
        package == other_package && !versions_differ && !interfaces_differ
    }
}

/// What two versions have in common when semver calls them compatible.
fn compatibility(version: &Version) -> Version {
    let mut version = Version { build: semver::BuildMetadata::EMPTY, ..version.clone() };
    if version.pre.is_empty() {
        if version.major > 0 {
            version.minor = 0;
        }
        if version.major > 0 || version.minor > 0 {
            version.patch = 0;
        }
    }
    version
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
    if *import == ImportName::Plain && nameless {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn overlap(a: &str, b: &str) -> bool {
        ImportName::parse(a).unwrap().overlaps(&ImportName::parse(b).unwrap())
    }

    #[test]
    fn imports_overlap_unless_package_interface_or_major_version_differ() {
        assert!(overlap("a:b", "a:b@1.0.0"));
        assert!(overlap("a:b@1.0.0", "a:b@1.2.0"));
        assert!(overlap("a:b/c@0.1.0", "a:b@0.1.5"));
        assert!(!overlap("a:b@0.1.0", "a:b@0.2.0"));
        assert!(!overlap("a:b@1.0.0", "a:b@2.0.0"));
        assert!(!overlap("a:b/c", "a:b/d"));
        assert!(!overlap("a:b", "a:c"));
        assert!(!overlap("plain", "plain"));
    }

    #[test]
    fn only_import_names_are_import_names() {
        assert!(ImportName::parse("a:b/c@1").is_none());
        assert!(ImportName::parse("a/b").is_none());
        assert!(ImportName::parse("Not Plain").is_none());
        assert_eq!(ImportName::parse("plain-name"), Some(ImportName::Plain));
    }
}
