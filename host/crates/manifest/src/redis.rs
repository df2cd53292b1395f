//! The fields of Redis triggers: which channel of which server.

use std::fmt;

use crate::component;
use crate::errors::{Problem, ProblemKind};
use crate::place::{At, Place};
use crate::reader::{Node, Table};
use crate::template::Template;
use crate::trigger::{self, Components, Event, Handler, TriggerDoc, TriggerKind};

/// A channel of a Redis server. A server's address may have a password, so it is hidden in debug representations.
#[derive(Clone, PartialEq, Eq)]
pub struct Channel {
    /// Its name.
    pub name: Template,
    /// Where that is written.
    pub place: Place,
    /// The server's address, and where it is written: the trigger's own, or that of `[application.trigger.redis]`.
    /// [`App::check_supported`](crate::App::check_supported) refuses an application where there is neither.
    pub address: Option<(Template, Place)>,
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, place, address } = self;
        let address = address.as_ref().map(|(_, place)| place);
        f.debug_struct("Channel").field("name", name).field("place", place).field("address_at", &address).finish()
    }
}

/// A channel as it was read.
#[derive(Clone)]
pub(crate) struct ChannelDoc {
    pub(crate) name: At<Template>,
    pub(crate) address: Option<At<Template>>,
}

impl fmt::Debug for ChannelDoc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelDoc").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ChannelDoc {
    /// The channel; on the server of all Redis triggers where it names none.
    pub(crate) fn checked(self, default: Option<&At<Template>>) -> Channel {
        let address = self.address.or_else(|| default.cloned());
        let address = address.map(|address| (address.value, address.place));
        Channel { name: self.name.value, place: self.name.place, address }
    }
}

/// Reads one `[[trigger.redis]]`.
pub(crate) fn read(node: &Node<'_>, components: &mut Components<'_>) -> Option<TriggerDoc> {
    let mut table = node.table()?;
    let id = trigger::id(&mut table);
    Some(subscribed(node, id, table, components))
}

/// Reads what a Redis trigger says of itself; its id is read already.
pub(crate) fn subscribed(
    node: &Node<'_>,
    id: Option<At<String>>,
    mut table: Table<'_>,
    components: &mut Components<'_>,
) -> TriggerDoc {
    let name = table.required("channel", "channel = \"orders\"").and_then(|node| channel(&node));
    let address = address(&mut table);
    let component = table.required("component", "component = \"hello\"");
    let handler = component.and_then(|component| {
        let inline = || trigger::inline_id_of(id.as_ref(), "redis", &told_apart(node));
        components.reference_or_inline(&component, inline)
    });
    table.finish();
    let mut trigger = TriggerDoc::new(TriggerKind::Redis, node.place, id);
    trigger.event = name.map(|name| Event::Message(ChannelDoc { name, address }));
    trigger.handler = handler.map(|id| id.map(Handler::Component));
    trigger
}

/// Reads `address`, here and in `[application.trigger.redis]`.
pub(crate) fn address(table: &mut Table<'_>) -> Option<At<Template>> {
    let text = table.string("address")?;
    if text.value.trim().is_empty() {
        let what = format!("`{}.address` is empty", table.name);
        table.found.schema(text.place, what, "write a server's address, such as \"redis://127.0.0.1:6379\"");
        return None;
    }
    match Template::parse(&text.value) {
        Ok(template) => Some(At { place: text.place, value: template }),
        Err(cause) => {
            // An address may have a password, so it is not repeated.
            let what = format!("`{}.address` cannot be read as a template", table.name);
            let help = "refer to a variable as {{ name }}, in lower snake_case";
            table.found.error(text.place, Problem::new(ProblemKind::Schema, what, help).caused_by(cause));
            None
        }
    }
}

/// Reads `[application.trigger.redis]`.
pub(crate) fn settings(mut table: Table<'_>) -> Option<At<Template>> {
    let address = address(&mut table);
    table.finish();
    address
}

fn channel(node: &Node<'_>) -> Option<At<Template>> {
    let text = node.string()?;
    if text.value.is_empty() || text.value.contains(char::is_control) {
        let what = format!("{:?} is no name for a channel", text.value);
        node.found.schema(text.place, what, "name the channel that messages are published to, such as \"orders\"");
        return None;
    }
    component::template(node.found, &text)
}

/// What tells triggers with inline components apart, whatever their order. Never the address, which may be a secret.
fn told_apart(node: &Node<'_>) -> String {
    let mut settings = crate::reader::foreign(node).unwrap_or_default();
    settings.retain(|key, _| !matches!(key, "id" | "address"));
    settings.to_string()
}
