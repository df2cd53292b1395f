//! Checks releases against grants: every granted model has a release, and every release somebody it is for.

use std::collections::{BTreeMap, BTreeSet};

use crate::checks;
use crate::component::ComponentDoc;
use crate::document::Document;
use crate::errors::{Findings, Problem, ProblemKind};
use crate::names::{GraphName, TriggerId, toml_key};
use crate::place::{At, Place};
use crate::releases::ReleaseDoc;
use crate::trigger::{Handler, TriggerDoc};

const TABLE: &str = "[application.trigger.bobbin.releases]";

pub(crate) fn check(document: &Document, found: &Findings<'_>) {
    for doc in document.components.values() {
        for model in &doc.models {
            granted_has_release(document, doc, model, found);
        }
    }
    let granted: BTreeSet<&str> =
        document.components.values().flat_map(|doc| &doc.component.ai_models).map(GraphName::as_str).collect();
    for (name, release) in &document.application.bobbin.releases {
        if !granted.contains(name.as_str()) {
            ungranted(found, name, release.name_place, &granted, "no component is granted it");
        }
    }
    overrides(document, found);
}

fn ungranted(found: &Findings<'_>, name: &GraphName, place: Place, granted: &BTreeSet<&str>, why: &str) {
    let otherwise = format!("grant it to a component, ai_models = [{:?}], or remove the line", name.as_str());
    let help = bobbin_suggest::help(name.as_str(), granted.iter().copied(), &otherwise);
    let what = format!("the release {name:?} is for nobody");
    found.error(place, Problem::new(ProblemKind::Release, what, help).because(why));
}

fn granted_has_release(document: &Document, doc: &ComponentDoc, model: &At<GraphName>, found: &Findings<'_>) {
    let bobbin = &document.application.bobbin;
    if bobbin.releases.contains_key(&model.value) {
        return;
    }
    let overridden = |trigger: &TriggerDoc| {
        let releases = trigger.identity().and_then(|id| bobbin.overrides.get(id.as_str()));
        releases.is_some_and(|own| own.releases.contains_key(&model.value))
    };
    let mut triggers = document.triggers.iter().filter(|trigger| runs(trigger, doc)).peekable();
    if triggers.peek().is_some() && triggers.all(overridden) {
        return;
    }
    let id = &doc.component.id;
    let what = format!("component {id:?} is granted the model {:?}, which has no release", model.value);
    let why = "a release says which bundle version answers to the name";
    let line = format!("{} = \"<bundle>@<version>\"", toml_key(model.value.as_str()));
    let near = bobbin_suggest::nearest(model.value.as_str(), bobbin.releases.keys().map(GraphName::as_str));
    let help = match near {
        Some(near) => format!("did you mean {near:?}? Otherwise add under {TABLE}: {line}"),
        None => format!("add under {TABLE}: {line}"),
    };
    found.error(model.place, Problem::new(ProblemKind::Release, what, help).because(why));
}

fn runs(trigger: &TriggerDoc, doc: &ComponentDoc) -> bool {
    matches!(&trigger.handler, Some(At { value: Handler::Component(id), .. }) if *id == doc.component.id)
}

fn overrides(document: &Document, found: &Findings<'_>) {
    let triggers: BTreeMap<TriggerId, &TriggerDoc> = checks::identities(document).collect();
    for (id, own) in &document.application.bobbin.overrides {
        match triggers.get(id.as_str()) {
            Some(trigger) => override_is_granted(document, found, id, trigger, &own.releases),
            // Where a trigger could not be read, its id may be the one that is named here.
            None if triggers.len() < document.triggers.len() => {}
            None => {
                let what = format!("there is no trigger {id:?} whose settings could be overridden");
                let known = triggers.keys().map(TriggerId::as_str);
                let help = bobbin_suggest::help(id, known, "remove the table");
                found.error(own.place, Problem::new(ProblemKind::Reference, what, help));
            }
        }
    }
}

fn override_is_granted(
    document: &Document,
    found: &Findings<'_>,
    id: &str,
    trigger: &TriggerDoc,
    releases: &BTreeMap<GraphName, ReleaseDoc>,
) {
    let component = match &trigger.handler {
        Some(At { value: Handler::Component(id), .. }) => document.components.get(id),
        Some(At { value: Handler::Static(_), .. }) | None => None,
    };
    let granted: BTreeSet<&str> =
        component.iter().flat_map(|doc| &doc.component.ai_models).map(GraphName::as_str).collect();
    for (name, release) in releases.iter().filter(|(name, _)| !granted.contains(name.as_str())) {
        let why = match component {
            Some(doc) => format!("the trigger {id:?} runs {:?}, which is not granted it", doc.component.id),
            None => format!("the trigger {id:?} runs no component"),
        };
        ungranted(found, name, release.name_place, &granted, &why);
    }
}
