//! The components of a locked application.

use std::path::PathBuf;

use url::Url;

use crate::build;
use crate::component::{self, Component, ComponentDoc};
use crate::dependencies::{Dependency, DependencySource, Inherit};
use crate::errors::{Problem, ProblemKind};
use crate::locked;
use crate::mounts::{self, FileMount, Mounted};
use crate::names::ComponentId;
use crate::place::At;
use crate::reader::{Node, Table};
use crate::source::{self, Source};

/// What stands before a component, the outermost first.
pub(crate) type Middleware = Vec<Dependency>;

/// Reads a component, and what stands before it.
pub(crate) fn read(node: &Node<'_>) -> Option<(ComponentDoc, Middleware)> {
    let mut table = node.table()?;
    let id = table.required("id", "\"id\": \"hello\"")?.string()?;
    let source = table.required("source", "\"source\": { .. }").and_then(|node| content(&node));
    let variables = component::variables(&mut table, "config");
    let middleware = roles(&mut table, "trigger_dependencies");
    locked::host_requirements(&mut table);
    let mut component = Component {
        environment: component::environment(&mut table, "env"),
        variables: variables.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect(),
        files: files(&mut table),
        dependencies: dependencies(&mut table),
        digest: source.as_ref().and_then(|source| source.value.1.clone()),
        ..Component::empty(ComponentId::new(id.value), node.place)
    };
    let (mut models, mut hosts) = (Vec::new(), Vec::new());
    if let Some(mut metadata) = table.table("metadata") {
        models = component::models(&mut metadata);
        hosts = component::outbound_hosts(&mut metadata);
        component.description = metadata.string("description").map(|text| text.value).unwrap_or_default();
        component.key_value_stores = component::labels(&mut metadata, "key_value_stores");
        component.sqlite_databases = component::labels(&mut metadata, "databases");
        component.build = metadata.table("build").and_then(build::read);
    }
    component.ai_models = models.iter().map(|model| model.value.clone()).collect();
    component.allowed_outbound_hosts = hosts.iter().map(|host| host.value.clone()).collect();
    let source = source.map(|source| source.map(|(path, _)| Source::Local(path.display().to_string())));
    Some((ComponentDoc { component, source, models, hosts, variables: variables.into_values().collect() }, middleware))
}

/// Reads a reference to content: an absolute path, and the digest that it must have.
fn content(node: &Node<'_>) -> Option<At<(PathBuf, Option<String>)>> {
    let mut table = node.table()?;
    let digest = match table.get("digest") {
        Some(node) => Some(source::sha256(&node)?),
        None => None,
    };
    if !table.has("source") && table.has("inline") {
        let what = format!("`{}` holds its content in itself, and only files are read here", node.name);
        let help = "let `spin up` or `bobbin up` read the application, which write its content to files";
        node.found.error(node.place, Problem::new(ProblemKind::Unsupported, what, help));
        return None;
    }
    let source = table.required("source", "\"source\": \"file:///path/to/file\"")?;
    let text = source.string()?;
    let path = match Url::parse(&text.value) {
        Ok(url) if url.scheme() == "file" => url.to_file_path().ok(),
        Ok(url) => {
            let what = format!("`{}` is at {url}, and only files are read", source.name);
            let help = "let `spin up` hand the application over, which fetches its content";
            source.found.error(text.place, Problem::new(ProblemKind::Unsupported, what, help));
            return None;
        }
        Err(cause) => {
            let what = format!("`{}` is no URL: {:?}", source.name, text.value);
            let problem = Problem::new(ProblemKind::Schema, what, "write a URL such as file:///path/to/file");
            source.found.error(text.place, problem.caused_by(cause));
            return None;
        }
    };
    if path.is_none() {
        let what = format!("`{}` names no file of this machine: {:?}", source.name, text.value);
        source.found.schema(text.place, what, "write a URL such as file:///path/to/file");
    }
    Some(At { place: text.place, value: (path?, digest) })
}

fn files(table: &mut Table<'_>) -> Vec<FileMount> {
    let mount = |node: &Node<'_>| {
        let content = content(node)?;
        let path = node.table()?.required("path", "\"path\": \"/\"")?.string()?;
        let destination = mounts::absolute(&path.value);
        Some(FileMount { what: Mounted::Prepared { source: content.value.0, destination }, place: content.place })
    };
    let nodes = table.get("files").and_then(|node| node.items()).unwrap_or_default();
    nodes.iter().filter_map(mount).collect()
}

fn dependencies(table: &mut Table<'_>) -> Vec<(String, Dependency)> {
    let Some(table) = table.table("dependencies") else { return Vec::new() };
    let dependency = |(name, node): (At<&str>, Node<'_>)| Some((name.value.to_owned(), dependency(&node)?));
    table.entries().into_iter().filter_map(dependency).collect()
}

/// Reads dependencies by role, of which middleware is the only one that there is.
pub(crate) fn roles(table: &mut Table<'_>, key: &'static str) -> Middleware {
    let mut middleware = Vec::new();
    let Some(roles) = table.table(key) else { return middleware };
    for (role, node) in roles.entries() {
        if role.value == "middleware" {
            middleware.extend(node.items().unwrap_or_default().iter().filter_map(dependency));
        } else {
            let what = format!("dependencies of the role {:?} are not supported", role.value);
            let help = "a trigger of the type http has `middleware`, and nothing else";
            roles.found.error(role.place, Problem::new(ProblemKind::Unsupported, what, help));
        }
    }
    middleware
}

fn dependency(node: &Node<'_>) -> Option<Dependency> {
    let mut table = node.table()?;
    let source = table.required("source", "\"source\": { .. }").and_then(|node| content(&node))?;
    let (path, digest) = source.value;
    Some(Dependency {
        from: DependencySource::Local(path.display().to_string()),
        export: table.string("export").map(|text| text.value),
        inherit: table.get("inherit").and_then(|node| inherit(&node)),
        digest,
        place: source.place,
    })
}

/// `"All"`, or `{ "Some": [..] }`.
fn inherit(node: &Node<'_>) -> Option<Inherit> {
    if node.is_string() {
        let text = node.string()?;
        if text.value == "All" {
            return Some(Inherit::All(true));
        }
        return node.wrong_type("\"All\" or { \"Some\": [..] }");
    }
    let mut table = node.table()?;
    let keys = table.required("Some", "{ \"Some\": [] }")?;
    Some(Inherit::Only(keys.strings().into_iter().map(|key| key.value).collect()))
}
