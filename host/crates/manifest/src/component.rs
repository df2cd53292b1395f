//! `[component.<id>]`: a WebAssembly component and everything it is granted.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::build::{self, Build};
use crate::dependencies::{self, Dependency};
use crate::errors::{Findings, Problem, ProblemKind};
use crate::hosts::{self, AllowedHost};
use crate::mounts::{self, FileMount};
use crate::names::{self, ComponentId, GraphName, VariableName};
use crate::place::{At, Place};
use crate::reader::{Node, Table};
use crate::source::{self, Source};
use crate::template::Template;

/// A component of a checked application.
#[derive(Debug, Clone)]
pub struct Component {
    /// Its id; generated for an inline component.
    pub id: ComponentId,
    /// Where it is declared.
    pub place: Place,
    /// The absolute path of its `.wasm` file.
    pub source: PathBuf,
    /// Where the file is named.
    pub source_place: Place,
    /// The digest that the file must have: `sha256:` and 64 hexadecimal digits. Locked applications may give one.
    pub digest: Option<String>,
    /// What it is, for people.
    pub description: String,
    /// The models it may load, which are the names that wasi-nn's `load-by-name` takes.
    pub ai_models: Vec<GraphName>,
    /// The addresses it may reach; each becomes an [`AllowedHost`] once its variables are replaced.
    pub allowed_outbound_hosts: Vec<Template>,
    /// The labels of the key-value stores it may open.
    pub key_value_stores: Vec<String>,
    /// The labels of the SQLite databases it may open.
    pub sqlite_databases: Vec<String>,
    /// Its environment variables.
    pub environment: BTreeMap<String, String>,
    /// Its configuration; the values may refer to application variables.
    pub variables: BTreeMap<VariableName, Template>,
    /// The host's files that it may read.
    pub files: Vec<FileMount>,
    /// Patterns of files that it may not read although `files` has them.
    pub exclude_files: Vec<String>,
    /// How it is built.
    pub build: Option<Build>,
    /// The Spin environments that it must run in, as written; none leaves it to the application.
    pub targets: Option<Vec<toml::Value>>,
    /// What satisfies its imports, by the import's name.
    pub dependencies: Vec<(String, Dependency)>,
    /// Whether all its dependencies share its grants.
    pub dependencies_inherit_configuration: Option<bool>,
    /// Settings of tools, which belong to the tools.
    pub tool: BTreeMap<String, toml::Table>,
    /// The names of its build profiles.
    pub profiles: Vec<String>,
}

impl Component {
    /// One that is granted nothing.
    pub(crate) fn empty(id: ComponentId, place: Place) -> Self {
        Self {
            id,
            place,
            // Set when the files are looked up, which is the only way from here to an application.
            source: PathBuf::new(),
            source_place: place,
            digest: None,
            description: String::new(),
            ai_models: Vec::new(),
            allowed_outbound_hosts: Vec::new(),
            key_value_stores: Vec::new(),
            sqlite_databases: Vec::new(),
            environment: BTreeMap::new(),
            variables: BTreeMap::new(),
            files: Vec::new(),
            exclude_files: Vec::new(),
            build: None,
            targets: None,
            dependencies: Vec::new(),
            dependencies_inherit_configuration: None,
            tool: BTreeMap::new(),
            profiles: Vec::new(),
        }
    }
}

/// A component as it was read, with the places that later checks point at.
#[derive(Debug)]
pub(crate) struct ComponentDoc {
    pub(crate) component: Component,
    /// None where an error was reported.
    pub(crate) source: Option<At<Source>>,
    pub(crate) models: Vec<At<GraphName>>,
    pub(crate) hosts: Vec<At<Template>>,
    pub(crate) variables: Vec<At<Template>>,
}

/// Reads a component; what is wrong in it is reported, and the rest of it is still read.
pub(crate) fn read(id: ComponentId, place: Place, mut table: Table<'_>, profile: Option<&str>) -> ComponentDoc {
    let example = "source = \"target/wasm32-wasip2/release/hello.wasm\"";
    let source = table.required("source", example).and_then(|node| source::read(&node));
    let models = models(&mut table);
    let hosts = outbound_hosts(&mut table);
    let variables = variables(&mut table, "variables");
    let component = Component {
        description: table.string("description").map(|text| text.value).unwrap_or_default(),
        ai_models: models.iter().map(|model| model.value.clone()).collect(),
        allowed_outbound_hosts: hosts.iter().map(|host| host.value.clone()).collect(),
        key_value_stores: labels(&mut table, "key_value_stores"),
        sqlite_databases: labels(&mut table, "sqlite_databases"),
        environment: environment(&mut table, "environment"),
        variables: variables.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect(),
        files: table.get("files").map(|node| mounts::read(&node)).unwrap_or_default(),
        exclude_files: exclude_files(&mut table),
        build: table.table("build").and_then(build::read),
        targets: table.get("targets").map(|node| targets(&node)),
        dependencies: table.get("dependencies").map(|node| dependencies::of_component(&node)).unwrap_or_default(),
        dependencies_inherit_configuration: table.boolean("dependencies_inherit_configuration").map(|f| f.value),
        tool: table.foreign_tables("tool"),
        ..Component::empty(id, place)
    };
    let variables = variables.into_values().collect();
    let mut doc = ComponentDoc { component, source, models, hosts, variables };
    check_inheritance(&table, &doc.component);
    profiles(&mut table, &mut doc, profile);
    table.finish();
    doc
}

pub(crate) fn models(table: &mut Table<'_>) -> Vec<At<GraphName>> {
    let mut models: Vec<At<GraphName>> = Vec::new();
    for model in table.strings("ai_models") {
        if model.value.trim().is_empty() {
            table.found.schema(model.place, "a model name is empty", "name a model, or remove the entry");
        } else if models.iter().any(|known| known.value.as_str() == model.value) {
            let what = format!("the model {:?} is granted twice", model.value);
            table.found.warning(model.place, what, "remove one of the two");
        } else {
            models.push(model.map(GraphName::new));
        }
    }
    models
}

pub(crate) fn outbound_hosts(table: &mut Table<'_>) -> Vec<At<Template>> {
    let mut hosts: Vec<At<Template>> =
        table.strings("allowed_outbound_hosts").iter().filter_map(|host| outbound_host(table, host)).collect();
    let old = table.strings("allowed_http_hosts");
    for host in &old {
        match hosts::from_http_host(&host.value) {
            Ok(entries) => {
                let what =
                    format!("`allowed_http_hosts` is the older form of `allowed_outbound_hosts`: {:?}", host.value);
                let help = format!("write in `allowed_outbound_hosts`: {:?}, {:?}", entries[0], entries[1]);
                table.found.warning(host.place, what, help);
                let entries = entries.map(|entry| At { place: host.place, value: entry });
                hosts.extend(entries.iter().filter_map(|entry| outbound_host(table, entry)));
            }
            Err(cause) => bad_host(table, host, cause),
        }
    }
    hosts
}

fn outbound_host(table: &Table<'_>, host: &At<String>) -> Option<At<Template>> {
    let template = template(table.found, host)?;
    if template.value.variables().next().is_none()
        && let Err(cause) = AllowedHost::parse(&host.value)
    {
        bad_host(table, host, cause);
        return None;
    }
    Some(template)
}

fn bad_host(table: &Table<'_>, host: &At<String>, cause: hosts::HostError) {
    let what = format!("{:?} is no host that can be allowed", host.value);
    let help = "write scheme://host[:port], such as https://example.com or *://localhost:*";
    table.found.error(host.place, Problem::new(ProblemKind::Schema, what, help).caused_by(cause));
}

pub(crate) fn template(found: &Findings<'_>, text: &At<String>) -> Option<At<Template>> {
    match Template::parse(&text.value) {
        Ok(value) => Some(At { place: text.place, value }),
        Err(cause) => {
            let what = format!("{:?} cannot be read as a template", text.value);
            let help = "refer to a variable as {{ name }}, in lower snake_case";
            found.error(text.place, Problem::new(ProblemKind::Schema, what, help).caused_by(cause));
            None
        }
    }
}

pub(crate) fn variables(table: &mut Table<'_>, key: &'static str) -> BTreeMap<VariableName, At<Template>> {
    let mut variables = BTreeMap::new();
    for (name, (place, value)) in table.string_map(key) {
        if let Err(cause) = names::lower_snake(&name) {
            let what = format!("{name:?} is no name for a variable: {cause}");
            table.found.schema(place, what, "use lower snake_case, such as `api_host`");
        }
        if let Some(template) = template(table.found, &value) {
            variables.insert(VariableName::new(name), template);
        }
    }
    variables
}

pub(crate) fn environment(table: &mut Table<'_>, key: &'static str) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::new();
    for (name, (place, value)) in table.string_map(key) {
        if name.is_empty() || name.contains(['=', '\0']) {
            let what = format!("{name:?} is no name for an environment variable");
            table.found.schema(place, what, "write a name without `=` and NUL");
        }
        if value.value.contains('\0') {
            let what = format!("the value of the environment variable {name:?} has a NUL");
            table.found.schema(value.place, what, "remove the NUL; environments cannot carry it");
        }
        environment.insert(name, value.value);
    }
    environment
}

pub(crate) fn labels(table: &mut Table<'_>, key: &'static str) -> Vec<String> {
    let labels = table.strings(key);
    for label in &labels {
        if let Err(cause) = names::kebab_or_snake(&label.value) {
            let what = format!("{:?} is no label for `{key}`", label.value);
            let problem = Problem::new(ProblemKind::Schema, what, "use kebab-case or snake_case, such as `default`");
            table.found.error(label.place, problem.caused_by(cause));
        }
    }
    labels.into_iter().map(|label| label.value).collect()
}

fn exclude_files(table: &mut Table<'_>) -> Vec<String> {
    let nodes = table.get("exclude_files").and_then(|node| node.items()).unwrap_or_default();
    nodes.iter().filter_map(mounts::pattern).collect()
}

/// Reads `targets`: names of Spin environments, or tables with `url` or `path`.
pub(crate) fn targets(node: &Node<'_>) -> Vec<toml::Value> {
    node.items().unwrap_or_default().iter().filter_map(target).collect()
}

fn target(node: &Node<'_>) -> Option<toml::Value> {
    if node.is_string() {
        return node.plain();
    }
    if !node.is_table() {
        return node.wrong_type("the name of an environment, or a table with `url` or `path`");
    }
    let mut table = node.table()?;
    if table.has("path") {
        table.string("path")?;
    } else {
        table.required("url", "url = \"https://example.com/environment.toml\"")?.string()?;
    }
    table.finish();
    node.plain()
}

fn check_inheritance(table: &Table<'_>, component: &Component) {
    if component.dependencies_inherit_configuration.is_none() {
        return;
    }
    for (name, dependency) in component.dependencies.iter().filter(|(_, each)| each.inherit.is_some()) {
        let what = format!(
            "`{}` says for all dependencies what they inherit, and {name:?} says it again for itself",
            table.name
        );
        let help = "keep `dependencies_inherit_configuration`, or `inherit_configuration` of each dependency";
        table.found.schema(dependency.place, what, help);
    }
}

/// Reads the build profiles, and applies the chosen one.
fn profiles(table: &mut Table<'_>, doc: &mut ComponentDoc, chosen: Option<&str>) {
    let Some(profiles) = table.table("profile") else { return };
    for (name, node) in profiles.entries() {
        doc.component.profiles.push(name.value.to_owned());
        let Some(mut profile) = node.table() else { continue };
        let source = profile.get("source").and_then(|node| source::read(&node));
        let environment = environment(&mut profile, "environment");
        let dependencies = profile.get("dependencies").map(|node| dependencies::of_component(&node));
        let commands = profile.table("build").and_then(|mut build| {
            let commands = build::commands(&mut build);
            build.finish();
            commands
        });
        profile.finish();
        if chosen != Some(name.value) {
            continue;
        }
        doc.source = source.or(doc.source.take());
        doc.component.environment.extend(environment);
        for (import, dependency) in dependencies.unwrap_or_default() {
            doc.component.dependencies.retain(|(known, _)| *known != import);
            doc.component.dependencies.push((import, dependency));
        }
        if let Some(commands) = commands {
            let build = doc.component.build.take().unwrap_or(Build { commands: vec![], workdir: None, watch: vec![] });
            doc.component.build = Some(Build { commands, ..build });
        }
    }
}
