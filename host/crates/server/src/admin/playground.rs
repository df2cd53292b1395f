//! `POST /admin/v1/playground`: a prompt, tried out on one version that is live, as server-sent events.
//!
//! It takes a place among the requests in flight, goes through the worker's scheduler beside everybody else's, and leaves
//! an inference record, under a route of its own: what an operator tries out is in no route's numbers. Its prefixes are
//! shared with nobody's.

use super::answer::{AdminBody, Answer};
use super::edit;
use super::events::{KEEP_ALIVE, Stream};
use super::{Admin, Asked};
use crate::admission::Permit;
use crate::connection::Held;
use crate::problem::Problem;
use bobbin_inference::{
    Charge, ErrorKind, Generated, GraphInfo, GraphKind, InferenceError, OptionsPatch, Output, Prompt, Reason,
    RequestContext, Session, Work,
};
use bobbin_release::{Pinned, Releases};
use bytes::Bytes;
use futures::stream::{StreamExt, unfold};
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Prompts at once: an operator compares two, and there are not many operators.
pub(super) const PLACES: usize = 8;

/// The route that the metrics and the worker know these prompts by.
pub(crate) const ROUTE: &str = "admin:playground";

/// A client that has taken nothing for so many times [`KEEP_ALIVE`] does not read.
const PATIENCE: u32 = 4;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with release")]
struct Body {
    release: String,
    /// Stable where none is named.
    bundle: Option<String>,
    prompt: Option<String>,
    messages: Option<Vec<Map<String, Value>>>,
    options: Option<Map<String, Value>>,
}

/// What is asked of the model, as far as it is known without the model.
#[derive(Debug)]
struct Wanted {
    prompt: Prompt,
    options: OptionsPatch,
}

/// A prompt on its way through a model.
struct Trial {
    context: Arc<RequestContext>,
    session: Box<dyn Session>,
    work: Work,
    _charge: Charge,
    _permit: Permit,
    _place: OwnedSemaphorePermit,
}

/// A client that reads the answer.
struct Reader {
    pieces: mpsc::Receiver<Bytes>,
    held: Held,
}

impl Admin {
    pub(super) async fn play(&self, asked: Asked<'_>, body: &mut Incoming) -> Result<Answer, Problem> {
        edit::nothing(asked.head.uri.query())?;
        let body = self.read(body).await?;
        let bytes = body.len() as u64;
        let body: Body = edit::read(&body, r#"{"release":"story","prompt":"Once upon a time"}"#)?;
        let (release, bundle) = (body.release.clone(), body.bundle.clone());
        let wanted = wanted(body)?;
        let pinned = pin(&self.releases, &release, bundle.as_deref())?;
        let place = Arc::clone(&self.playground).try_acquire_owned();
        let place = place.map_err(|_all_taken| Problem::playground_full(PLACES))?;
        let permit = self.admission.admit().ok_or_else(|| Problem::over_capacity(self.admission.limit()))?;
        let context = Arc::new((self.outside.context)(asked.id.clone()));
        let charge = context.account.charge(bytes).map_err(|over| Problem::invalid_prompt(&over.to_string()))?;
        let (session, graph) = pinned.open(&context).map_err(|error| unusable(&error))?;
        let work = work(wanted, &graph).map_err(|error| unusable(&error))?;
        tracing::info!(request_id = %asked.id, peer = %asked.peer, bundle = %graph.bundle, "a prompt is tried out");
        let trial = Trial { context, session, work, _charge: charge, _permit: permit, _place: place };
        let (told, pieces) = mpsc::channel(1);
        self.tasks.spawn(tell(trial, told, self.closing.clone()));
        let mut response = Response::new(AdminBody::Events(stream(Reader { pieces, held: asked.held })));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        Ok(response)
    }
}

/// Reads everything that does not depend on the model.
fn wanted(body: Body) -> Result<Wanted, Problem> {
    let refused = |why: &str| Problem::invalid_prompt(why);
    let prompt = match (body.prompt, body.messages) {
        (Some(prompt), None) => Prompt::Text(prompt),
        (None, Some(messages)) => {
            let messages = messages.into_iter().map(Value::Object).collect::<Value>().to_string();
            Prompt::Chat { messages, tools: None }
        }
        (None, None) => return Err(refused("there is nothing to answer; give a prompt, or messages")),
        (Some(_), Some(_)) => return Err(refused("a prompt and messages exclude each other; give one of them")),
    };
    let options = Value::Object(body.options.unwrap_or_default());
    let options = OptionsPatch::from_json(options.to_string().as_bytes()).map_err(|error| refused(&error.message))?;
    if options.logits == Some(true) || options.dimensions.is_some() || options.stream == Some(false) {
        return Err(refused("the playground streams text; leave out the options logits, dimensions and stream"));
    }
    Ok(Wanted { prompt, options: OptionsPatch { stream: Some(true), ..options } })
}

fn pin(releases: &Arc<Releases>, release: &str, bundle: Option<&str>) -> Result<Pinned, Problem> {
    let of_change = |error| Problem::of_change(&error);
    let id = releases.find(release).map_err(of_change)?;
    let bundle = match bundle {
        Some(bundle) => bundle.to_owned(),
        None => releases.view(&id).map_err(of_change)?.stable.bundle.to_string(),
    };
    releases.pin_version(&id, &bundle).ok_or_else(|| Problem::not_live(&id.to_string(), &bundle))
}

fn work(wanted: Wanted, graph: &GraphInfo) -> Result<Work, InferenceError> {
    match graph.kind {
        GraphKind::Generate => {
            Ok(Work::Generate { prompt: wanted.prompt, options: wanted.options.resolve(&graph.defaults)? })
        }
        GraphKind::Embed => {
            let message = format!("{} makes vectors; the playground is for models that write text", graph.bundle);
            Err(InferenceError::new(Reason::UnsupportedByModel, message))
        }
    }
}

/// Why nothing was computed. What goes wrong later is told in the stream.
fn unusable(error: &InferenceError) -> Problem {
    match error.kind {
        ErrorKind::InvalidArgument | ErrorKind::TooLarge | ErrorKind::UnsupportedOperation => {
            Problem::invalid_prompt(&error.message)
        }
        ErrorKind::InvalidEncoding
        | ErrorKind::Timeout
        | ErrorKind::RuntimeError
        | ErrorKind::NotFound
        | ErrorKind::Security
        | ErrorKind::Unknown => Problem::version_unavailable(&error.message),
    }
}

/// Computes for as long as somebody reads. One piece waits at most: a slow reader pauses its sequence.
async fn tell(trial: Trial, told: mpsc::Sender<Bytes>, closing: tokio_util::sync::CancellationToken) {
    let Trial { context, mut session, work, _charge, _permit, _place } = trial;
    let telling = async {
        let mut result = session.compute(work).await;
        loop {
            let (event, over) = match &result {
                Ok(Output::Generated(part)) => (piece(part), part.metadata.finish_reason.is_some()),
                Ok(_) => (failure(&InferenceError::new(Reason::Internal, "the worker answered with no text")), true),
                Err(error) => (failure(error), true),
            };
            if told.send(event).await.is_err() || over {
                return;
            }
            result = session.next().await;
        }
    };
    tokio::select! {
        biased;
        () = told.closed() => {}
        () = closing.cancelled() => {}
        () = telling => {}
    }
    context.cancel.cancel();
}

fn piece(part: &Generated) -> Bytes {
    event("piece", &json!({ "text": part.text, "metadata": part.metadata.to_json() }))
}

fn failure(error: &InferenceError) -> Bytes {
    event("error", &json!({ "code": error.reason.as_str(), "message": error.message, "retryable": error.retryable }))
}

/// The data is one line of JSON.
fn event(kind: &str, data: &Value) -> Bytes {
    format!("event: {kind}\ndata: {data}\n\n").into()
}

fn stream(reader: Reader) -> Stream {
    let pieces = unfold(reader, |mut reader| async move {
        reader.held.read_by(Instant::now() + KEEP_ALIVE * PATIENCE);
        tokio::select! {
            biased;
            piece = reader.pieces.recv() => piece.map(|piece| (piece, reader)),
            () = tokio::time::sleep(KEEP_ALIVE) => Some((super::events::COMMENT, reader)),
        }
    });
    Stream::of(pieces.boxed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Wanted, Problem> {
        wanted(edit::read(body.as_bytes(), "{}")?)
    }

    #[test]
    fn a_prompt_or_messages_are_taken_with_options() {
        let text = read(r#"{"release":"story","prompt":"Once","options":{"logprobs":true,"max_tokens":3}}"#).unwrap();
        assert_eq!(text.prompt, Prompt::Text("Once".into()));
        assert_eq!((text.options.stream, text.options.max_tokens), (Some(true), Some(3)));
        let chat = read(r#"{"release":"story","messages":[{"role":"user","content":"Hi"}]}"#).unwrap();
        assert!(matches!(chat.prompt, Prompt::Chat { .. }));
    }

    #[test]
    fn what_is_no_prompt_is_refused_by_name() {
        for (body, code, part) in [
            ("[]", "invalid_body", "expected an object"),
            ("{}", "invalid_body", "missing field `release`"),
            (r#"{"release":"s","promt":"x"}"#, "invalid_body", "unknown field `promt`"),
            (r#"{"release":"s","prompt":7}"#, "invalid_body", "expected a string"),
            (r#"{"release":"s","messages":["x"]}"#, "invalid_body", "expected a map"),
            (r#"{"release":"s"}"#, "invalid_prompt", "give a prompt, or messages"),
            (r#"{"release":"s","prompt":"x","messages":[]}"#, "invalid_prompt", "exclude each other"),
            (r#"{"release":"s","prompt":"x","options":{"n_ctx":1}}"#, "invalid_prompt", "unknown option \"n_ctx\""),
            (r#"{"release":"s","prompt":"x","options":{"seed":"a"}}"#, "invalid_prompt", "\"seed\""),
            (r#"{"release":"s","prompt":"x","options":{"logits":true}}"#, "invalid_prompt", "leave out"),
            (r#"{"release":"s","prompt":"x","options":{"stream":false}}"#, "invalid_prompt", "leave out"),
        ] {
            let problem = read(body).unwrap_err();
            assert_eq!(problem.code, code, "{body}: {}", problem.detail);
            assert!(problem.detail.contains(part), "{body}: {}", problem.detail);
        }
    }
}
