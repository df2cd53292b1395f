//! What happens to versions and releases, told to whoever listens. A bounded memory lets a listener that was away
//! continue; one that is too slow hears how much it missed, and holds nobody up.

use crate::status::State;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::broadcast;

/// Events that are remembered, and that a listener may be behind: some hundred kilobytes.
const REMEMBERED: usize = 1024;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Counts up from 1 since the host started.
    pub id: u64,
    /// `version`, `progress`, `change`, `release`, `bundle` or `drain`.
    pub kind: &'static str,
    /// One line of JSON.
    pub data: String,
}

/// What a listener gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Something happened.
    Event(Arc<Event>),
    /// So many events came too fast, and are lost to this listener.
    Lagged(u64),
}

/// A time as the API writes it: RFC 3339, UTC, to the millisecond.
#[must_use]
pub(crate) fn timestamp(at: SystemTime) -> String {
    humantime::format_rfc3339_millis(at).to_string()
}

/// What can happen, in the API's shape but for `at`, which every event has.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(crate) enum Happening<'a> {
    Version {
        bundle: &'a str,
        class: bobbin_inference::Class,
        state: State,
        reason: Option<&'a str>,
    },
    Progress {
        bundle: &'a str,
        path: &'a str,
        done: u64,
        total: u64,
    },
    Change {
        release: String,
        expected_generation: u64,
        step: &'static str,
        bundle: Option<&'a str>,
        who: &'a str,
        why: Option<&'a str>,
        code: Option<&'static str>,
        reason: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        generation: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        flip_us: Option<f64>,
    },
    Release {
        release: String,
        #[serde(flatten)]
        change: &'a crate::view::ChangeView,
    },
    Bundle {
        bundle: &'a str,
        event: &'static str,
        reason: Option<&'a str>,
    },
    Drain {
        release: String,
        bundle: &'a str,
        event: &'static str,
        leases: usize,
    },
}

impl Happening<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::Version { .. } => "version",
            Self::Progress { .. } => "progress",
            Self::Change { .. } => "change",
            Self::Release { .. } => "release",
            Self::Bundle { .. } => "bundle",
            Self::Drain { .. } => "drain",
        }
    }
}

/// Where events are published.
#[derive(Debug)]
pub(crate) struct Hub {
    memory: Mutex<Memory>,
    listeners: broadcast::Sender<Arc<Event>>,
}

#[derive(Debug, Default)]
struct Memory {
    last: u64,
    events: VecDeque<Arc<Event>>,
}

impl Hub {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { memory: Mutex::default(), listeners: broadcast::Sender::new(REMEMBERED) })
    }

    pub(crate) fn tell(&self, happening: &Happening<'_>) {
        let data = match serde_json::to_value(happening) {
            Ok(mut data) => {
                if let Some(data) = data.as_object_mut() {
                    // A generation has a time of its own.
                    data.entry("at").or_insert_with(|| timestamp(SystemTime::now()).into());
                }
                data.to_string()
            }
            Err(error) => {
                tracing::error!(%error, ?happening, "an event could not be written");
                return;
            }
        };
        // Under one lock, so that listeners see events in the order of their numbers.
        let mut memory = self.memory.lock();
        memory.last += 1;
        let event = Arc::new(Event { id: memory.last, kind: happening.kind(), data });
        if memory.events.len() == REMEMBERED {
            memory.events.pop_front();
        }
        memory.events.push_back(Arc::clone(&event));
        // Nobody may be listening.
        let _ = self.listeners.send(event);
    }

    /// Listens from now on; or first to what came after `after`, as far as it is remembered.
    pub(crate) fn subscribe(&self, after: Option<u64>) -> Subscription {
        let memory = self.memory.lock();
        let live = self.listeners.subscribe();
        // A number from before the host's start is ahead of ours: everything that is remembered is news.
        let after = after.map(|after| if after > memory.last { 0 } else { after });
        let mut missed = 0;
        let past = after.map_or_else(VecDeque::new, |after| {
            let oldest = memory.events.front().map_or(memory.last + 1, |event| event.id);
            missed = oldest.saturating_sub(after + 1);
            memory.events.iter().filter(|event| event.id > after).cloned().collect()
        });
        Subscription { missed, past, live }
    }
}

/// One listener.
#[derive(Debug)]
pub struct Subscription {
    missed: u64,
    past: VecDeque<Arc<Event>>,
    live: broadcast::Receiver<Arc<Event>>,
}

impl Subscription {
    /// The next event; `None` once the host's releases are gone. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Delivery> {
        if self.missed > 0 {
            return Some(Delivery::Lagged(std::mem::take(&mut self.missed)));
        }
        if let Some(event) = self.past.pop_front() {
            return Some(Delivery::Event(event));
        }
        match self.live.recv().await {
            Ok(event) => Some(Delivery::Event(event)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Delivery::Lagged(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;

    fn happened(hub: &Hub, bundle: &str) {
        hub.tell(&Happening::Bundle { bundle, event: "appeared", reason: None });
    }

    fn now(subscription: &mut Subscription) -> Option<Delivery> {
        subscription.next().now_or_never().flatten()
    }

    fn id(delivery: Option<Delivery>) -> u64 {
        match delivery {
            Some(Delivery::Event(event)) => event.id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_listener_hears_what_comes_and_what_it_missed() {
        let hub = Hub::new();
        happened(&hub, "s@1.0.0");
        let mut from_now = hub.subscribe(None);
        let mut from_the_start = hub.subscribe(Some(0));
        happened(&hub, "s@1.1.0");
        assert_eq!(id(now(&mut from_now)), 2);
        assert_eq!([id(now(&mut from_the_start)), id(now(&mut from_the_start))], [1, 2]);
        assert_eq!(now(&mut from_the_start), None);
        assert_eq!(id(now(&mut hub.subscribe(Some(99)))), 1, "another host's number");
    }

    #[test]
    fn an_event_is_one_line_of_json_in_the_apis_shape() {
        let hub = Hub::new();
        hub.tell(&Happening::Bundle { bundle: "s@1.0.0", event: "refused", reason: Some("two\nlines") });
        let Some(Delivery::Event(event)) = now(&mut hub.subscribe(Some(0))) else { panic!("no event") };
        assert!(!event.data.contains('\n'));
        let mut data: serde_json::Value = serde_json::from_str(&event.data).unwrap();
        assert!(data["at"].as_str().unwrap().ends_with('Z'));
        data.as_object_mut().unwrap().remove("at");
        let expected = serde_json::json!({"bundle": "s@1.0.0", "event": "refused", "reason": "two\nlines"});
        assert_eq!((event.kind, data), ("bundle", expected));
    }

    #[test]
    fn who_is_too_slow_or_too_late_is_told_so() {
        let hub = Hub::new();
        let mut slow = hub.subscribe(None);
        (0..REMEMBERED + 10).for_each(|_| happened(&hub, "s@1.0.0"));
        assert_eq!(now(&mut slow), Some(Delivery::Lagged(10)));
        let mut late = hub.subscribe(Some(5));
        assert_eq!(now(&mut late), Some(Delivery::Lagged(5)));
        assert_eq!(id(now(&mut late)), 11);
    }
}
