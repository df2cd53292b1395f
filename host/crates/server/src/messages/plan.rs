//! Which connections there have to be. Pure.

use super::Subscribed;
use bobbin_databases::redis::Address;
use std::collections::BTreeSet;
use std::sync::Arc;

/// One connection, and what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) server: Arc<Address>,
    pub(crate) channels: BTreeSet<Arc<str>>,
}

/// One connection for each server. A channel is subscribed to once, however many triggers it has.
pub(crate) fn plans(all: &[Arc<Subscribed>]) -> Vec<Plan> {
    let mut plans: Vec<Plan> = Vec::new();
    for subscriber in all.iter().map(|subscribed| &subscribed.subscriber) {
        let channel = Arc::clone(&subscriber.channel);
        match plans.iter_mut().find(|plan| plan.server == subscriber.server) {
            Some(plan) => {
                plan.channels.insert(channel);
            }
            None => plans.push(Plan { server: Arc::clone(&subscriber.server), channels: BTreeSet::from([channel]) }),
        }
    }
    plans
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Listen, Subscriber};
    use super::*;
    use bobbin_runtime::{Call, Calls, Message, Unhandled};
    use futures::future::BoxFuture;

    struct Nobody;

    impl Listen for Nobody {
        fn handle(&self, _call: Call<Message>) -> BoxFuture<'_, Result<(), Unhandled>> {
            Box::pin(async { Ok(()) })
        }
    }

    pub(in super::super) fn subscribed(server: &str, channel: &str) -> Arc<Subscribed> {
        let subscriber = Subscriber {
            trigger_id: "t".into(),
            server: Arc::new(Address::parse(server).unwrap()),
            channel: channel.into(),
            component: "c".into(),
            listener: Arc::new(Nobody),
            calls: Calls::default(),
        };
        Subscribed::new(subscriber, &[])
    }

    #[test]
    fn a_server_has_one_connection_and_each_channel_is_subscribed_to_once() {
        let all = [("redis://a", "x"), ("redis://b", "x"), ("redis://a", "y"), ("redis://a", "x")];
        let all: Vec<_> = all.iter().map(|(server, channel)| subscribed(server, channel)).collect();
        let channels = |plan: &Plan| plan.channels.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let shown: Vec<_> = plans(&all).iter().map(|plan| (plan.server.server(), channels(plan))).collect();
        let wanted = [("redis://a:6379", "x y"), ("redis://b:6379", "x")];
        assert_eq!(shown, wanted.map(|(server, channels)| (server.to_owned(), channels.to_owned())));
        assert!(all[0].takes(&Address::parse("redis://a").unwrap(), b"x"));
        assert!(!all[0].takes(&Address::parse("redis://a").unwrap(), b"y"));
        assert!(!all[0].takes(&Address::parse("redis://:other@a").unwrap(), b"x"));
    }
}
