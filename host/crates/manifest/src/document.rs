//! The manifest as it is written: every table read, nothing yet checked against anything else.

use std::collections::BTreeMap;

use crate::component::{self, ComponentDoc};
use crate::config::{self, ConfigDoc};
use crate::errors::{Problem, ProblemKind};
use crate::names::{self, ComponentId, VariableName};
use crate::place::{At, Place};
use crate::reader::{Node, Table, foreign};
use crate::redis;
use crate::template::Template;
use crate::trigger::{self, Components, OtherTrigger, TriggerDoc, TriggerKind};
use crate::variables::{self, Variable};

/// The whole manifest, with the places that later checks point at.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) application: Application,
    pub(crate) variables: BTreeMap<VariableName, Variable>,
    pub(crate) triggers: Vec<TriggerDoc>,
    /// Triggers of other types, with the place where each names its component.
    pub(crate) others: Vec<(OtherTrigger, Option<Place>)>,
    pub(crate) components: BTreeMap<ComponentId, ComponentDoc>,
}

/// `[application]`.
#[derive(Debug, Default)]
pub(crate) struct Application {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) description: String,
    pub(crate) authors: Vec<String>,
    pub(crate) targets: Vec<toml::Value>,
    pub(crate) tool: BTreeMap<String, toml::Table>,
    pub(crate) settings: BTreeMap<String, toml::Table>,
    pub(crate) bobbin: ConfigDoc,
    /// The server of Redis triggers that name none.
    pub(crate) redis: Option<At<Template>>,
}

/// Reads a document. `None` when it is of another version, which is then the one thing reported.
pub(crate) fn read(mut root: Table<'_>, profile: Option<&str>) -> Option<Document> {
    version(&mut root)?;
    let application = root.required("application", "[application] with name = \"my-app\"");
    let application = application.and_then(|node| node.table()).map(application_table).unwrap_or_default();
    let variables = variables::read(&mut root);
    let mut components = Components { docs: BTreeMap::new(), profile };
    declared_components(&mut root, &mut components);
    let (triggers, others) = triggers(&mut root, &mut components);
    root.finish();
    Some(Document { application, variables, triggers, others, components: components.docs })
}

/// Checks `spin_manifest_version`. Other versions have other keys, so nothing else is read then.
fn version(root: &mut Table<'_>) -> Option<()> {
    if !root.has("spin_manifest_version") && root.has("spin_version") {
        let node = root.get("spin_version")?;
        return other_version(&node, "version 1");
    }
    let node = root.required("spin_manifest_version", "spin_manifest_version = 2")?;
    let written = node.plain()?;
    match (written.as_integer(), written.as_str()) {
        (Some(2), _) => Some(()),
        (Some(1), _) | (_, Some("1")) => other_version(&node, "version 1"),
        _ => other_version(&node, &format!("version {written}")),
    }
}

fn other_version(node: &Node<'_>, version: &str) -> Option<()> {
    let what = format!("the manifest is of {version}, and only version 2 is read");
    let help = match version {
        "version 1" => "`spin doctor` rewrites a manifest of version 1 as one of version 2",
        _ => "write spin_manifest_version = 2, a number without quotes",
    };
    node.found.error(node.place, Problem::new(ProblemKind::Schema, what, help));
    None
}

fn application_table(mut table: Table<'_>) -> Application {
    let name = table.required("name", "name = \"my-app\"").and_then(|node| node.string());
    if let Some(empty) = name.as_ref().filter(|name| name.value.trim().is_empty()) {
        table.found.schema(empty.place, "the application's name is empty", "name it: name = \"my-app\"");
    }
    let version = table.string("version");
    if let Some(odd) = version.as_ref().filter(|text| semver::Version::parse(&text.value).is_err()) {
        let what = format!("the application's version {:?} is no semantic version", odd.value);
        table.found.warning(odd.place, what, "write three numbers, such as 1.0.0");
    }
    let mut application = Application {
        name: name.map(|text| text.value).unwrap_or_default(),
        version: version.map(|text| text.value).unwrap_or_default(),
        description: table.string("description").map(|text| text.value).unwrap_or_default(),
        authors: table.strings("authors").into_iter().map(|text| text.value).collect(),
        targets: table.get("targets").map(|node| component::targets(&node)).unwrap_or_default(),
        tool: table.foreign_tables("tool"),
        ..Application::default()
    };
    if let Some(settings) = table.table("trigger") {
        trigger_settings(&settings, &mut application);
    }
    table.finish();
    application
}

/// Reads `[application.trigger.<type>]`: those of the types that are served key by key, those of other types as they are.
pub(crate) fn trigger_settings(table: &Table<'_>, application: &mut Application) {
    for (kind, node) in table.entries() {
        match kind.value {
            "bobbin" => {
                if let Some(table) = node.table() {
                    application.bobbin = config::read(table);
                }
            }
            "http" => {
                if let Some(table) = node.table() {
                    http_settings(table);
                }
                application.settings.extend(foreign(&node).map(|table| ("http".to_owned(), table)));
            }
            "redis" => application.redis = node.table().and_then(redis::settings),
            other => application.settings.extend(foreign(&node).map(|table| (other.to_owned(), table))),
        }
    }
}

fn http_settings(mut table: Table<'_>) {
    let base = table.string("base");
    if let Some(base) = base.as_ref().filter(|base| base.value == "/") {
        let what = "`base` is no longer a setting of the http trigger, and \"/\" changes nothing";
        table.found.warning(base.place, what, "remove the line");
    }
    if let Some(base) = base.filter(|base| base.value != "/") {
        let what = format!("`base` is no longer a setting of the http trigger: {:?}", base.value);
        let help = "write it in front of every route, and remove the line";
        table.found.schema(base.place, what, help);
    }
    table.finish();
}

fn declared_components(root: &mut Table<'_>, components: &mut Components<'_>) {
    let Some(table) = root.table("component") else { return };
    for (id, node) in table.entries() {
        if let Err(cause) = names::kebab(id.value) {
            let what = format!("{:?} is no id for a component", id.value);
            let problem = Problem::new(ProblemKind::Schema, what, "use kebab-case, such as `story-teller`");
            table.found.error(id.place, problem.caused_by(cause));
        }
        let Some(entry) = node.table() else { continue };
        let name = ComponentId::new(id.value);
        let doc = component::read(name.clone(), id.place, entry, components.profile);
        components.docs.insert(name, doc);
    }
}

fn triggers(
    root: &mut Table<'_>,
    components: &mut Components<'_>,
) -> (Vec<TriggerDoc>, Vec<(OtherTrigger, Option<Place>)>) {
    let (mut served, mut others) = (Vec::new(), Vec::new());
    let example = "[[trigger.http]] with route = \"/hello\" and component = \"hello\"";
    let Some(table) = root.required("trigger", example).and_then(|node| node.table()) else {
        return (served, others);
    };
    if table.entries().is_empty() {
        table.found.schema(table.place, "the manifest has no trigger", format!("add one, for example: {example}"));
    }
    for (kind, node) in table.entries() {
        if node.is_table() {
            let what = format!("`trigger.{}` is a table, and triggers are an array of tables", kind.value);
            node.found.schema(kind.place, what, format!("write it with two brackets: [[trigger.{}]]", kind.value));
            continue;
        }
        for trigger in node.items().unwrap_or_default() {
            match kind.value {
                "http" => served.extend(trigger::read_served(TriggerKind::Http, &trigger, components)),
                "bobbin" => served.extend(trigger::read_served(TriggerKind::Bobbin, &trigger, components)),
                "redis" => served.extend(redis::read(&trigger, components)),
                other => others.extend(trigger::read_other(other, &trigger, components)),
            }
        }
    }
    served.sort_by_key(|trigger: &TriggerDoc| trigger.place);
    (served, others)
}
