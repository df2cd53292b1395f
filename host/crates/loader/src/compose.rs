//! Components with what the manifest puts into them and before them: dependencies, and a trigger's middleware.

use crate::bytes;
use crate::chained::Chained;
use crate::deny::deny;
use crate::graph::{ComposeError, Composition, Part};
use crate::modules;
use bobbin_manifest::{
    App, Component, Dependency, DependencySource, ImportName, Inherit, ManifestErrors, Place, Problem, ProblemKind,
    Trigger,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The interface that middleware stands in.
const HANDLER: &str = "wasi:http/handler@0.3.0";

/// The component of a file; a core module becomes one.
pub(crate) fn read(
    app: &App,
    place: Place,
    owner: &str,
    path: &Path,
    digest: Option<&str>,
) -> Result<Vec<u8>, ManifestErrors> {
    let bytes = bytes::read(path, digest).map_err(|error| app.problem_at(place, bytes::problem(owner, error)))?;
    modules::component(bytes).map_err(|error| app.problem_at(place, modules::problem(owner, path, error)))
}

/// A component, with its dependencies in it.
pub(crate) fn with_dependencies(app: &App, component: &Component) -> Result<Vec<u8>, ManifestErrors> {
    let owner = format!("component {:?}", component.id);
    let bytes = read(app, component.source_place, &owner, &component.source, component.digest.as_deref())?;
    if component.dependencies.is_empty() {
        return Ok(bytes);
    }
    let of_source = |error| app.problem_at(component.source_place, problem(&owner, error));
    let mut composition = Composition::new();
    let main = composition.add(&owner, &bytes).map_err(of_source)?;
    let imports = composition.imports(&main);
    let mut satisfied: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, dependency) in &component.dependencies {
        let of_dependency = |error| app.problem_at(dependency.place, problem(&owner, error));
        let matched = matched(name, &imports);
        if matched.is_empty() {
            return Err(app.problem_at(dependency.place, unmatched(&owner, name, &imports)));
        }
        let inherit = component.dependencies_inherit_configuration.map(Inherit::All);
        let called = format!("the dependency {name:?} of {owner}");
        let part = load(app, dependency, &called, inherit.as_ref())?;
        let part = composition.add(&called, &part).map_err(of_dependency)?;
        for import in matched {
            if let Some(other) = satisfied.insert(import, name) {
                return Err(app.problem_at(dependency.place, conflict(import, name, other)));
            }
            let export = dependency.export.as_deref().unwrap_or(import);
            composition.connect((&main, import), (&part, export)).map_err(of_dependency)?;
        }
    }
    composition.export_all(&main).and_then(|()| composition.encode()).map_err(of_source)
}

/// A component behind the middleware of a trigger, the outermost first.
pub(crate) fn behind_middleware(app: &App, trigger: &Trigger, component: &[u8]) -> Result<Vec<u8>, ManifestErrors> {
    let Some(first) = trigger.middleware.first() else { return Ok(component.to_vec()) };
    let owner = format!("the trigger {:?}", trigger.id);
    let at = |place: Place, error| app.problem_at(place, problem(&owner, error));
    let mut composition = Composition::new();
    let mut chain: Vec<(Place, Part)> = Vec::new();
    for (number, dependency) in trigger.middleware.iter().enumerate() {
        let called = format!("middleware {} of {owner}", number + 1);
        let part = load(app, dependency, &called, None)?;
        let part = composition.add(&called, &part).map_err(|error| at(dependency.place, error))?;
        chain.push((dependency.place, part));
    }
    let called = trigger.component().map_or_else(|| owner.clone(), |id| format!("component {id:?}"));
    let innermost = composition.add(&called, component).map_err(|error| at(first.place, error))?;
    chain.push((first.place, innermost));
    for pair in chain.windows(2) {
        let [(place, outer), (_, inner)] = pair else { continue };
        composition.connect((outer, HANDLER), (inner, HANDLER)).map_err(|error| at(*place, error))?;
    }
    if let Some((place, outermost)) = chain.first() {
        composition.export(outermost, HANDLER).map_err(|error| at(*place, error))?;
    }
    composition.encode().map_err(|error| at(first.place, error))
}

/// A dependency's bytes, without what it does not inherit. `inherit` is what holds where it does not say itself.
fn load(
    app: &App,
    dependency: &Dependency,
    called: &str,
    inherit: Option<&Inherit>,
) -> Result<Vec<u8>, ManifestErrors> {
    let (path, digest) = file(app, dependency, called)?;
    let bytes = read(app, dependency.place, called, &path, digest)?;
    let denied = deny(called, bytes, dependency.inherit.as_ref().or(inherit));
    denied.map_err(|error| app.problem_at(dependency.place, problem(called, error)))
}

fn file<'a>(
    app: &'a App,
    dependency: &'a Dependency,
    called: &str,
) -> Result<(PathBuf, Option<&'a str>), ManifestErrors> {
    let unsupported = || {
        let help = "download the component, and write its path: { path = \"part.wasm\" }";
        let what = format!("{called} is no local file, and others are not supported yet");
        app.problem_at(dependency.place, Problem::new(ProblemKind::Unsupported, what, help))
    };
    match &dependency.from {
        DependencySource::Local(path) => Ok((app.root.join(path), dependency.digest.as_deref())),
        DependencySource::Component(id) => {
            let component = app.components.get(id).ok_or_else(unsupported)?;
            Ok((component.source.clone(), component.digest.as_deref()))
        }
        DependencySource::Package { .. } | DependencySource::Remote { .. } => Err(unsupported()),
    }
}

/// The imports that a dependency's name means.
fn matched<'i>(name: &str, imports: &'i [String]) -> Vec<&'i str> {
    let means = ImportName::parse(name);
    let is_meant = |import: &&str| means.as_ref().is_some_and(|means| means.matches(import));
    imports.iter().map(String::as_str).filter(is_meant).collect()
}

fn unmatched(owner: &str, name: &str, imports: &[String]) -> Problem {
    let what = format!("the dependency {name:?} matches no import of {owner}");
    let there = if imports.is_empty() { "it imports nothing".to_owned() } else { imports.join(", ") };
    let help = format!("name one of its imports, or remove the dependency; there are: {there}");
    Problem::new(ProblemKind::Reference, what, help)
}

fn conflict(import: &str, name: &str, other: &str) -> Problem {
    let what = format!("the dependencies {other:?} and {name:?} both satisfy the import {import:?}");
    Problem::new(ProblemKind::Duplicate, what, "remove one of the two, or name the interface that each is for")
}

fn problem(owner: &str, error: ComposeError) -> Problem {
    let help = match &error {
        ComposeError::NoExport { export, .. } | ComposeError::NoImport { import: export, .. } if export == HANDLER => {
            "build it for WASI 0.3, for example with spin-sdk 7: middleware, and what is behind it, speak no other"
        }
        ComposeError::NoExport { .. } => "name one of its exports: { .., export = \"namespace:package/interface\" }",
        ComposeError::NoImport { .. } => "build it for the interface that it is to be connected by",
        ComposeError::Mismatch { .. } => "build both for one version of the interface",
        ComposeError::Part { .. } => "build it for the target wasm32-wasip2",
        ComposeError::Encode(_) | ComposeError::Deny { .. } => {
            "compose them when they are built, for example with `wac plug`, and name the result as `source`"
        }
    };
    Problem::new(ProblemKind::File, format!("{owner} cannot be composed"), help).caused_by(Chained(error))
}
