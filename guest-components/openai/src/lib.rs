//! OpenAI's API on the models of this application: `GET /v1/models`, `GET /v1/models/{id}`,
//! `POST /v1/chat/completions`, `POST /v1/completions` and `POST /v1/embeddings`.
//!
//! `docs/openai.md` says what becomes of each field. It may be mounted under any route that ends in `/...`, on several with
//! different releases, or behind middleware. Who may ask, and how often, is for the host to say, before it runs.
//!
//! What a request means and how answers are written is decided without any I/O, in the modules below; this one and
//! `generation` talk to the host.

mod chat;
mod chunks;
mod completion;
mod embedding;
mod fields;
mod format;
mod generation;
mod head;
mod logprobs;
mod messages;
mod models;
mod refusal;
mod sampling;
mod tools;
mod whole;

use bobbin_wasi_nn::http::{self, Response};
use bobbin_wasi_nn::{Error, ErrorCode, Graph, Piece, catalog, sse};
use chat::Chat;
use chunks::{Chunks, Form, Place};
use completion::Completion;
use embedding::Embed;
use generation::{Generation, Input};
use head::Head;
use refusal::{Fields, Refusal};
use serde::Serialize;
use spin_sdk::http::body::IncomingBodyExt;
use spin_sdk::http::{Method, Request, Result};
use spin_sdk::http_service;
use spin_sdk::wasip3::http::types::ErrorCode as HttpError;
use spin_sdk::wasip3::random::random::get_random_u64;
use std::time::{SystemTime, UNIX_EPOCH};

const CHAT: &str = "/chat/completions";
const COMPLETIONS: &str = "/completions";
const EMBEDDINGS: &str = "/embeddings";
const MODELS: &str = "/models";
/// For people who lost their way.
const SERVED: [&str; 5] = [MODELS, "/models/{id}", CHAT, COMPLETIONS, EMBEDDINGS];

/// What a request comes to, if not to an answer.
enum Stop {
    Refused(Refusal),
    /// The connection, or the host, failed: there is nobody to tell.
    Broken(spin_sdk::http::Error),
}

type Served = std::result::Result<Response, Stop>;

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<spin_sdk::http::Error> for Stop {
    fn from(error: spin_sdk::http::Error) -> Self {
        Self::Broken(error)
    }
}

#[http_service]
async fn serve(request: Request) -> Result<Response> {
    match answer(request).await {
        Ok(response) => Ok(response),
        Err(Stop::Refused(refusal)) => refused(&refusal),
        Err(Stop::Broken(error)) => Err(error),
    }
}

async fn answer(request: Request) -> Served {
    let (method, path) = (request.method().clone(), path(&request));
    // Of an answer to HEAD the host sends the head alone.
    let (get, post) = (method == Method::GET || method == Method::HEAD, method == Method::POST);
    let told = |allow| Err(Refusal::no_method(method.as_str(), &path, allow).into());
    match path.as_str() {
        CHAT if post => chat(&body(request).await?),
        COMPLETIONS if post => completions(&body(request).await?),
        EMBEDDINGS if post => embeddings(&body(request).await?),
        CHAT | COMPLETIONS | EMBEDDINGS => told("POST"),
        MODELS if get => json(&models::list(&catalog::list())),
        MODELS => told("GET, HEAD"),
        other => match other.strip_prefix("/models/") {
            Some(id) if get => model(id),
            Some(_) => told("GET, HEAD"),
            None => Err(Refusal::no_path(method.as_str(), &path, &SERVED).into()),
        },
    }
}

/// What of the request's path is behind the route that this component is mounted on.
fn path(request: &Request) -> String {
    let info = request.headers().get("spin-path-info").and_then(|path| path.to_str().ok());
    let path = info.unwrap_or_else(|| request.uri().path());
    path.trim_end_matches('/').to_owned()
}

async fn body(request: Request) -> std::result::Result<Vec<u8>, Stop> {
    match request.into_body().bytes().await {
        Ok(body) => Ok(body.into()),
        Err(HttpError::HttpRequestBodySize(limit)) => {
            let limit = limit.map_or_else(String::new, |bytes| format!(" of {bytes} bytes"));
            Err(Refusal::too_large(format!("the body of the request is over the limit{limit}; send less")).into())
        }
        Err(code) => Err(Stop::Broken(code.into())),
    }
}

fn model(path: &str) -> Served {
    let id = models::id(path).unwrap_or_else(|| path.to_owned());
    match models::one(&catalog::list(), &id) {
        Some(model) => json(&model),
        None => Err(Refusal::no_model(&id).into()),
    }
}

fn chat(body: &[u8]) -> Served {
    let Chat { model, messages, tools, sampling, logprobs, fields } = Chat::read(body)?;
    // Without a template nothing would tell the model of the functions.
    let plain = tools.is_none().then_some(messages.plain);
    let input = Input::Chat { messages: messages.chat, tools: tools.map(|tools| tools.functions), plain };
    let (stream, asked) = (sampling.stream, Asked { model, fields });
    let generation = Generation::new(&asked.model, input, sampling).map_err(|error| asked.refusal(&error))?;
    if let Some(stream) = stream {
        let chunks = Chunks::new(Form::Chat, head("chatcmpl", "chat.completion.chunk"), stream.usage, logprobs);
        return streamed(generation, chunks, asked);
    }
    let answers = generation.whole().map_err(|error| asked.refusal(&error))?;
    json(&whole::chat(&mut head("chatcmpl", "chat.completion"), &answers, logprobs))
}

fn completions(body: &[u8]) -> Served {
    let Completion { model, prompts, echo, sampling, logprobs } = Completion::read(body)?;
    let echo = echo.then(|| prompts.clone());
    let (stream, each) = (sampling.stream, sampling.choices as usize);
    let asked = Asked { model, fields: Completion::FIELDS };
    let generation =
        Generation::new(&asked.model, Input::Texts(prompts), sampling).map_err(|error| asked.refusal(&error))?;
    let mut head = head("cmpl", "text_completion");
    if let Some(stream) = stream {
        return streamed(generation, Chunks::new(Form::Completion { echo }, head, stream.usage, logprobs), asked);
    }
    let answers = generation.whole().map_err(|error| asked.refusal(&error))?;
    json(&whole::completion(&mut head, &answers, each, echo.as_deref(), logprobs))
}

fn embeddings(body: &[u8]) -> Served {
    let Embed { model, texts, dimensions, base64 } = Embed::read(body)?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let embeddings = Graph::load(&model).and_then(|graph| graph.session()?.embed(&texts, dimensions));
    let embeddings = embeddings.map_err(|error| Asked { model, fields: Embed::FIELDS }.refusal(&error))?;
    json(&embedding::Answer::new(embeddings, base64))
}

/// What a request asked for, so that what fails later is told in its terms.
struct Asked {
    model: String,
    fields: Fields,
}

impl Asked {
    fn refusal(&self, error: &Error) -> Refusal {
        let other_kind = (error.code == ErrorCode::UnsupportedOperation).then(|| self.other_kind()).flatten();
        other_kind.unwrap_or_else(|| Refusal::of_host(error, &self.model, self.fields))
    }

    /// The host says only that the model does not do this.
    fn other_kind(&self) -> Option<Refusal> {
        let models = catalog::list();
        let model = models.iter().find(|model| model.name == self.model)?;
        Refusal::of_kind(&model.name, model.kind, self.fields)
    }
}

/// An answer in server-sent events. Each piece is made when the client has taken the one before. One that fails ends the
/// events with an error, and without `[DONE]`.
fn streamed(generation: Generation, mut chunks: Chunks, asked: Asked) -> Served {
    let pieces = generation.pieces().map_err(|error| asked.refusal(&error))?;
    // What comes after the last piece is not known to be the end before it is asked for.
    let pieces = pieces.map(Some).chain(std::iter::once(None));
    let mut broken = false;
    let events = pieces.map(move |piece: Option<std::result::Result<(Place, Piece), Error>>| match piece {
        Some(Ok((place, piece))) => chunks.piece(place, &piece).iter().map(sse::event).collect(),
        Some(Err(error)) => {
            broken = true;
            sse::event(&asked.refusal(&error).to_json())
        }
        None if broken => String::new(),
        None => chunks.end().iter().map(sse::event).chain([DONE.to_owned()]).collect(),
    });
    Ok(http::streamed("text/event-stream", events)?)
}

const DONE: &str = "data: [DONE]\n\n";

/// The beginning of an answer, now.
fn head(kind: &str, object: &'static str) -> Head {
    let random = u128::from(get_random_u64()) << 64 | u128::from(get_random_u64());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    Head::new(kind, object, random, now)
}

fn json(value: &impl Serialize) -> Served {
    Ok(http::json(value)?)
}

fn refused(refusal: &Refusal) -> Result<Response> {
    let retry = refusal.retry_after.map(|seconds| seconds.to_string());
    let mut headers = Vec::new();
    headers.extend(retry.as_deref().map(|seconds| ("retry-after", seconds)));
    headers.extend(refusal.allow.map(|methods| ("allow", methods)));
    http::json_with_headers(refusal.status, &headers, &refusal.to_json())
}
