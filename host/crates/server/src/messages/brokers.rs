//! Which servers send what is published to the channels of an application, and why the others do not: what readiness tells.

use super::{Plan, Subscribed};
use parking_lot::Mutex;
use std::sync::Arc;

/// The connections that are kept, and how they stand.
#[derive(Debug, Default)]
pub(crate) struct Brokers(Mutex<Vec<Known>>);

#[derive(Debug)]
struct Known {
    /// Tells it from another one with the same plan, which may come before this one has ended.
    number: u64,
    plan: Plan,
    standing: Standing,
}

/// A connection that is kept. Once this is dropped, nothing is known of it any more.
#[derive(Debug)]
pub(super) struct Kept {
    brokers: Arc<Brokers>,
    number: u64,
}

/// How a connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It has never been subscribed on yet; why not, once that is known.
    Connecting(Option<String>),
    /// Messages come.
    Subscribed,
    /// They came once; why no more do.
    Lost(String),
}

/// A trigger that no message comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unsubscribed {
    pub(crate) trigger: Arc<str>,
    /// The server, without who asks it.
    pub(crate) server: String,
    pub(crate) channel: Arc<str>,
    pub(crate) standing: Standing,
}

impl Unsubscribed {
    /// Whether the host has never been able to do what it was started for. Later, what a server does is no reason to take
    /// requests from a host that answers them.
    pub(crate) fn is_unready(&self) -> bool {
        matches!(self.standing, Standing::Connecting(_))
    }
}

impl Brokers {
    /// A connection for this plan is kept from now on.
    pub(super) fn keep(self: &Arc<Self>, plan: &Plan) -> Kept {
        let mut known = self.0.lock();
        let number = known.last().map_or(0, |last| last.number + 1);
        known.push(Known { number, plan: plan.clone(), standing: Standing::Connecting(None) });
        Kept { brokers: Arc::clone(self), number }
    }

    /// Those of these triggers that no message comes to, in their order.
    pub(crate) fn unsubscribed(&self, all: &[Arc<Subscribed>]) -> Vec<Unsubscribed> {
        let known = self.0.lock();
        let of = |one: &Arc<Subscribed>| {
            let subscriber = &one.subscriber;
            let serves = |plan: &Plan| plan.server == subscriber.server && plan.channels.contains(&subscriber.channel);
            // One that has just lost its purpose may not have ended yet.
            let last = known.iter().rfind(|one| serves(&one.plan));
            let standing = last.map_or(Standing::Connecting(None), |one| one.standing.clone());
            let (trigger, channel) = (Arc::clone(&subscriber.trigger_id), Arc::clone(&subscriber.channel));
            let server = subscriber.server.server();
            (standing != Standing::Subscribed).then_some(Unsubscribed { trigger, server, channel, standing })
        };
        all.iter().filter_map(of).collect()
    }
}

impl Kept {
    /// The server sends messages from now on.
    pub(super) fn subscribed(&self) {
        self.change(|_| Standing::Subscribed);
    }

    /// The server does not send any, for this reason.
    pub(super) fn failed(&self, why: &str) {
        self.change(|before| match before {
            Standing::Connecting(_) => Standing::Connecting(Some(why.to_owned())),
            Standing::Subscribed | Standing::Lost(_) => Standing::Lost(why.to_owned()),
        });
    }

    /// Nobody needs it any more. Tells whether another connection to the same server sends messages.
    pub(super) fn end(self, plan: &Plan) -> bool {
        let brokers = Arc::clone(&self.brokers);
        drop(self);
        let known = brokers.0.lock();
        known.iter().any(|one| one.plan.server == plan.server && one.standing == Standing::Subscribed)
    }

    fn change(&self, change: impl FnOnce(&Standing) -> Standing) {
        if let Some(one) = self.brokers.0.lock().iter_mut().find(|one| one.number == self.number) {
            one.standing = change(&one.standing);
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.brokers.0.lock().retain(|one| one.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::tests::subscribed;
    use super::super::plans;
    use super::*;

    #[test]
    fn a_trigger_is_told_until_its_messages_come_and_again_when_they_stop() {
        let all = [subscribed("redis://:hunter2@a", "x"), subscribed("redis://b", "y")];
        let brokers = Arc::<Brokers>::default();
        let told = || {
            let shown = |one: &Unsubscribed| (one.server.clone(), one.channel.to_string(), one.standing.clone());
            brokers.unsubscribed(&all).iter().map(shown).collect::<Vec<_>>()
        };
        let (a, b) = (("redis://a:6379".to_owned(), "x".to_owned()), ("redis://b:6379".to_owned(), "y".to_owned()));
        let of = |(server, channel): &(String, String), standing| (server.clone(), channel.clone(), standing);
        let connecting = |why: Option<&str>| Standing::Connecting(why.map(str::to_owned));
        assert_eq!(told(), [of(&a, connecting(None)), of(&b, connecting(None))]);
        let kept: Vec<Kept> = plans(&all).iter().map(|plan| brokers.keep(plan)).collect();
        kept[1].subscribed();
        kept[0].failed("refused");
        assert_eq!(told(), [of(&a, connecting(Some("refused")))]);
        assert!(brokers.unsubscribed(&all).iter().all(Unsubscribed::is_unready));
        kept[0].subscribed();
        assert_eq!(told(), []);
        for why in ["broke", "refused"] {
            kept[1].failed(why);
            assert_eq!(told(), [of(&b, Standing::Lost(why.into()))]);
        }
        assert!(!brokers.unsubscribed(&all).iter().any(Unsubscribed::is_unready));
        // Another connection to the same server has never been there, and what the old one says at its end is not its word.
        let next = brokers.keep(&plans(&all)[1]);
        kept[1].failed("stopped");
        assert_eq!(told(), [of(&b, connecting(None))]);
        next.subscribed();
        let [first, second]: [Kept; 2] = kept.try_into().unwrap();
        assert!(second.end(&plans(&all)[1]), "the next one is there");
        assert!(!first.end(&plans(&all)[0]));
        assert_eq!(told(), [of(&a, connecting(None))]);
    }
}
