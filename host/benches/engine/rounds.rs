//! The rounds: in each, both servers do the same, one after the other.

use crate::client::{Answer, Server};
use crate::options::Options;
use crate::{peers, roofline};
use anyhow::{Result, ensure};
use bobbin_tests::{Bound, Report, Sorted, in_turn};
use futures::future::try_join_all;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

const STREAMS: [usize; 3] = [1, 8, 32];
/// Tokens of an answer, and of the prompt before it.
const TOKENS: u32 = 48;
const PROMPT: u64 = 32;
/// Requests at once that share a system prompt of so many tokens; what each asks besides, and is answered.
const TOGETHER: usize = 16;
const SHARED: u64 = 480;
const OWN: u64 = 16;
const ANSWER: u32 = 8;
/// Each stream asks so often, again as soon as its answer is whole.
const ASKS: usize = 2;

/// What a server did in one round.
#[derive(Default)]
struct Figures {
    /// By streams: tokens/s from the first request to the last token.
    rate: BTreeMap<usize, f64>,
    /// The same while every stream had its first token and none its last: no prompt is computed then.
    steady: BTreeMap<usize, f64>,
    first: BTreeMap<usize, Sorted>,
    between: BTreeMap<usize, Sorted>,
    /// Of the requests that share a prompt nobody has computed yet, and of those that come after them.
    cold: Option<Together>,
    warm: Option<Together>,
}

struct Together {
    /// Requests per second.
    rate: f64,
    first: Sorted,
    cached: u64,
}

/// All that was measured.
pub(crate) struct Rounds {
    ours: Vec<Figures>,
    theirs: Vec<Figures>,
    limits: Vec<BTreeMap<usize, f64>>,
    bandwidth: Vec<f64>,
    peaks: (f64, Option<f64>),
}

/// Text of about so many tokens that no other call gets.
struct Texts {
    characters_per_token: f64,
    made: usize,
}

impl Texts {
    async fn calibrate(server: &Server) -> Result<Self> {
        let mut texts = Self { characters_per_token: 1.0, made: 0 };
        let text = texts.next(256);
        let tokens = server.ask(&text, 1, 1).await?.input;
        texts.characters_per_token = text.len() as f64 / tokens.max(1) as f64;
        Ok(texts)
    }

    fn next(&mut self, tokens: u64) -> String {
        self.made += 1;
        let length = (tokens as f64 * self.characters_per_token) as usize;
        let mut text = format!("{} ", self.made * 7919);
        let words = ["the", "old", "dog", "ran", "over", "a", "hill", "and", "saw", "two", "cats"];
        // Another order of words each time, so that texts differ early and everywhere.
        let mut at = self.made;
        while text.len() < length {
            at = (at * 31 + 7) % 1_000_003;
            text.push_str(words.get(at % words.len()).copied().unwrap_or_default());
            text.push(' ');
        }
        text.truncate(length);
        text
    }
}

pub(crate) async fn measure(
    ours: &Server,
    theirs: Option<&Server>,
    options: &Options,
    weights: &Path,
) -> Result<Rounds> {
    let mut texts = Texts::calibrate(ours).await?;
    let (mut own, mut other, mut limits, mut bandwidth) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.rounds {
        println!("round {} of {}", round + 1, options.rounds);
        bandwidth.push(roofline::bandwidth());
        let (mut left, mut right) = (Figures::default(), Figures::default());
        for streams in STREAMS {
            let prompts: Vec<String> = (0..streams * ASKS).map(|_| texts.next(PROMPT)).collect();
            let turns = [(Some(ours), &mut left), (theirs, &mut right)];
            for (server, figures) in in_turn(round, turns) {
                let Some(server) = server else { continue };
                many(server, streams, &prompts, figures).await?;
            }
        }
        let system = texts.next(SHARED);
        let asks = |texts: &mut Texts| -> Vec<String> {
            (0..TOGETHER).map(|_| format!("{system} {}", texts.next(OWN))).collect()
        };
        let (first, second) = (asks(&mut texts), asks(&mut texts));
        let turns = [(Some(ours), &mut left), (theirs, &mut right)];
        for (server, figures) in in_turn(round, turns) {
            let Some(server) = server else { continue };
            figures.cold = Some(together(server, &first).await?);
            figures.warm = Some(together(server, &second).await?);
        }
        if let Some(program) = &options.batched_bench {
            limits.push(peers::batched(program, weights, &STREAMS, PROMPT, TOKENS).await?);
        }
        own.push(left);
        if theirs.is_some() {
            other.push(right);
        }
    }
    let peaks = (ours.peak()?, theirs.map(Server::peak).transpose()?);
    Ok(Rounds { ours: own, theirs: other, limits, bandwidth, peaks })
}

async fn many(server: &Server, streams: usize, prompts: &[String], figures: &mut Figures) -> Result<()> {
    let begun = Instant::now();
    let stream = async |prompts: &[String]| {
        let mut answers = Vec::new();
        for (seed, prompt) in (1..).zip(prompts) {
            answers.push(server.ask(prompt, TOKENS, seed).await?);
        }
        anyhow::Ok(answers)
    };
    let answers = try_join_all(prompts.chunks(ASKS).map(stream)).await?;
    let took = begun.elapsed().as_secs_f64();
    let all = || answers.iter().flatten();
    let tokens: u64 = all().map(|answer| answer.output).sum();
    figures.rate.insert(streams, tokens as f64 / took);
    let first: Vec<&Answer> = answers.iter().filter_map(|stream| stream.first()).collect();
    figures.steady.insert(streams, steady(&first));
    figures.first.insert(streams, Sorted::millis(all().map(Answer::first)));
    figures.between.insert(streams, Sorted::millis(all().flat_map(Answer::gaps)));
    Ok(())
}

/// Tokens/s between the last stream's first token and the first stream's last one. Pieces are taken as tokens in
/// proportion, since one piece may be more than one.
fn steady(answers: &[&Answer]) -> f64 {
    let from = answers.iter().filter_map(|answer| answer.pieces.first()).max().copied();
    let to = answers.iter().map(|answer| answer.last()).min();
    let (Some(from), Some(to)) = (from, to) else { return f64::NAN };
    let inside = |answer: &&Answer| {
        let pieces = answer.pieces.iter().filter(|at| **at > from && **at <= to).count();
        pieces as f64 * answer.output as f64 / answer.pieces.len() as f64
    };
    answers.iter().map(inside).sum::<f64>() / to.saturating_duration_since(from).as_secs_f64()
}

async fn together(server: &Server, prompts: &[String]) -> Result<Together> {
    let begun = Instant::now();
    let asks = (1..).zip(prompts).map(|(seed, prompt)| server.ask(prompt, ANSWER, seed));
    let answers = try_join_all(asks).await?;
    let rate = prompts.len() as f64 / begun.elapsed().as_secs_f64();
    let input: u64 = answers.iter().map(|answer| answer.input).min().unwrap_or(0);
    ensure!(input >= SHARED, "the prompts have {input} tokens");
    let cached = answers.iter().map(|answer| answer.cached).sum();
    let first: Vec<Duration> = answers.iter().map(Answer::first).collect();
    Ok(Together { rate, first: Sorted::millis(first), cached })
}

/// One row: a figure of each round, the peer's, and what their ratio must be.
struct Row<'a> {
    what: String,
    unit: &'a str,
    bound: Bound,
    of: &'a dyn Fn(&Figures) -> Option<f64>,
}

impl Rounds {
    pub(crate) fn one_stream(&self) -> f64 {
        median(self.ours.iter().filter_map(|figures| figures.rate.get(&1).copied()))
    }

    pub(crate) fn bandwidth(&self) -> f64 {
        median(self.bandwidth.iter().copied())
    }

    pub(crate) fn report(&self, report: &mut Report) {
        for streams in STREAMS {
            let rate = |figures: &Figures| figures.rate.get(&streams).copied();
            self.row(
                report,
                &Row { what: format!("{streams} streams"), unit: "tokens/s", bound: Bound::AtLeast(1.0), of: &rate },
            );
            self.limit(report, streams);
            for (name, share, bound) in [("p50", 0.5, 1.0), ("p99", 0.99, 0.8)] {
                let first = |figures: &Figures| figures.first.get(&streams).map(|first| first.at(share));
                // One request has no tail.
                let bound = if streams == 1 && share > 0.5 { Bound::None } else { Bound::AtMost(bound) };
                self.row(report, &Row { what: format!("- first token, {name}"), unit: "ms", bound, of: &first });
            }
            for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
                let between = |figures: &Figures| figures.between.get(&streams).map(|gaps| gaps.at(share));
                self.row(
                    report,
                    &Row { what: format!("- inter-token, {name}"), unit: "ms", bound: Bound::None, of: &between },
                );
            }
        }
        let what = format!("{TOGETHER} requests share {SHARED} tokens");
        for (name, bound, of) in [
            ("first arrival", 8.0, (|figures| figures.cold.as_ref()) as fn(&Figures) -> Option<&Together>),
            ("every slot warm", 1.0, |figures| figures.warm.as_ref()),
        ] {
            let rate = |figures: &Figures| of(figures).map(|together| together.rate);
            self.row(
                report,
                &Row { what: format!("{what}, {name}"), unit: "requests/s", bound: Bound::AtLeast(bound), of: &rate },
            );
            for (name, share, bound) in [("p50", 0.5, 1.0), ("p99", 0.99, 0.8)] {
                let first = |figures: &Figures| of(figures).map(|together| together.first.at(share));
                self.row(
                    report,
                    &Row {
                        what: format!("- first token, {name}"),
                        unit: "ms",
                        bound: Bound::AtMost(bound),
                        of: &first,
                    },
                );
            }
            let cached = |figures: &Figures| of(figures).map(|together| together.cached as f64);
            self.row(
                report,
                &Row { what: "- prompt tokens from the cache".into(), unit: "tokens", bound: Bound::None, of: &cached },
            );
        }
        let theirs = self.peaks.1.map(|peak| format!(" / {peak:.0} = {:.2}", self.peaks.0 / peak)).unwrap_or_default();
        report.note("peak memory, all processes", format!("{:.0}{theirs} MiB", self.peaks.0));
    }

    fn row(&self, report: &mut Report, row: &Row<'_>) {
        let of = |figures: &[Figures]| figures.iter().filter_map(row.of).collect::<Vec<f64>>();
        report.beside(&row.what, row.unit, row.bound, &of(&self.ours), &of(&self.theirs));
    }

    /// Beside what llama.cpp does without a server, which computes no prompt meanwhile.
    fn limit(&self, report: &mut Report, streams: usize) {
        let ours: Vec<f64> = self.ours.iter().filter_map(|figures| figures.steady.get(&streams).copied()).collect();
        let theirs: Vec<f64> = self.limits.iter().filter_map(|limits| limits.get(&streams).copied()).collect();
        let peer = if theirs.is_empty() { "" } else { ", by llama-batched-bench" };
        let what = format!("- while no prompt is computed{peer}");
        report.beside(&what, "tokens/s", Bound::AtLeast(0.95), &ours, &theirs);
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    Sorted::of(values).at(0.5)
}
