//! Following what happens: `GET /admin/v1/events`.

use super::contract::Api;
use super::host::{Host, piece, send};
use bobbin_release::Sighting;
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};

const PATH: &str = "/admin/v1/releases/story";

/// A server-sent event.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: Option<u64>,
    kind: String,
    data: Value,
}

/// Reads events off a response.
struct Reader {
    body: Incoming,
    text: String,
}

impl Reader {
    async fn open(host: &Host, api: &Api, query: &str, last: Option<u64>) -> Self {
        Self::of(Self::respond(host, api, query, last).await)
    }

    async fn respond(host: &Host, api: &Api, query: &str, last: Option<u64>) -> Response<Incoming> {
        let request = api.builder("GET", &format!("/admin/v1/events{query}"));
        let request = last.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        send(host.admin, request.body(Full::default()).unwrap()).await
    }

    fn of(response: Response<Incoming>) -> Self {
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { body: response.into_body(), text: String::new() }
    }

    /// The next block, which may be a comment; `None` at the clean end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                return Some(std::mem::replace(&mut self.text, rest));
            }
            let piece = piece(&mut self.body).await?.unwrap();
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// The next event; `None` at the clean end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let block = self.block().await?;
            if block.starts_with(':') {
                continue;
            }
            let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            return Some(Event {
                id: field("id: ").map(|id| id.parse().unwrap()),
                kind: field("event: ").unwrap(),
                data: serde_json::from_str(&field("data: ").unwrap()).unwrap(),
            });
        }
    }

    /// Events up to the one that a change of a release ends with.
    async fn until_generation(&mut self, generation: u64) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await.unwrap();
            let found = event.kind == "release" && event.data["generation"] == generation;
            events.push(event);
            if found {
                return events;
            }
        }
    }
}

async fn host() -> Host {
    Host::builder().release("http:/story:tales", "story", "storyteller@1.0.0").alive().start().await
}

async fn swap(api: &Api, generation: u64, bundle: &str) {
    let body = json!({"expected_generation": generation, "stable": bundle}).to_string();
    let got = api.call("PUT", &format!("{PATH}?wait=ready"), &body).await;
    assert_eq!(got.status, StatusCode::OK, "{}", got.body);
}

#[tokio::test]
async fn a_change_is_told_step_by_step_in_the_contracts_shape() {
    let host = host().await;
    let api = Api::new(&host).await;
    let mut reader = Reader::open(&host, &api, "", None).await;
    swap(&api, 1, "storyteller@1.1.0").await;
    let events = reader.until_generation(2).await;
    for event in &events {
        api.check_event(&event.kind, &event.data);
    }
    let ids: Vec<u64> = events.iter().map(|event| event.id.unwrap()).collect();
    assert!(ids.is_sorted_by(|a, b| a + 1 == *b), "{ids:?}");
    let steps: Vec<&str> =
        events.iter().filter(|event| event.kind == "change").filter_map(|event| event.data["step"].as_str()).collect();
    assert_eq!(steps.first(), Some(&"accepted"));
    assert_eq!(steps.last(), Some(&"committed"));
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert!(kinds.contains(&"progress") && kinds.contains(&"version"), "{kinds:?}");
}

#[tokio::test]
async fn a_client_that_comes_again_gets_what_it_missed_and_nothing_twice() {
    let host = host().await;
    let api = Api::new(&host).await;
    let all = Reader::open(&host, &api, "?after=0", None).await.until_start(&api).await;
    swap(&api, 1, "storyteller@1.1.0").await;
    let whole = Reader::open(&host, &api, "?after=0", None).await.until_generation(2).await;
    assert_eq!(whole[..all.len()], all);
    for seen in [1, all.len(), whole.len() - 1] {
        let last = whole[seen - 1].id;
        let by_header = Reader::open(&host, &api, "?after=0", last).await.until_generation(2).await;
        assert_eq!(by_header, whole[seen..], "after {last:?}");
        let query = format!("?after={}", last.unwrap());
        let by_query = Reader::open(&host, &api, &query, None).await.until_generation(2).await;
        assert_eq!(by_query, whole[seen..], "after {last:?}");
    }
}

impl Reader {
    /// Events up to the first of a version that is alive.
    async fn until_start(mut self, api: &Api) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await.unwrap();
            api.check_event(&event.kind, &event.data);
            let found = event.kind == "version" && event.data["state"] == "loading";
            events.push(event);
            if found {
                return events;
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_hears_how_much_it_missed_and_goes_on() {
    const MANY: u64 = 40_000;
    let host = host().await;
    let api = Api::new(&host).await;
    let mut reader = Reader::open(&host, &api, "", None).await;
    assert_eq!(reader.block().await.unwrap(), ":\n\n", "it follows from here on");
    for n in 0..MANY {
        host.releases.repository_changed(format!("story@0.0.{n}"), Sighting::Removed).await;
        // The connection is written to in between, until its buffers are full.
        tokio::task::yield_now().await;
    }
    let (mut next, mut missed) = (None, 0);
    loop {
        let event = reader.next().await.unwrap();
        if event.kind == "lagged" {
            api.check_event("lagged", &event.data);
            assert_eq!(event.id, None);
            missed += event.data["missed"].as_u64().unwrap();
            next = next.map(|next: u64| next + event.data["missed"].as_u64().unwrap());
            continue;
        }
        assert_eq!(event.id, next.or(event.id), "in order, but for what was missed");
        next = event.id.map(|id| id + 1);
        if event.data["bundle"] == format!("story@0.0.{}", MANY - 1) {
            break;
        }
    }
    assert!(missed > 0, "nothing was kept for it");
}

#[tokio::test]
async fn there_is_room_for_a_bounded_number_of_clients_and_a_place_comes_back() {
    let host = host().await;
    let api = Api::new(&host).await;
    let mut readers = Vec::new();
    for _ in 0..64 {
        readers.push(Reader::open(&host, &api, "", None).await);
    }
    let refused = api.get("/admin/v1/events").await;
    assert_eq!(refused.problem(), (503, "too_many_subscribers"));
    readers.pop();
    // The host hears of the end on a task of its own.
    while Reader::respond(&host, &api, "", None).await.status() != StatusCode::OK {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn numbers_that_are_none_are_refused() {
    let host = host().await;
    let api = Api::new(&host).await;
    assert_eq!(api.get("/admin/v1/events?after=x").await.problem(), (400, "invalid_query"));
    let request = api.builder("GET", "/admin/v1/events").header("last-event-id", "x").body(Full::default()).unwrap();
    assert_eq!(api.ask(request).await.problem(), (400, "invalid_header"));
}

#[tokio::test]
async fn the_stream_ends_cleanly_when_the_host_stops() {
    let host = host().await;
    let api = Api::new(&host).await;
    let mut reader = Reader::open(&host, &api, "", None).await;
    host.stop.cancel();
    assert_eq!(reader.next().await, None);
    host.served.await.unwrap();
}
