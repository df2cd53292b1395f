//! The load: clients that wait for each answer, look at it, and pause.

use crate::Soak;
use crate::answers::End;
use bobbin_tests::{Broken, Events, head, tell, whole};
use futures::future::join_all;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(20);
/// What a client is like, and how many there are of it.
const CLIENTS: [(Kind, u64); 7] = [
    (Kind::Stream, 3),
    (Kind::Whole, 2),
    (Kind::Schema, 1),
    (Kind::Similar, 2),
    (Kind::Hello, 2),
    (Kind::LeavesStream, 2),
    (Kind::LeavesEarly, 1),
];
const TEXTS: [&str; 4] =
    ["Where is my parcel?", "How do I bake bread?", "The weather is fine today.", "My invoice is wrong."];

#[derive(Debug, Clone, Copy)]
enum Kind {
    Stream,
    Whole,
    Schema,
    Similar,
    Hello,
    LeavesStream,
    LeavesEarly,
}

/// All of them, until a moment.
pub(crate) async fn all(soak: &Soak, until: Instant) {
    let clients = CLIENTS.iter().flat_map(|(kind, count)| (0..*count).map(|nth| client(soak, *kind, nth, until)));
    join_all(clients).await;
}

async fn client(soak: &Soak, kind: Kind, nth: u64, until: Instant) {
    let mut seed = nth * 10_000_000;
    while Instant::now() < until {
        seed += 1;
        let asked = Instant::now();
        let end = kind.ask(soak, seed).await.unwrap_or_else(End::Broken);
        soak.tally.count(kind.name(), end, soak.trouble.since(asked));
        tokio::time::sleep(PAUSE).await;
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Stream => "/story, streamed",
            Self::Whole => "/story, whole",
            Self::Schema => "/story, with a JSON schema",
            Self::Similar => "/similar",
            Self::Hello => "/hello",
            Self::LeavesStream => "/story, left in the middle",
            Self::LeavesEarly => "/story, left before the head",
        }
    }

    async fn ask(self, soak: &Soak, seed: u64) -> Result<End, Broken> {
        match self {
            Self::Stream => streamed(soak, seed).await,
            Self::Whole => in_one(soak, seed).await,
            Self::Schema => of_a_schema(soak, seed).await,
            Self::Similar => similar(soak, seed).await,
            Self::Hello => hello(soak).await,
            Self::LeavesStream => leaves_in_the_middle(soak, seed).await,
            Self::LeavesEarly => leaves_before_the_head(soak, seed).await,
        }
    }
}

fn story(soak: &Soak, ask: &Value) -> reqwest::RequestBuilder {
    soak.http.post(soak.host.url("/story")).body(ask.to_string())
}

/// Of any length, from a few tokens to nearly the whole context.
async fn streamed(soak: &Soak, seed: u64) -> Result<End, Broken> {
    let tokens = 8 + seed * 37 % 200;
    let ask = json!({"prompt": "Once upon a time", "max_tokens": tokens, "stream": true, "seed": seed});
    let story = tell(story(soak, &ask)).await?;
    Ok(same(&story.header, &story.usage, || story.text.clone()))
}

async fn in_one(soak: &Soak, seed: u64) -> Result<End, Broken> {
    let ask = json!({"prompt": "One day", "max_tokens": 8 + seed * 13 % 90, "seed": seed});
    let (header, body) = whole(story(soak, &ask)).await?;
    let Ok(answer) = serde_json::from_str::<Value>(&body) else { return Ok(End::Wrong(body)) };
    let bundle = answer.get("bundle").and_then(Value::as_str).unwrap_or_default();
    Ok(same(&header, bundle, || body.clone()))
}

/// The version in the header must be one, and the one in the answer.
fn same(header: &str, bundle: &str, what: impl Fn() -> String) -> End {
    if header.starts_with("storyteller@") && header == bundle {
        return End::Whole;
    }
    End::Wrong(format!("header {header:?}, answer {bundle:?}: {}", what()))
}

async fn of_a_schema(soak: &Soak, seed: u64) -> Result<End, Broken> {
    let schema = json!({
        "type": "object",
        "properties": {"who": {"enum": ["fox", "crab"]}, "old": {"type": "boolean"}},
        "required": ["who", "old"],
        "additionalProperties": false,
    });
    let ask = json!({"prompt": "A story in JSON: ", "max_tokens": 64, "json_schema": schema, "seed": seed});
    let (_, body) = whole(story(soak, &ask)).await?;
    let Ok(answer) = serde_json::from_str::<Value>(&body) else { return Ok(End::Wrong(body)) };
    let text = answer.get("text").and_then(Value::as_str).unwrap_or_default();
    let is = |value: &Value| {
        value.get("who").is_some_and(|who| who == "fox" || who == "crab")
            && value.get("old").is_some_and(Value::is_boolean)
    };
    // White space may fill an answer to its last token, which then is cut within its JSON.
    let cut = answer.get("finish_reason").and_then(Value::as_str) == Some("length");
    let obeys = cut || serde_json::from_str(text).is_ok_and(|value| is(&value));
    Ok(if obeys { End::Whole } else { End::Wrong(body) })
}

/// The text that is asked for is among the others, so nothing may be nearer.
async fn similar(soak: &Soak, seed: u64) -> Result<End, Broken> {
    let nth = usize::try_from(seed).unwrap_or_default() % TEXTS.len();
    let ask = json!({"text": TEXTS.get(nth), "among": TEXTS});
    let request = soak.http.post(soak.host.url("/similar")).body(ask.to_string());
    let (_, body) = whole(request).await?;
    let Ok(answer) = serde_json::from_str::<Value>(&body) else { return Ok(End::Wrong(body)) };
    let nearest = answer.pointer("/matches/0/index").and_then(Value::as_u64);
    Ok(if nearest == Some(nth as u64) { End::Whole } else { End::Wrong(body) })
}

async fn hello(soak: &Soak) -> Result<End, Broken> {
    let (_, body) = whole(soak.http.get(soak.host.url("/hello"))).await?;
    Ok(if body == "Hello from a component!\n" { End::Whole } else { End::Wrong(body) })
}

async fn leaves_in_the_middle(soak: &Soak, seed: u64) -> Result<End, Broken> {
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 240, "stream": true, "temperature": 1.5});
    let mut events = Events::new(head(story(soak, &ask)).await?.1);
    for _ in 0..seed * 7 % 60 {
        let Some(event) = events.next().await.map_err(|error| Broken::Truncated(format!("{error:#}")))? else {
            return Ok(End::Whole);
        };
        if event.starts_with("{\"error\"") {
            return Err(Broken::Error(event));
        }
    }
    Ok(End::Left)
}

/// Without "stream" the head comes with the whole answer.
async fn leaves_before_the_head(soak: &Soak, seed: u64) -> Result<End, Broken> {
    let ask = json!({"prompt": "Once upon a time", "max_tokens": 240, "temperature": 1.5});
    let patience = Duration::from_millis(seed * 3 % 40);
    match tokio::time::timeout(patience, whole(story(soak, &ask))).await {
        Ok(answer) => answer.map(|_| End::Whole),
        Err(_left) => Ok(End::Left),
    }
}
