//! Messages in: what is published to the channels of Redis servers becomes work for components.
//!
//! There is one connection for each server (`plan`), which is made again for as long as the host serves (`keep`, `outage`).
//! A message waits for its place among the requests in flight before the next one is read, so what is not handled yet waits
//! at the server; then it is an invocation as a request is (`delivery`).

mod brokers;
mod delivery;
mod keep;
mod outage;
mod plan;

use crate::admin::application::RouteView;
use crate::reach::Node;
use crate::reach::reach;
use bobbin_databases::redis::Address;
use bobbin_runtime::{Call, Calls, Listener, Message, Unhandled};
use futures::future::BoxFuture;
use std::sync::Arc;

pub(crate) use brokers::{Brokers, Standing, Unsubscribed};
pub(crate) use keep::keep_subscribed;
pub(crate) use plan::{Plan, plans};

/// Handles messages. [`Listener`] is the real one; tests bring their own.
pub trait Listen: Send + Sync {
    /// Handles one. Dropping the future gives it up.
    fn handle(&self, call: Call<Message>) -> BoxFuture<'_, Result<(), Unhandled>>;
}

impl Listen for Listener {
    fn handle(&self, call: Call<Message>) -> BoxFuture<'_, Result<(), Unhandled>> {
        Box::pin(Self::handle(self, call))
    }
}

/// A trigger that runs a component for each message in a channel.
#[derive(Clone)]
pub struct Subscriber {
    /// Id of the trigger: the name of the route in metrics, and the one its releases go by.
    pub trigger_id: Arc<str>,
    /// The server.
    pub server: Arc<Address>,
    /// The channel.
    pub channel: Arc<str>,
    /// Id of the component.
    pub component: Arc<str>,
    /// The component, ready to handle messages.
    pub listener: Arc<dyn Listen>,
    /// Which parts of the application the component may ask.
    pub calls: Calls,
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { trigger_id, server, channel, .. } = self;
        let mut shown = f.debug_struct("Subscriber");
        shown.field("trigger_id", trigger_id).field("server", server).field("channel", channel).finish_non_exhaustive()
    }
}

/// A subscriber, and whom its component may reach.
#[derive(Debug)]
pub(crate) struct Subscribed {
    pub(crate) subscriber: Subscriber,
    /// The triggers whose components may be asked on behalf of a message.
    pub(crate) reaches: Vec<Arc<str>>,
}

impl Subscribed {
    /// `nodes` are the components that answer requests, and so calls.
    pub(crate) fn new(subscriber: Subscriber, nodes: &[Node<'_>]) -> Arc<Self> {
        let reaches = reach(nodes, &subscriber.calls);
        Arc::new(Self { subscriber, reaches })
    }

    /// As the admin API shows it.
    pub(crate) fn view(&self) -> RouteView {
        RouteView {
            trigger: Arc::clone(&self.subscriber.trigger_id),
            kind: "redis",
            path: Some(self.subscriber.channel.to_string()),
            component: Some(Arc::clone(&self.subscriber.component)),
            keys: "none",
        }
    }

    /// Whether it is for this one that a message has come.
    pub(crate) fn takes(&self, server: &Address, channel: &[u8]) -> bool {
        *self.subscriber.server == *server && self.subscriber.channel.as_bytes() == channel
    }
}
