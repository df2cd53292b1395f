//! Checks of one part of the manifest against another: references, duplicates, variables, grants.

use std::collections::BTreeMap;

use crate::component::ComponentDoc;
use crate::dependencies::{Dependency, DependencySource};
use crate::document::Document;
use crate::errors::{Findings, Problem, ProblemKind};
use crate::hosts::AllowedHost;
use crate::names::{ComponentId, TriggerId, VariableName};
use crate::place::{At, Place};
use crate::routes::{self, Route};
use crate::template::Template;
use crate::trigger::{Event, Handler, TriggerDoc};

pub(crate) fn all(document: &Document, found: &Findings<'_>, profile: Option<&str>) {
    trigger_ids(document, found);
    trigger_routes(document, found);
    let mut used = component_references(document, found);
    used.extend(dependency_references(document, found));
    for (id, doc) in &document.components {
        templates(document, doc, found);
        if !used.contains(&id) && !chained(document, id) {
            let what = format!("no trigger leads to the component {id:?}");
            found.warning(doc.component.place, what, "name it in a trigger, or remove it");
        }
    }
    redis_templates(document, found);
    crate::grants::check(document, found);
    chosen_profile(document, found, profile);
    let config = &document.application.bobbin;
    for (named, by) in
        [(&config.reuse_instances, "`reuse_instances` names it"), (&config.plain_requests, "`plain_requests` names it")]
    {
        for id in named.iter().filter(|id| !document.components.contains_key(&id.value)) {
            undeclared(document, found, id.place, &id.value, by);
        }
    }
}

/// The trigger's ids with their places, where they can be told.
pub(crate) fn identities(document: &Document) -> impl Iterator<Item = (TriggerId, &TriggerDoc)> {
    document.triggers.iter().filter_map(|trigger| Some((trigger.identity()?, trigger)))
}

fn trigger_ids(document: &Document, found: &Findings<'_>) {
    let mut seen: BTreeMap<TriggerId, (Place, bool)> = BTreeMap::new();
    let served = identities(document).map(|(id, trigger)| {
        let routed = trigger.route().is_some_and(|route| route.value != Route::Private);
        let place = trigger.id.as_ref().map_or(trigger.place, |id| id.place);
        (id, place, trigger.id.is_none() && routed)
    });
    let others = document.others.iter().map(|(other, _)| (other.id.clone(), other.place, false));
    for (id, place, derived_from_route) in served.chain(others) {
        match seen.get(&id) {
            None => {
                seen.insert(id, (place, derived_from_route));
            }
            // The routes are equal then, which is reported as that.
            Some((_, true)) if derived_from_route => {}
            Some((first, _)) => {
                let what = format!("two triggers have the id {id:?}");
                let why = format!("the other one stands at {}", found.point(*first));
                let help = "give each its own `id`, or remove one";
                found.error(place, Problem::new(ProblemKind::Duplicate, what, help).because(why));
            }
        }
    }
}

fn trigger_routes(document: &Document, found: &Findings<'_>) {
    let mut seen: BTreeMap<String, &At<Route>> = BTreeMap::new();
    for route in document.triggers.iter().filter_map(TriggerDoc::route) {
        // Routes whose key cannot be made were refused when they were read.
        let Ok(Some(key)) = routes::key(&route.value) else { continue };
        let Some(first) = seen.get(&key) else {
            seen.insert(key, route);
            continue;
        };
        let (this, other) = (route.value.identity(), first.value.identity());
        let what = format!("the route {this:?} is taken");
        let why = match this == other {
            true => format!("the same route stands at {}", found.point(first.place)),
            false => {
                format!("the router cannot tell it from {other:?}, which stands at {}", found.point(first.place))
            }
        };
        let help = "change one of the two routes, or remove one trigger";
        found.error(route.place, Problem::new(ProblemKind::Duplicate, what, help).because(why));
    }
}

/// Checks the components that triggers name, and answers which are named.
fn component_references<'d>(document: &'d Document, found: &Findings<'_>) -> Vec<&'d ComponentId> {
    let mut used = Vec::new();
    let mut name = |place: Place, id: &'d ComponentId, by: String| {
        if !document.components.contains_key(id) {
            undeclared(document, found, place, id, &by);
        }
        used.push(id);
    };
    for trigger in &document.triggers {
        let by = || match trigger.identity() {
            Some(id) => format!("the trigger {id:?} names it"),
            None => "a trigger names it".to_owned(),
        };
        if let Some(At { place, value: Handler::Component(id) }) = &trigger.handler {
            name(*place, id, by());
        }
        for id in trigger.components.values().flatten() {
            name(id.place, &id.value, by());
        }
    }
    for (other, place) in &document.others {
        if let Some(id) = &other.component {
            name(place.unwrap_or(other.place), id, format!("a trigger of the type {:?} names it", other.kind));
        }
    }
    used
}

/// Checks the components that dependencies and middleware name, and answers which are named.
fn dependency_references<'d>(document: &'d Document, found: &Findings<'_>) -> Vec<&'d ComponentId> {
    let of_components = document.components.values().flat_map(|doc| {
        let id = &doc.component.id;
        doc.component.dependencies.iter().map(move |(name, each)| (each, format!("{id:?} needs it for {name:?}")))
    });
    let of_triggers = document
        .triggers
        .iter()
        .flat_map(|trigger| trigger.middleware.iter().map(|each| (each, "a trigger has it as middleware".to_owned())));
    let mut used = Vec::new();
    for (dependency, by) in of_components.chain(of_triggers) {
        let DependencySource::Component(id) = &dependency.from else { continue };
        match document.components.get(id) {
            None => undeclared(document, found, dependency.place, id, &by),
            Some(doc) => plain_dependency(found, dependency, doc, &by),
        }
        used.push(id);
    }
    used
}

/// A dependency is composed into its owner, so grants of its own would never hold.
fn plain_dependency(found: &Findings<'_>, dependency: &Dependency, doc: &ComponentDoc, by: &str) {
    let component = &doc.component;
    let grants = [
        ("ai_models", component.ai_models.is_empty()),
        ("allowed_outbound_hosts", component.allowed_outbound_hosts.is_empty()),
        ("dependencies", component.dependencies.is_empty()),
        ("environment", component.environment.is_empty()),
        ("files", component.files.is_empty()),
        ("key_value_stores", component.key_value_stores.is_empty()),
        ("sqlite_databases", component.sqlite_databases.is_empty()),
        ("variables", component.variables.is_empty()),
    ];
    let own: Vec<&str> = grants.iter().filter(|(_, empty)| !empty).map(|(name, _)| *name).collect();
    if own.is_empty() {
        return;
    }
    let what = format!("the component {:?} has grants of its own, so it cannot be a dependency", component.id);
    let why = format!("{by}, and it has {}", own.join(", "));
    let help = "move the grants to the component that depends on it";
    found.error(dependency.place, Problem::new(ProblemKind::Reference, what, help).because(why));
}

fn undeclared(document: &Document, found: &Findings<'_>, place: Place, id: &ComponentId, by: &str) {
    let known = document.components.keys().map(ComponentId::as_str);
    let help = bobbin_suggest::help(id.as_str(), known, &format!("declare it: [component.{id}] with a `source`"));
    let what = format!("component {id:?} is not declared");
    found.error(place, Problem::new(ProblemKind::Reference, what, help).because(by));
}

/// Whether some component may call this one by service chaining.
fn chained(document: &Document, id: &ComponentId) -> bool {
    document.components.values().flat_map(|doc| &doc.hosts).any(|host| {
        AllowedHost::parse(host.value.source()).is_ok_and(|host| host.chains_to_any() || host.chains_to(id.as_str()))
    })
}

/// Checks what the templates of a component refer to.
fn templates(document: &Document, doc: &ComponentDoc, found: &Findings<'_>) {
    for template in doc.variables.iter().chain(&doc.hosts) {
        let why = format!("{:?} refers to it", template.value.source());
        variable_references(document, template, &why, found);
    }
    for host in &doc.hosts {
        let Ok(parsed) = AllowedHost::parse(host.value.source()) else { continue };
        let Some(name) = parsed.chained_component() else { continue };
        if !document.components.keys().any(|id| parsed.chains_to(id.as_str())) {
            let by = format!("{:?} may call it at {:?}", doc.component.id, host.value.source());
            undeclared(document, found, host.place, &ComponentId::new(name), &by);
        }
    }
}

/// The same for Redis triggers. An address may be a secret, so it is not repeated.
fn redis_templates(document: &Document, found: &Findings<'_>) {
    let channels = document.triggers.iter().filter_map(|trigger| match trigger.event.as_ref()? {
        Event::Message(channel) => Some(channel),
        Event::Request(_) => None,
    });
    for channel in channels.clone() {
        variable_references(document, &channel.name, "the channel of a Redis trigger refers to it", found);
    }
    let addresses = channels.filter_map(|channel| channel.address.as_ref()).chain(&document.application.redis);
    for address in addresses {
        variable_references(document, address, "the address of a Redis server refers to it", found);
    }
}

fn variable_references(document: &Document, template: &At<Template>, why: &str, found: &Findings<'_>) {
    for name in template.value.variables().filter(|name| !document.variables.contains_key(*name)) {
        let known = document.variables.keys().map(VariableName::as_str);
        let otherwise = format!("declare it under [variables]: {name} = {{ required = true }}");
        let help = bobbin_suggest::help(name.as_str(), known, &otherwise);
        let what = format!("there is no variable {:?}", name.as_str());
        found.error(template.place, Problem::new(ProblemKind::Reference, what, help).because(why));
    }
}

fn chosen_profile(document: &Document, found: &Findings<'_>, profile: Option<&str>) {
    let Some(profile) = profile else { return };
    let known: Vec<&str> =
        document.components.values().flat_map(|doc| &doc.component.profiles).map(String::as_str).collect();
    if !known.contains(&profile) {
        let help = bobbin_suggest::help(profile, known.iter().copied(), "leave the profile out");
        let what = format!("no component has the profile {profile:?}");
        found.error(found.place(0), Problem::new(ProblemKind::Reference, what, help));
    }
}
