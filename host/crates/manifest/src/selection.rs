//! `--component-id`: an application of which some components are served, as in Spin.
//!
//! What a chosen component calls must be chosen, too. As in Spin this is told where the manifest says it plainly:
//! `self`, hosts with variables in them and `*` for any host are not looked at.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::app::App;
use crate::component::Component;
use crate::dependencies::DependencySource;
use crate::errors::{ManifestErrors, Problem, ProblemKind};
use crate::hosts::AllowedHost;
use crate::names::ComponentId;

impl App {
    /// Leaves the triggers of these components alone, and those components. Without any, everything stays.
    ///
    /// # Errors
    /// When there is no such component, when one of them may call others that are not chosen, and when none has a
    /// trigger.
    pub fn select(&mut self, ids: &[String]) -> Result<(), ManifestErrors> {
        if ids.is_empty() {
            return Ok(());
        }
        let chosen: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
        let file: Arc<Path> = Arc::from(self.manifest.as_path());
        let unknown = chosen.iter().filter(|id| !self.components.contains_key(**id));
        let unknown: Vec<Problem> = unknown.map(|id| self.unknown(id).located(&file, None)).collect();
        ManifestErrors::unless_empty(unknown)?;
        let is_chosen = |component: Option<&ComponentId>| component.is_some_and(|id| chosen.contains(id.as_str()));
        let served = |id: &ComponentId| {
            self.triggers.iter().any(|trigger| trigger.component() == Some(id))
                || self.other_triggers.iter().any(|trigger| trigger.component.as_ref() == Some(id))
        };
        let components = self.components.values().filter(|component| is_chosen(Some(&component.id)));
        let calls = components.filter(|component| served(&component.id)).flat_map(|each| calls(each, &chosen));
        let calls = calls.map(|(component, problem)| problem.located(&file, Some(component.place))).collect();
        ManifestErrors::unless_empty(calls)?;
        self.triggers.retain(|trigger| is_chosen(trigger.component()));
        self.other_triggers.retain(|trigger| is_chosen(trigger.component.as_ref()));
        if self.triggers.is_empty() && self.other_triggers.is_empty() {
            let what =
                format!("no trigger runs {}", ids.iter().map(|id| format!("{id:?}")).collect::<Vec<_>>().join(", "));
            let help = "name a component that a trigger runs with --component-id, or leave the option out";
            let problem = Problem::new(ProblemKind::Reference, what, help);
            return Err(ManifestErrors::one(problem.located(&file, None)));
        }
        let needed = self.needed(&chosen);
        self.left_out.extend(self.components.keys().filter(|id| !needed.contains(*id)).cloned());
        self.components.retain(|id, _| needed.contains(id));
        Ok(())
    }

    fn unknown(&self, id: &str) -> Problem {
        let known: Vec<&str> = self.components.keys().map(ComponentId::as_str).collect();
        let help = bobbin_suggest::help(id, known.iter().copied(), "the application has no components");
        Problem::new(ProblemKind::Reference, format!("the application has no component {id:?} (--component-id)"), help)
    }

    /// The chosen components, and those that they, or the middleware of their triggers, are composed of.
    fn needed(&self, chosen: &BTreeSet<&str>) -> BTreeSet<ComponentId> {
        let middleware = self.triggers.iter().flat_map(|trigger| &trigger.middleware);
        let mut next: Vec<ComponentId> = middleware.filter_map(|each| component_of(&each.from)).cloned().collect();
        next.extend(self.triggers.iter().flat_map(|trigger| trigger.components.values().flatten()).cloned());
        next.extend(self.components.keys().filter(|id| chosen.contains(id.as_str())).cloned());
        let mut needed = BTreeSet::new();
        while let Some(id) = next.pop() {
            let dependencies = self.components.get(&id).into_iter().flat_map(|component| &component.dependencies);
            let dependencies = dependencies.filter_map(|(_, dependency)| component_of(&dependency.from));
            if needed.insert(id.clone()) {
                next.extend(dependencies.cloned());
            }
        }
        needed
    }
}

fn component_of(source: &DependencySource) -> Option<&ComponentId> {
    match source {
        DependencySource::Component(id) => Some(id),
        DependencySource::Package { .. } | DependencySource::Local(_) | DependencySource::Remote { .. } => None,
    }
}

/// What is wrong with whom a component may call.
fn calls<'a>(component: &'a Component, chosen: &BTreeSet<&str>) -> Vec<(&'a Component, Problem)> {
    let host = |host: &&crate::template::Template| host.variables().next().is_none();
    let hosts = component.allowed_outbound_hosts.iter().filter(host);
    let hosts = hosts.filter_map(|host| Some((host.source(), AllowedHost::parse(host.source()).ok()?)));
    let problem = |(text, host): (&str, AllowedHost)| {
        let id = &component.id;
        let what = match host.chained_component() {
            _ if is_any_component(text) => {
                format!("component {id:?} may call every component ({text:?}), and not every one is served")
            }
            Some(other) if !chosen.iter().any(|id| host.chains_to(id)) => {
                format!("component {id:?} may call component {other:?} ({text:?}), which is not served")
            }
            _ => return None,
        };
        let help = "choose what it calls with another --component-id, or take the host out of its manifest";
        Some((component, Problem::new(ProblemKind::Reference, what, help)))
    };
    hosts.filter_map(problem).collect()
}

/// `*` alone is any host, and Spin does not take it for a component.
fn is_any_component(host: &str) -> bool {
    let host = host.split_once("://").map_or(host, |(_scheme, rest)| rest);
    host.split([':', '/']).next() == Some("*.spin.internal")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::load;

    const TWO: &str = "spin_manifest_version = 2\n[application]\nname = \"test\"\n\
        [[trigger.http]]\nroute = \"/a\"\ncomponent = \"a\"\n\
        [[trigger.http]]\nroute = \"/a/too\"\ncomponent = \"a\"\n\
        [[trigger.http]]\nroute = \"/b\"\ncomponent = \"b\"\n\
        [[trigger.http]]\nroute = \"/gone\"\nstatic_response = { status_code = 410 }\n\
        [[trigger.http]]\nroute = \"/http-b\"\ncomponent = \"HTTP-b\"\n\
        [[trigger.redis]]\nchannel = \"news\"\ncomponent = \"b\"\n\
        [[trigger.mqtt]]\ntopic = \"news\"\ncomponent = \"b\"\n\
        [component.a]\nsource = \"x.wasm\"\nallowed_outbound_hosts = [HOSTS]\n\
        [component.a.dependencies]\n\"x:y\" = { component = \"part\" }\n\
        [component.b]\nsource = \"x.wasm\"\n\
        [component.HTTP-b]\nsource = \"x.wasm\"\n\
        [component.idle]\nsource = \"x.wasm\"\n\
        [component.part]\nsource = \"x.wasm\"\n";

    fn select(hosts: &str, ids: &[&str]) -> Result<App, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("x.wasm"), "").unwrap();
        std::fs::write(folder.path().join("spin.toml"), TWO.replace("HOSTS", hosts)).unwrap();
        let mut app = load(folder.path()).unwrap();
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        app.select(&ids).map(|()| app).map_err(|errors| errors.to_string())
    }

    fn served(app: &App) -> (Vec<&str>, Vec<&str>, usize) {
        let routes = app.triggers.iter().map(|trigger| trigger.id.as_str()).collect();
        (routes, app.components.keys().map(ComponentId::as_str).collect(), app.other_triggers.len())
    }

    #[test]
    fn only_the_triggers_of_the_chosen_are_left_and_what_the_chosen_are_made_of() {
        let app = select("", &["a"]).unwrap();
        assert_eq!(served(&app), (vec!["http:/a:a", "http:/a/too:a"], vec!["a", "part"], 0));
        let app = select("", &["b"]).unwrap();
        assert_eq!(served(&app), (vec!["http:/b:b", "redis:news:b"], vec!["b"], 1));
        assert_eq!(select("", &["a", "b", "a"]).unwrap().triggers.len(), 4, "a fixed response is no component's");
        assert_eq!(select("", &[]).unwrap().triggers.len(), 6, "nothing chosen is everything");
    }

    #[test]
    fn who_is_not_there_or_has_no_trigger_is_named() {
        let error = select("", &["aa", "b"]).unwrap_err();
        assert!(error.contains("no component \"aa\"") && error.contains("did you mean \"a\""), "{error}");
        let error = select("", &["idle"]).unwrap_err();
        assert!(error.contains("no trigger runs \"idle\""), "{error}");
    }

    #[test]
    fn whoever_is_called_must_be_chosen_too() {
        let error = select("\"http://b.spin.internal\"", &["a"]).unwrap_err();
        assert!(error.contains("\"a\" may call component \"b\"") && error.contains("not served"), "{error}");
        assert!(select("\"http://b.spin.internal\"", &["a", "b"]).is_ok());
        assert!(select("\"http://HTTP-b.spin.internal\"", &["a", "HTTP-b"]).is_ok());
        assert!(select("\"http://b.spin.internal\"", &["b"]).is_ok(), "who is not served calls nobody");
        let error = select("\"http://*.spin.internal\"", &["a", "b"]).unwrap_err();
        assert!(error.contains("may call every component"), "{error}");
        for host in ["\"*://*:*\"", "\"http://self\"", "\"https://example.com\""] {
            assert!(select(host, &["a"]).is_ok(), "{host}");
        }
    }
}
