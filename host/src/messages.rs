//! The channels of an application: which server and which channel each of its Redis triggers has, and who takes the
//! messages.

use crate::site::Components;
use anyhow::{Context, Result};
use bobbin_databases::redis::{Address, AddressError};
use bobbin_manifest::{App, Channel, Event, Place, Problem, ProblemKind, Template, Trigger, TriggerId};
use bobbin_server::Subscriber;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A channel, in which every variable has its value.
#[derive(Debug)]
pub(crate) struct Subscription {
    server: Arc<Address>,
    channel: Arc<str>,
}

/// Those of an application.
pub(crate) type Subscriptions = BTreeMap<TriggerId, Subscription>;

/// Gives every channel and every address its values.
///
/// # Errors
/// What is none, with its place in the manifest. Neither an address nor a variable's value is repeated.
pub(crate) fn resolve(app: &App, render: impl Fn(&Template) -> String) -> Result<Subscriptions> {
    let (mut subscriptions, mut problems) = (BTreeMap::new(), Vec::new());
    for (trigger, channel) in app.triggers.iter().filter_map(channel_of) {
        let (address, place) = channel.address.as_ref().context("every Redis trigger has an address")?;
        match (Address::parse(&render(address)), render(&channel.name)) {
            (Err(error), _) => problems.push((*place, no_address(trigger, error))),
            (Ok(_), name) if name.is_empty() => problems.push((channel.place, no_channel(trigger))),
            (Ok(server), name) => {
                let subscription = Subscription { server: Arc::new(server), channel: name.into() };
                subscriptions.insert(trigger.id.clone(), subscription);
            }
        }
    }
    // An address of all triggers is wrong for each of them, and once for whoever corrects it.
    problems.dedup_by_key(|(place, _): &mut (Place, Problem)| *place);
    app.problems_at(problems)?;
    Ok(subscriptions)
}

fn channel_of(trigger: &Trigger) -> Option<(&Trigger, &Channel)> {
    match &trigger.event {
        Event::Message(channel) => Some((trigger, channel)),
        Event::Request(_) => None,
    }
}

fn no_address(trigger: &Trigger, error: AddressError) -> Problem {
    let what = format!("the server of the trigger {:?} has no address that can be used", trigger.id);
    let help = "write redis://[user:password@]host[:port][/number], or rediss:// for TLS; a variable in it must have such a \
                value; in a user or a password, / is %2F, : is %3A, @ is %40, # is %23, ? is %3F and % is %25";
    Problem::new(ProblemKind::Schema, what, help).caused_by(error)
}

fn no_channel(trigger: &Trigger) -> Problem {
    let what = format!("the channel of the trigger {:?} has no name: its variables are empty", trigger.id);
    Problem::new(ProblemKind::Variable, what, "give the variable a value")
}

/// Who takes the messages.
///
/// # Errors
/// When a component takes none, with the place of its trigger.
pub(crate) fn subscribers(
    app: &App,
    subscriptions: &Subscriptions,
    components: &Components<'_>,
) -> Result<Vec<Subscriber>> {
    let triggers = app.triggers.iter().filter_map(|trigger| Some((trigger, subscriptions.get(&trigger.id)?)));
    let subscriber = |(trigger, Subscription { server, channel }): (&Trigger, &Subscription)| {
        let loaded = components.of(trigger)?;
        let listener = loaded.listener().map_err(|error| {
            let help = "give it a handler for messages (#[redis_subscriber] of spin-sdk), or remove the trigger";
            let problem = Problem::new(ProblemKind::Unsupported, error.to_string(), help);
            app.problem_at(trigger.place, problem)
        })?;
        Ok(Subscriber {
            trigger_id: trigger.id.as_str().into(),
            server: Arc::clone(server),
            channel: Arc::clone(channel),
            component: trigger.component().context("a message is for a component")?.as_str().into(),
            listener: Arc::new(listener),
            calls: loaded.calls(),
        })
    };
    triggers.map(subscriber).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
spin_manifest_version = 2

[application]
name = "test"

[application.trigger.redis]
address = "{{ server }}"

[variables]
server = { default = "SERVER" }
topic = { default = "TOPIC" }

[[trigger.redis]]
channel = "{{ topic }}-a"
component = "a"

[[trigger.redis]]
channel = "{{ topic }}"
component = "a"

[[trigger.redis]]
channel = "own"
address = "redis://own:7000"
component = "a"

[component.a]
source = "a.wasm"
"#;

    fn resolved(server: &str, topic: &str) -> Result<Vec<String>> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join("a.wasm"), b"")?;
        std::fs::write(folder.path().join("spin.toml"), MANIFEST)?;
        let app = bobbin_manifest::load(folder.path())?;
        let value = |name: &str| if name == "server" { server.to_owned() } else { topic.to_owned() };
        let render = |text: &Template| {
            text.render(|name| Ok::<_, std::convert::Infallible>(value(name.as_str()))).unwrap_or_default()
        };
        let shown = |one: &Subscription| format!("{} {}", one.server.server(), one.channel);
        Ok(resolve(&app, render)?.values().map(shown).collect())
    }

    #[test]
    fn variables_have_their_values_and_a_trigger_may_have_a_server_of_its_own() {
        let all = resolved("rediss://:secret@cache", "news").unwrap();
        assert_eq!(all, ["redis://own:7000 own", "rediss://cache:6379 news-a", "rediss://cache:6379 news"]);
    }

    #[test]
    fn what_is_no_address_or_no_channel_is_told_once_where_it_stands_and_not_repeated() {
        let error = resolved("hunter2", "news").unwrap_err().to_string();
        assert!(error.contains("spin.toml:8:11:") && !error.contains("hunter2"), "{error}");
        assert_eq!(error.matches("help:").count(), 1, "{error}");
        let error = resolved("redis://localhost", "").unwrap_err().to_string();
        assert!(error.contains("spin.toml:19:11:") && error.contains("has no name"), "{error}");
    }
}
