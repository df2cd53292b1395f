//! `GET /admin/v1/events`: what happens to versions and releases, as server-sent events.
//!
//! Nothing is queued here. The connection pulls one event at a time when it has room for it; a subscriber that does
//! not read stays behind in the releases' own bounded memory, is told how much it missed, and is dropped in the end.

use crate::connection::Held;
use crate::problem::Problem;
use bobbin_release::{Delivery, Subscription};
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt, unfold};
use http::header::{HeaderMap, HeaderName};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

/// Clients that may follow at once.
pub(super) const SUBSCRIBERS: usize = 64;

/// After this much silence a comment is sent: proxies close connections that say nothing, and a client that is gone
/// is only noticed by writing to it.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// A subscriber that has taken nothing for so many times [`KEEP_ALIVE`] does not read.
const PATIENCE: u32 = 4;

pub(super) const COMMENT: Bytes = Bytes::from_static(b":\n\n");

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The last event that the client has: from the header that browsers send when they come again, or from the query.
pub(super) fn after(headers: &HeaderMap, query: Option<&str>) -> Result<Option<u64>, Problem> {
    let asked = super::edit::ask(query, "after")?;
    if let Some(header) = headers.get(LAST_EVENT_ID) {
        let number = header.to_str().ok().and_then(|text| text.trim().parse().ok());
        let why = "give the number of an event, or leave it out to begin with what happens next";
        return number.map(Some).ok_or_else(|| Problem::invalid_header(LAST_EVENT_ID.as_str(), why));
    }
    let number = |text: &str| {
        let why = || Problem::invalid_query(&format!("\"after\" is {text:?}; give the number of an event"));
        text.parse().map_err(|_not_a_number| why())
    };
    asked.map(number).transpose()
}

/// One client that follows.
pub(super) struct Subscriber {
    pub(super) subscription: Subscription,
    /// Cancelled when the listener closes.
    pub(super) closing: CancellationToken,
    pub(super) keep_alive: Duration,
    /// Its connection, told whenever it takes something.
    pub(super) held: Held,
    /// One of the [`SUBSCRIBERS`].
    pub(super) _place: OwnedSemaphorePermit,
}

/// What one client gets.
pub(crate) struct Stream(BoxStream<'static, Bytes>);

impl Stream {
    /// Any pieces, which tell the connection themselves by when they must be taken.
    pub(super) fn of(pieces: BoxStream<'static, Bytes>) -> Self {
        Self(pieces)
    }

    pub(super) fn new(subscriber: Subscriber) -> Self {
        // A comment at once: the client learns that it follows, whenever the first event comes.
        let opening = futures::stream::iter([COMMENT]);
        let events = unfold(subscriber, |mut subscriber| async move {
            subscriber.held.read_by(Instant::now() + subscriber.keep_alive * PATIENCE);
            let piece = subscriber.next().await?;
            Some((piece, subscriber))
        });
        Self(opening.chain(events).boxed())
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.0.poll_next_unpin(cx)
    }
}

impl Subscriber {
    async fn next(&mut self) -> Option<Bytes> {
        tokio::select! {
            biased;
            delivery = self.subscription.next() => delivery.map(|delivery| written(&delivery)),
            () = self.closing.cancelled() => None,
            () = tokio::time::sleep(self.keep_alive) => Some(COMMENT),
        }
    }
}

fn written(delivery: &Delivery) -> Bytes {
    match delivery {
        // The data is one line of JSON.
        Delivery::Event(event) => format!("id: {}\nevent: {}\ndata: {}\n\n", event.id, event.kind, event.data),
        // Without an id: whoever comes again continues after the last event that it has.
        Delivery::Lagged(missed) => format!("event: lagged\ndata: {{\"missed\":{missed}}}\n\n"),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Metrics;
    use crate::connection::Connection;
    use crate::tests::workshop::Bench;
    use bobbin_release::{Releases, Store};
    use http::HeaderValue;
    use std::future::poll_fn;
    use std::net::SocketAddr;
    use std::sync::Arc;
    use tokio::sync::Semaphore;

    #[test]
    fn a_client_continues_after_the_header_or_after_the_query() {
        let none = HeaderMap::new();
        let header: HeaderMap = [(LAST_EVENT_ID, HeaderValue::from_static("7"))].into_iter().collect();
        assert_eq!(after(&none, None).unwrap(), None);
        assert_eq!(after(&none, Some("after=0")).unwrap(), Some(0));
        assert_eq!(after(&header, None).unwrap(), Some(7));
        assert_eq!(after(&header, Some("after=3")).unwrap(), Some(7), "a browser repeats its first address");
        for bad in ["after=", "after=x", "after=-1", "since=1"] {
            assert_eq!(after(&none, Some(bad)).unwrap_err().code, "invalid_query", "{bad}");
        }
        let header: HeaderMap = [(LAST_EVENT_ID, HeaderValue::from_static("x"))].into_iter().collect();
        assert_eq!(after(&header, None).unwrap_err().code, "invalid_header");
    }

    #[tokio::test]
    async fn silence_is_broken_by_comments_until_the_listener_closes() {
        let state = tempfile::tempdir().unwrap();
        let store = Store::open(state.path()).unwrap();
        let recorder = Arc::new(Metrics::new("1.2.3"));
        let releases = Releases::open(store, Bench::new(), recorder, Vec::new()).unwrap().releases;
        let closing = CancellationToken::new();
        let mut stream = Stream::new(Subscriber {
            subscription: releases.subscribe(None),
            closing: closing.clone(),
            keep_alive: Duration::from_millis(1),
            held: Connection::new(SocketAddr::from(([127, 0, 0, 1], 1)), false, &closing).hold(),
            _place: Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap(),
        });
        for _ in 0..3 {
            assert_eq!(poll_fn(|cx| stream.poll(cx)).await, Some(COMMENT));
        }
        closing.cancel();
        assert_eq!(poll_fn(|cx| stream.poll(cx)).await, None);
    }
}
