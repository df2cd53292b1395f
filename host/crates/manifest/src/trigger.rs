//! `[[trigger.<type>]]`: what makes the host run a component.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use crate::component::{self, ComponentDoc};
use crate::dependencies::{self, Dependency};
use crate::errors::{Problem, ProblemKind};
use crate::http::{self, Executor, StaticResponse};
use crate::names::{self, ComponentId, TriggerId};
use crate::place::{At, Place};
use crate::reader::{Node, Table};
use crate::redis::{Channel, ChannelDoc};
use crate::routes::Route;
use crate::template::Template;

/// The trigger types that Bobbin serves. The first two take the same fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TriggerKind {
    /// `[[trigger.http]]`
    Http,
    /// `[[trigger.bobbin]]`
    Bobbin,
    /// `[[trigger.redis]]`
    Redis,
}

impl TriggerKind {
    /// The type as it is written in the manifest.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Bobbin => "bobbin",
            Self::Redis => "redis",
        }
    }
}

/// A trigger of a checked application.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// Its id, or the one derived from type, route and component.
    pub id: TriggerId,
    /// Its type.
    pub kind: TriggerKind,
    /// What makes it run.
    pub event: Event,
    /// Who answers.
    pub handler: Handler,
    /// How the component is called.
    pub executor: Executor,
    /// Further components, by their role.
    pub components: BTreeMap<String, Vec<ComponentId>>,
    /// Components that stand before this one, outermost first.
    pub middleware: Vec<Dependency>,
    /// Where it is declared.
    pub place: Place,
}

impl Trigger {
    /// The component that answers; none for a fixed response.
    pub fn component(&self) -> Option<&ComponentId> {
        match &self.handler {
            Handler::Component(id) => Some(id),
            Handler::Static(_) => None,
        }
    }

    /// Where it listens; none where it answers no requests.
    pub fn route(&self) -> Option<&Route> {
        match &self.event {
            Event::Request(route) => Some(route),
            Event::Message(_) => None,
        }
    }
}

/// What makes a trigger run its component: a request to a route, or a message in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<R = Route, C = Channel> {
    /// A request over HTTP.
    Request(R),
    /// A message that somebody published.
    Message(C),
}

/// Who answers a trigger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Handler {
    /// A component.
    Component(ComponentId),
    /// The host itself, with a fixed response.
    Static(StaticResponse),
}

/// A trigger of a type that this version does not serve, such as `mqtt`.
#[derive(Debug, Clone)]
pub struct OtherTrigger {
    /// Its id, or one derived from its type, settings and component.
    pub id: TriggerId,
    /// Its type.
    pub kind: String,
    /// The component that it runs, where it names one.
    pub component: Option<ComponentId>,
    /// Its other settings, unread.
    pub settings: toml::Table,
    /// Where it is declared.
    pub place: Place,
}

/// A served trigger as it was read, with the places that later checks point at.
#[derive(Debug)]
pub(crate) struct TriggerDoc {
    pub(crate) kind: TriggerKind,
    pub(crate) place: Place,
    pub(crate) id: Option<At<String>>,
    /// None where an error was reported; the same holds for the handler.
    pub(crate) event: Option<Event<At<Route>, ChannelDoc>>,
    pub(crate) handler: Option<At<Handler>>,
    pub(crate) executor: Executor,
    pub(crate) components: BTreeMap<String, Vec<At<ComponentId>>>,
    pub(crate) middleware: Vec<Dependency>,
}

impl TriggerDoc {
    /// A trigger of which no more is known yet.
    pub(crate) fn new(kind: TriggerKind, place: Place, id: Option<At<String>>) -> Self {
        let (executor, components, middleware) = (Executor::default(), BTreeMap::new(), Vec::new());
        Self { kind, place, id, event: None, handler: None, executor, components, middleware }
    }

    /// Where it listens; none for a trigger without requests, and where an error was reported.
    pub(crate) fn route(&self) -> Option<&At<Route>> {
        match self.event.as_ref()? {
            Event::Request(route) => Some(route),
            Event::Message(_) => None,
        }
    }

    /// The explicit id, or the derived one; none where what it derives from could not be read.
    pub(crate) fn identity(&self) -> Option<TriggerId> {
        if let Some(id) = &self.id {
            return Some(TriggerId::new(id.value.as_str()));
        }
        let target = match &self.handler.as_ref()?.value {
            Handler::Component(id) => id.as_str(),
            Handler::Static(_) => "static",
        };
        self.identity_with(target).map(TriggerId::new)
    }

    /// What identifies a trigger without an id that runs `target`.
    pub(crate) fn identity_with(&self, target: &str) -> Option<String> {
        let what = match self.event.as_ref()? {
            Event::Request(route) => route.value.identity(),
            // Without the server's address, which may be a secret.
            Event::Message(channel) => channel.name.value.source(),
        };
        Some(format!("{}:{what}:{target}", self.kind.as_str()))
    }

    /// The component that answers; none for a fixed response, and where an error was reported.
    pub(crate) fn component(&self) -> Option<&ComponentId> {
        match &self.handler.as_ref()?.value {
            Handler::Component(id) => Some(id),
            Handler::Static(_) => None,
        }
    }

    /// Names another component.
    pub(crate) fn set_component(&mut self, id: ComponentId) {
        if let Some(At { value: Handler::Component(known), .. }) = &mut self.handler {
            *known = id;
        }
    }

    /// The trigger, once nothing in it is wrong. `redis` is the server of all triggers that name none.
    pub(crate) fn checked(self, redis: Option<&At<Template>>) -> Option<Trigger> {
        Some(Trigger {
            id: self.identity()?,
            kind: self.kind,
            event: match self.event? {
                Event::Request(route) => Event::Request(route.value),
                Event::Message(channel) => Event::Message(channel.checked(redis)),
            },
            handler: self.handler?.value,
            executor: self.executor,
            components: self
                .components
                .into_iter()
                .map(|(role, ids)| (role, ids.into_iter().map(|id| id.value).collect()))
                .collect(),
            middleware: self.middleware,
            place: self.place,
        })
    }
}

/// The components read so far; inline ones join them under generated ids.
pub(crate) struct Components<'p> {
    pub(crate) docs: BTreeMap<ComponentId, ComponentDoc>,
    pub(crate) profile: Option<&'p str>,
}

impl Components<'_> {
    /// Reads a reference to a component, or an inline one. `id` names an inline one.
    pub(crate) fn reference_or_inline(
        &mut self,
        node: &Node<'_>,
        id: impl FnOnce() -> String,
    ) -> Option<At<ComponentId>> {
        if node.is_string() {
            return node.string().map(|id| id.map(ComponentId::new));
        }
        if !node.is_table() {
            return node.wrong_type("a component's id, or a table with a `source`");
        }
        let table = node.table()?;
        let id = ComponentId::new(self.free(id()));
        let doc = component::read(id.clone(), node.place, table, self.profile);
        self.docs.insert(id.clone(), doc);
        Some(At { place: node.place, value: id })
    }

    /// The wanted name, or one beside it where a declared component has it.
    fn free(&self, wanted: String) -> String {
        let taken = self.docs.contains_key(wanted.as_str());
        if taken { format!("{wanted}-{}", short_hash(&[&wanted])) } else { wanted }
    }
}

/// A kebab-case word that is the same for the same parts.
fn short_hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    let hex = hex::encode(hash.finalize());
    format!("h{}", hex.get(..8).unwrap_or(&hex))
}

/// The id of an inline component: from the trigger's id if it has one, else from its route. Never from its
/// position, and never the same for two routes: a slug that loses characters carries a hash of the route.
fn inline_id(trigger: Option<&At<String>>, route: Option<&At<Route>>) -> String {
    if let Some(id) = trigger {
        let slug = names::slug(&id.value);
        return match slug == id.value {
            true => format!("{slug}-component"),
            false => format!("inline-{}", short_hash(&["id", &id.value])),
        };
    }
    let route = route.map_or("", |route| route.value.identity());
    let slug = names::slug(route);
    if format!("/{slug}") == route && !slug.is_empty() {
        return format!("inline-{slug}");
    }
    let hash = short_hash(&["route", route]);
    if slug.is_empty() { format!("inline-{hash}") } else { format!("inline-{slug}-{hash}") }
}

/// The id of an inline component of a trigger without a route: what the trigger says takes the route's place.
pub(crate) fn inline_id_of(trigger: Option<&At<String>>, kind: &str, settings: &str) -> String {
    match trigger {
        Some(_) => inline_id(trigger, None),
        None => format!("inline-{}", short_hash(&[kind, settings])),
    }
}

/// Reads one `[[trigger.http]]` or `[[trigger.bobbin]]`.
pub(crate) fn read_served(kind: TriggerKind, node: &Node<'_>, components: &mut Components<'_>) -> Option<TriggerDoc> {
    let mut table = node.table()?;
    let id = id(&mut table);
    Some(served(kind, node.place, id, table, components))
}

/// Reads what a trigger of a served type says of itself; its id is read already.
pub(crate) fn served(
    kind: TriggerKind,
    place: Place,
    id: Option<At<String>>,
    mut table: Table<'_>,
    components: &mut Components<'_>,
) -> TriggerDoc {
    let route = table.required("route", "route = \"/hello\"").and_then(|node| http::route(&node));
    let executor = table.get("executor").and_then(|node| http::executor(&node)).unwrap_or_default();
    let handler = handler(&mut table, id.as_ref(), route.as_ref(), components);
    let roles = roles(&mut table, id.as_ref(), route.as_ref(), components);
    let middleware = table.table("dependencies").map(middleware).unwrap_or_default();
    if let (Some(At { value: Handler::Static(_), .. }), Some(first)) = (&handler, middleware.first()) {
        let what = format!("`{}` has middleware before a fixed response, which no component gives", table.name);
        table.found.warning(first.place, what, "remove `dependencies.middleware`");
    }
    table.finish();
    let event = route.map(Event::Request);
    TriggerDoc { kind, place, id, event, handler, executor, components: roles, middleware }
}

pub(crate) fn id(table: &mut Table<'_>) -> Option<At<String>> {
    // Spin takes an empty id for none.
    let id = table.string("id").filter(|id| !id.value.is_empty())?;
    if id.value.chars().any(char::is_control) || id.value.trim() != id.value {
        let what = format!("{:?} is no id for a trigger", id.value);
        table.found.schema(id.place, what, "use letters, digits and `-`, such as `story-trigger`");
    }
    Some(id)
}

fn handler(
    table: &mut Table<'_>,
    id: Option<&At<String>>,
    route: Option<&At<Route>>,
    components: &mut Components<'_>,
) -> Option<At<Handler>> {
    let component = table.get("component");
    let fixed = table.get("static_response");
    let private = route.is_some_and(|route| route.value == Route::Private);
    let name = &table.name;
    match (component, fixed) {
        (Some(component), None) => {
            if private && id.is_none() && component.is_table() {
                let what = format!("`{name}` is private, has an inline component and no id, so nothing can name it");
                table.found.schema(
                    component.place,
                    what,
                    "declare the component in a table of its own, or add an `id`",
                );
                return None;
            }
            let id = components.reference_or_inline(&component, || inline_id(id, route))?;
            Some(id.map(Handler::Component))
        }
        (None, Some(fixed)) => {
            if private {
                let what = format!("`{name}` is private, and only components can be reached privately");
                table.found.schema(fixed.place, what, "give it a route, or name a component");
            }
            Some(At { place: fixed.place, value: Handler::Static(http::static_response(&fixed)?) })
        }
        (Some(_), Some(fixed)) => {
            let what = format!("`{name}` has both `component` and `static_response`");
            table.found.schema(fixed.place, what, "keep one of the two");
            None
        }
        (None, None) => {
            let what = format!("`{name}` has neither `component` nor `static_response`");
            table.found.schema(table.place, what, "name the component that answers: component = \"hello\"");
            None
        }
    }
}

/// Reads `components`: by role, one or many references or inline components.
fn roles(
    table: &mut Table<'_>,
    id: Option<&At<String>>,
    route: Option<&At<Route>>,
    components: &mut Components<'_>,
) -> BTreeMap<String, Vec<At<ComponentId>>> {
    let mut roles = BTreeMap::new();
    let Some(by_role) = table.table("components") else { return roles };
    for (role, node) in by_role.entries() {
        let nodes = if node.is_array() { node.items().unwrap_or_default() } else { vec![node] };
        let mut ids = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            let index = index.to_string();
            let inline = || format!("{}-{}", inline_id(id, route), short_hash(&[role.value, &index]));
            ids.extend(components.reference_or_inline(node, inline));
        }
        roles.insert(role.value.to_owned(), ids);
    }
    roles
}

fn middleware(mut table: Table<'_>) -> Vec<Dependency> {
    let items = table.get("middleware").and_then(|node| node.items()).unwrap_or_default();
    table.finish();
    items.iter().filter_map(dependencies::of_trigger).collect()
}

/// Reads one trigger of a type that only its name is known of.
pub(crate) fn read_other(
    kind: &str,
    node: &Node<'_>,
    components: &mut Components<'_>,
) -> Option<(OtherTrigger, Option<Place>)> {
    let mut table = node.table()?;
    let explicit = id(&mut table);
    let component = table.get("component");
    let mut settings = crate::reader::foreign(node)?;
    settings.retain(|key, _| !matches!(key, "id" | "component"));
    let inline = || inline_id_of(explicit.as_ref(), kind, &settings.to_string());
    let component = component.and_then(|node| components.reference_or_inline(&node, inline));
    let place = component.as_ref().map(|component| component.place);
    let component = component.map(|component| component.value);
    let id = other_id(kind, explicit.as_ref(), &settings, component.as_ref());
    Some((OtherTrigger { id, kind: kind.to_owned(), component, settings, place: node.place }, place))
}

fn other_id(
    kind: &str,
    explicit: Option<&At<String>>,
    settings: &toml::Table,
    component: Option<&ComponentId>,
) -> TriggerId {
    TriggerId::new(match explicit {
        Some(id) => id.value.clone(),
        None => {
            let hash = short_hash(&[kind, &settings.to_string()]);
            format!("{kind}:{hash}:{}", component.map_or("none", ComponentId::as_str))
        }
    })
}

/// A trigger of another type in a locked application, where everything that it says stands in its settings.
pub(crate) fn locked_other(
    kind: &str,
    id: Option<&At<String>>,
    mut settings: toml::Table,
    place: Place,
) -> (OtherTrigger, Option<Place>) {
    let component = settings.remove("component").and_then(|id| id.as_str().map(ComponentId::new));
    let id = other_id(kind, id, &settings, component.as_ref());
    (OtherTrigger { id, kind: kind.to_owned(), component, settings, place }, None)
}

/// What this version cannot do for a trigger, though the manifest is right.
pub(crate) fn unsupported(trigger: &Trigger) -> Vec<(Place, Problem)> {
    let id = &trigger.id;
    let mut problems = Vec::new();
    let mut add = |place: Place, what: String, help: &str| {
        problems.push((place, Problem::new(ProblemKind::Unsupported, what, help)));
    };
    if let Executor::Wagi { .. } = trigger.executor {
        let help = "build the component for wasi:http, and remove `executor`";
        add(trigger.place, format!("the executor `wagi` is not supported yet: trigger {id:?} asks for it"), help);
    }
    if !trigger.components.is_empty() {
        let help = "remove `components`; a trigger's own component is named by `component`";
        add(trigger.place, format!("further components are not supported yet: trigger {id:?} has some"), help);
    }
    if let Event::Message(Channel { address: None, .. }) = &trigger.event {
        let what = format!("the trigger {id:?} names no server, and there is none for all Redis triggers");
        let help = "add under [application.trigger.redis], or to the trigger: address = \"redis://127.0.0.1:6379\"";
        problems.push((trigger.place, Problem::new(ProblemKind::Schema, what, help)));
    }
    for dependency in &trigger.middleware {
        problems.extend(dependencies::unsupported(dependency, &format!("middleware of the trigger {id:?}")));
    }
    problems
}
