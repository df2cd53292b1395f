//! Locked applications: what Spin makes of a manifest before it runs it, publishes it, or hands it to a trigger.
//!
//! A locked application is JSON with everything resolved: sources are `file:` URLs, inline components have names, and a
//! component that stands behind middleware for one trigger alone is a copy of its own. Keys that are not known are
//! passed over, as in Spin; what may not be passed over is listed in `must_understand`.

use std::collections::BTreeMap;

use crate::document::{self, Application, Document};
use crate::errors::{Problem, ProblemKind};
use crate::locked_component::{self, Middleware};
use crate::names::{ComponentId, VariableName};
use crate::place::{At, Place};
use crate::reader::{Node, Table, foreign};
use crate::redis;
use crate::trigger::{self, Components, OtherTrigger, TriggerDoc, TriggerKind};
use crate::variables::Variable;

/// The newest version of the format that is read.
const NEWEST: i64 = 1;
/// Parts of the format that `must_understand` can name, and that are.
const UNDERSTOOD: [&str; 2] = ["host_requirements", "component_host_requirements"];
/// Features that an application can require of its host, and that there are.
const FEATURES: [&str; 2] = ["local_service_chaining", "middleware"];

/// Reads a locked application. None when it is of another version, which is then the one thing reported.
pub(crate) fn read(mut root: Table<'_>) -> Option<Document> {
    version(&mut root)?;
    understand(&mut root);
    host_requirements(&mut root);
    let application = root.table("metadata").map(metadata).unwrap_or_default();
    let variables = variables(&mut root);
    let mut read =
        Read { middleware: BTreeMap::new(), components: Components { docs: BTreeMap::new(), profile: None } };
    for node in items(&mut root, "components", "\"components\": []") {
        read.component(&node);
    }
    let (mut triggers, mut others) = (Vec::new(), Vec::new());
    for node in items(&mut root, "triggers", "\"triggers\": []") {
        read.trigger(&node, &mut triggers, &mut others);
    }
    let apart = read.unsplit(&mut triggers);
    derive_ids(&mut triggers, &application, &apart);
    Some(Document { application, variables, triggers, others, components: read.components.docs })
}

fn items<'a>(root: &mut Table<'a>, key: &'static str, example: &str) -> Vec<Node<'a>> {
    root.required(key, example).and_then(|node| node.items()).unwrap_or_default()
}

fn version(root: &mut Table<'_>) -> Option<()> {
    let node = root.required("spin_lock_version", "\"spin_lock_version\": 1")?;
    let version = node.integer()?;
    if (0..=NEWEST).contains(&version.value) {
        return Some(());
    }
    let what =
        format!("the locked application is of version {}, and the newest that is read is {NEWEST}", version.value);
    let help = "lock the application with an older Spin, or run its spin.toml";
    node.found.error(version.place, Problem::new(ProblemKind::Unsupported, what, help));
    None
}

fn understand(root: &mut Table<'_>) {
    for part in root.strings("must_understand") {
        if !UNDERSTOOD.contains(&part.value.as_str()) {
            let what = format!("the application says that {:?} must be understood, and it is not", part.value);
            let help = format!("lock it with an older Spin; understood are {}", UNDERSTOOD.join(" and "));
            root.found.error(part.place, Problem::new(ProblemKind::Unsupported, what, help));
        }
    }
}

/// Checks what an application, or one of its components, requires of its host. What is optional may be missing.
pub(crate) fn host_requirements(table: &mut Table<'_>) {
    let Some(required) = table.table("host_requirements") else { return };
    for (feature, node) in required.entries() {
        let optional = node.is_string() && node.string().is_some_and(|text| text.value == "optional");
        if !optional && !FEATURES.contains(&feature.value) {
            let what = format!("the application requires {:?} of its host, which is not there", feature.value);
            let help = bobbin_suggest::help(feature.value, FEATURES, "run it where it is");
            required.found.error(feature.place, Problem::new(ProblemKind::Unsupported, what, help));
        }
    }
}

fn metadata(mut table: Table<'_>) -> Application {
    let text = |text: Option<At<String>>| text.map(|text| text.value).unwrap_or_default();
    let mut application = Application {
        name: text(table.string("name")),
        version: text(table.string("version")),
        description: text(table.string("description")),
        authors: table.strings("authors").into_iter().map(|text| text.value).collect(),
        ..Application::default()
    };
    if let Some(settings) = table.table("triggers") {
        document::trigger_settings(&settings, &mut application);
    }
    application
}

fn variables(root: &mut Table<'_>) -> BTreeMap<VariableName, Variable> {
    let mut variables = BTreeMap::new();
    let Some(table) = root.table("variables") else { return variables };
    for (name, node) in table.entries() {
        let Some(mut entry) = node.table() else { continue };
        let text = |text: Option<At<String>>| text.map(|text| text.value);
        let variable = Variable {
            description: text(entry.string("description")),
            default: text(entry.string("default")),
            secret: entry.boolean("secret").is_some_and(|flag| flag.value),
            place: name.place,
        };
        variables.insert(VariableName::new(name.value), variable);
    }
    variables
}

/// What is read of components, which triggers refer to.
struct Read<'p> {
    middleware: BTreeMap<ComponentId, Middleware>,
    components: Components<'p>,
}

impl Read<'_> {
    fn component(&mut self, node: &Node<'_>) {
        let Some((doc, middleware)) = locked_component::read(node) else { return };
        let id = doc.component.id.clone();
        if self.components.docs.contains_key(&id) {
            let what = format!("two components have the id {id:?}");
            node.found.error(node.place, Problem::new(ProblemKind::Duplicate, what, "lock the application again"));
            return;
        }
        self.middleware.insert(id.clone(), middleware);
        self.components.docs.insert(id, doc);
    }

    fn trigger(
        &mut self,
        node: &Node<'_>,
        served: &mut Vec<TriggerDoc>,
        others: &mut Vec<(OtherTrigger, Option<Place>)>,
    ) {
        let Some(mut table) = node.table() else { return };
        let id = trigger::id(&mut table);
        let own = locked_component::roles(&mut table, "trigger_dependencies");
        let kind = table.required("trigger_type", "\"trigger_type\": \"http\"").and_then(|node| node.string());
        let config = table.required("trigger_config", "\"trigger_config\": {}");
        let (Some(kind), Some(config)) = (kind, config) else { return };
        let kind = match kind.value.as_str() {
            "http" => TriggerKind::Http,
            "bobbin" => TriggerKind::Bobbin,
            "redis" => {
                let Some(config) = config.table() else { return };
                let trigger = redis::subscribed(node, id, config, &mut self.components);
                let component = trigger.component().and_then(|id| self.middleware.get(id));
                if let Some(first) = own.iter().chain(component.into_iter().flatten()).next() {
                    let what = "a Redis trigger has middleware, which only requests go through";
                    node.found.schema(first.place, what, "lock the application without it");
                }
                served.push(trigger);
                return;
            }
            other => {
                others.extend(
                    foreign(&config).map(|settings| trigger::locked_other(other, id.as_ref(), settings, node.place)),
                );
                return;
            }
        };
        let Some(config) = config.table() else { return };
        let mut trigger = trigger::served(kind, node.place, id, config, &mut self.components);
        let component = trigger.component().and_then(|id| self.middleware.get(id));
        trigger.middleware = own.into_iter().chain(component.cloned().unwrap_or_default()).collect();
        served.push(trigger);
    }

    /// Spin copies a component for each trigger that puts middleware before it while others run it, too, under the name
    /// `<component>-for-<trigger>`. Both are one component here, as in the manifest that the application was made from,
    /// unless Spin has composed the copy with its middleware, which `spin registry push` does: then it is another one.
    /// Those are returned, with their originals.
    fn unsplit(&mut self, triggers: &mut [TriggerDoc]) -> BTreeMap<ComponentId, ComponentId> {
        let mut apart = BTreeMap::new();
        for trigger in triggers {
            let Some(id) = trigger.id.as_ref().map(|id| format!("-for-{}", id.value)) else { continue };
            let Some(copy) = trigger.component().cloned() else { continue };
            let Some(original) = copy.as_str().strip_suffix(&id).map(ComponentId::new) else { continue };
            let source = |id| self.components.docs.get(id).map(|doc| doc.source.as_ref().map(|source| &source.value));
            match source(&original) {
                None => {}
                known if known == source(&copy) => {
                    trigger.set_component(original);
                    self.components.docs.remove(&copy);
                }
                Some(_) => {
                    apart.insert(copy, original);
                }
            }
        }
        apart
    }
}

/// Takes back the ids that Spin made up for triggers without one: such a trigger is identified by type, route and
/// component, wherever the application comes from. An id that settings refer to stays.
///
/// `apart` are components with names that Spin made up, and what they are called in the manifest.
fn derive_ids(triggers: &mut [TriggerDoc], application: &Application, apart: &BTreeMap<ComponentId, ComponentId>) {
    for trigger in triggers {
        let kind = trigger.kind.as_str();
        let made_up = |id: &str| {
            let numbered = id.strip_prefix(kind).and_then(|rest| rest.strip_prefix("-trigger"));
            let of_component = trigger.component().map(|component| format!("{component}-{kind}-trigger"));
            numbered.is_some_and(|number| number.parse::<u32>().is_ok()) || of_component.as_deref() == Some(id)
        };
        let referred = |id: &str| application.bobbin.overrides.contains_key(id);
        if trigger.id.as_ref().is_some_and(|id| made_up(&id.value) && !referred(&id.value)) {
            let original = trigger.component().and_then(|component| apart.get(component));
            let place = trigger.place;
            let identity = original.and_then(|original| trigger.identity_with(original.as_str()));
            trigger.id = identity.map(|value| At { place, value });
        }
    }
}
