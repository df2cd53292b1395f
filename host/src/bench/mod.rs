//! `bobbin bench ..`: a small load on a host or any other server, and what came of it. It is no benchmark of this
//! project (`cargo xtask bench` is): it says how one server on one network answers now.

mod answer;
mod args;
mod tally;

pub(crate) use args::{Bench, HELP};

use crate::alone::{given_up, interrupted};
use crate::failure::Failure;
use crate::release::{Exit, table};
use crate::terminal::{Bar, print, say};
use answer::Body;
use futures::StreamExt;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Client, Method, redirect};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tally::{Outcome, Spread, Summary, Tally};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// Outcomes that wait to be counted.
const WAITING: usize = 1024;
/// Characters of a reason, of which there are not many then.
const REASON: usize = 120;

/// Runs the load, and prints what came of it.
///
/// # Errors
/// Why not every request was answered well. For programs what was measured stands beside the error.
pub(crate) fn run(args: &Bench) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(bench(args))
}

async fn bench(args: &Bench) -> Result<ExitCode, Failure> {
    let load = Arc::new(Load::new(args)?);
    let cancel = interrupted()?;
    let mut bar = Bar::new(!args.json, "asking");
    let (count, mut outcomes) = mpsc::channel(WAITING);
    let (started, next) = (Instant::now(), Arc::new(AtomicU32::new(0)));
    let mut askers = JoinSet::new();
    for _ in 0..args.concurrency.min(args.requests) {
        let asker = Asker {
            load: Arc::clone(&load),
            next: Arc::clone(&next),
            until: started + args.at_most,
            cancel: cancel.clone(),
            count: count.clone(),
        };
        askers.spawn(asker.run());
    }
    drop(count);
    let mut tally = Tally::default();
    let mut done = 0_u32;
    while let Some(outcome) = outcomes.recv().await {
        tally.count(outcome);
        done += 1;
        bar.step(&format!("{done} of {} requests", args.requests));
    }
    while askers.join_next().await.is_some() {}
    let after = started.elapsed();
    drop(bar);
    let unreachable = tally.is_unreachable();
    let summary = tally.sum(after);
    if !args.json {
        print(&text(args, &summary));
    }
    let unasked = u64::from(args.requests).saturating_sub(summary.requests);
    if unasked > 0 && !cancel.is_cancelled() {
        say(format_args!("note: {unasked} requests were not made: --at-most was over"));
    }
    let failure = if cancel.is_cancelled() {
        given_up()
    } else if unreachable {
        let message =
            format!("nobody answers at {}; start a host with `bobbin up`, or correct the address", args.target);
        Failure::new(Exit::Unreachable, message)
    } else if summary.answered < summary.requests {
        unanswered(args, &summary)
    } else {
        if args.json {
            print(&format!("{}\n", serde_json::to_string_pretty(&summary)?));
        }
        return Ok(Exit::Done.into());
    };
    Err(failure.beside(serde_json::to_value(&summary)?))
}

/// Says how many requests were not answered well, and the next step where the statuses tell one.
fn unanswered(args: &Bench, summary: &Summary) -> Failure {
    let failed = summary.requests - summary.answered;
    let has = |statuses: &[u16]| statuses.iter().any(|status| summary.failed.contains_key(&tally::status(*status)));
    let message = format!("{failed} of {} requests were not answered well", summary.requests);
    let failure = |step: &str| Failure::new(Exit::Failed, format!("{message}; {step}"));
    if has(&[401, 403]) {
        return failure(match args.key {
            Some(_) => "the key is not taken there: `bobbin key list` shows which routes keys are for",
            None => "a key is needed: give one with --key (BOBBIN_KEY); `bobbin key create <who holds it>` makes one",
        });
    }
    if has(&[404]) {
        return failure("no such route: correct the path, `bobbin up` prints the routes when it starts");
    }
    if has(&[400, 405, 415, 422]) {
        return failure("the route wants another request: see --body, --get and -H");
    }
    if has(&[429, 503]) {
        return failure("there is more load than the host takes: ask with a smaller --concurrency");
    }
    Failure::new(Exit::Failed, message)
}

/// What every request is.
struct Load {
    client: Client,
    method: Method,
    url: reqwest::Url,
    headers: HeaderMap,
    body: bytes::Bytes,
    requests: u32,
    timeout: Duration,
}

impl Load {
    fn new(args: &Bench) -> Result<Self, Failure> {
        // No proxy and no redirect: what is measured is the server that was named.
        let builder = Client::builder().no_proxy().redirect(redirect::Policy::none()).connect_timeout(CONNECT);
        // A machine without certificates that it trusts can ask over plain HTTP.
        let builder = if args.target.scheme() == "http" { builder.tls_certs_only([]) } else { builder };
        let client = builder.build().map_err(Failure::of(Exit::Failed))?;
        let body = if args.get { Vec::new() } else { args::Body::read(args.body.as_ref())? };
        let mut headers = HeaderMap::new();
        if !args.get {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.extend(args.key.clone().map(|key| (AUTHORIZATION, key)));
        headers.extend(args.headers.iter().map(|args::Header(name, value)| (name.clone(), value.clone())));
        let method = if args.get { Method::GET } else { Method::POST };
        let url = args.target.clone();
        Ok(Self { client, method, url, headers, body: body.into(), requests: args.requests, timeout: args.timeout })
    }

    /// One request, to the end of its answer.
    async fn ask(&self) -> Outcome {
        let request = self.client.request(self.method.clone(), self.url.clone()).headers(self.headers.clone());
        let asked = Instant::now();
        let answer = async {
            let response = request.body(self.body.clone()).send().await?;
            let status = response.status();
            let (mut body, mut first) = (Body::default(), None);
            let mut stream = response.bytes_stream();
            while let Some(bytes) = stream.next().await {
                let bytes = bytes?;
                if !bytes.is_empty() {
                    first.get_or_insert_with(|| asked.elapsed());
                    body.take(&bytes);
                }
            }
            let all = asked.elapsed();
            let (tokens, failed) = body.end();
            Ok::<_, reqwest::Error>(match (status.is_success(), failed) {
                (true, false) => Outcome::Answered { first: first.unwrap_or(all), all, tokens },
                (true, true) => Outcome::Failed("an error in the midst of the answer".to_owned()),
                (false, _) => Outcome::Failed(tally::status(status.as_u16())),
            })
        };
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => {
                let why: String = innermost(&error).chars().take(REASON).collect();
                if error.is_connect() { Outcome::Unreachable(why) } else { Outcome::Failed(why) }
            }
            Err(_late) => Outcome::Failed(format!("no answer within {}", humantime::format_duration(self.timeout))),
        }
    }
}

/// Asks one request after the other.
struct Asker {
    load: Arc<Load>,
    /// Requests that were begun.
    next: Arc<AtomicU32>,
    until: Instant,
    cancel: CancellationToken,
    count: mpsc::Sender<Outcome>,
}

impl Asker {
    async fn run(self) {
        while self.next.fetch_add(1, Ordering::Relaxed) < self.load.requests && Instant::now() < self.until {
            let outcome = tokio::select! {
                outcome = self.load.ask() => outcome,
                () = self.cancel.cancelled() => return,
            };
            if self.count.send(outcome).await.is_err() {
                return;
            }
        }
    }
}

fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

fn text(args: &Bench, summary: &Summary) -> String {
    let Summary { requests, answered, seconds, .. } = summary;
    let spread = |spread: Option<Spread>| match spread {
        Some(Spread { p50, p99, max }) => format!("p50 {p50:.1} ms, p99 {p99:.1} ms, max {max:.1} ms"),
        None => "-".to_owned(),
    };
    let tokens = match (summary.tokens_per_second, summary.tokens) {
        (Some(rate), Some(tokens)) => format!("{rate:.1} a second, {tokens} in all"),
        _ if summary.answered == 0 => "-".to_owned(),
        _ => "the answers do not say how many they have".to_owned(),
    };
    let mut rows = vec![
        ["asked".to_owned(), format!("{requests} requests, {} at once, in {seconds:.2} s", args.concurrency)],
        ["answered".into(), format!("{answered}, {:.1} a second", summary.requests_per_second)],
        ["tokens".into(), tokens],
        ["first byte".into(), spread(summary.first_byte_ms)],
        ["answer".into(), spread(summary.answer_ms)],
    ];
    let failed = summary
        .failed
        .iter()
        .map(|(why, count)| ["failed".to_owned(), format!("{count}: {}", crate::release::plain(why))]);
    rows.extend(failed);
    table(&rows, "")
}
