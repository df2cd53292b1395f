//! Weights in which something is wrong, or only odd, given to a release of a host that serves: whatever becomes of the
//! worker that loads them, the stable version answers all the while.
//!
//! A file on which llama.cpp is known to abort is refused before it sees it. So these are what the checks before it let pass,
//! or nearly: numbers at their bounds, other architectures' names over the same tensors, bits that are flipped.

use super::{MEADOW, ask_least, tell};
use anyhow::{Context, ensure};
use bobbin_tests::{Answer, BundleText, Result, TestApp, TestHost, eventually, write_bundle};
use serde_json::{Value, json};
use std::cell::Cell;
use std::fs;

/// What became of the mutants.
#[derive(Debug, Default)]
struct Outcomes {
    refused: usize,
    /// Refused by a process that died of them.
    died: usize,
    served: usize,
    /// Of all, those that passed what is checked before a worker is started.
    loaded: usize,
}

#[tokio::test]
async fn whatever_weights_are_tried_the_stable_version_answers() -> Result {
    let app = TestApp::stories("")?;
    let sound = Weights(fs::read(app.bundle("storyteller", "1.0.0").join("storyteller-q8_0.gguf"))?);
    let host = TestHost::of(&app.manifest()).start().await?;
    let mut outcomes = Outcomes::default();
    for (nth, (what, Weights(bytes))) in mutants(&sound)?.into_iter().enumerate() {
        // Warm-up prompts make the worker compute while it loads.
        let text = BundleText { context: 64, parallel: 4, more: "\n[warm_up]\nprompts = [\"Once upon a time\"]\n" };
        let written = write_bundle(&app.path().join("models"), "mutant", &format!("0.0.{nth}"), text, |file| {
            Ok(file.write_all(&bytes)?)
        })?;
        let tried = try_out(&host, &written.id, &mut outcomes).await;
        tried.with_context(|| format!("{}: {what}", written.id))?;
    }
    println!("{outcomes:?}");
    // Else the mutants would no longer reach what they are for.
    assert!(outcomes.loaded >= 12 && outcomes.served > 0 && outcomes.refused > 0, "{outcomes:?}");
    let metrics = host.metrics().await?;
    assert_eq!(metrics.sum("bobbin_worker_restarts_total", &[("bundle", MEADOW)]), 0.0, "{metrics}");
    Ok(())
}

/// Gives a mutant to the release as its candidate. One that is refused is given as the stable version too, and one that
/// serves answers a request.
async fn try_out(host: &TestHost, id: &str, outcomes: &mut Outcomes) -> Result {
    let release = host.release("story");
    let mut events = host.events(None).await?;
    let candidate = json!({"candidate": {"bundle": id, "weight": 0}, "keep_warm_seconds": 0});
    let answer = change_beside_stable(host, candidate).await?;
    let ended = |step: &str| ["failed", "committed"].contains(&step);
    let told = events.until(|event| event.kind == "change" && event.data["step"].as_str().is_some_and(ended)).await?;
    outcomes.loaded +=
        usize::from(told.iter().any(|event| event.is("version", &[("bundle", id), ("state", "loading")])));
    if answer.status() == 200 {
        outcomes.served += 1;
        release.set(json!({"candidate": {"bundle": id, "weight": 100}})).await?;
        let answer = host.post_json("/story", &ask_least()).await?;
        // What it says is its own affair; that it says it in an answer, or the host in an error, is not.
        let body = answer.json()?;
        ensure!(answer.status() == 200 || body["code"].is_string(), "{}: {body}", answer.status());
        release.set(json!({"candidate": null})).await?;
    } else {
        outcomes.refused += 1;
        is_a_plain_refusal(&answer)?;
        outcomes.died += usize::from(answer.text().contains("ended by SIG"));
        is_a_plain_refusal(&change_beside_stable(host, json!({"stable": id})).await?)?;
    }
    eventually(async || Ok(host.workers_of(id)?.is_empty().then_some(()))).await?;
    stable_answers(host).await
}

/// Makes a change, and asks for stories until it is made or refused.
async fn change_beside_stable(host: &TestHost, edit: Value) -> Result<Answer> {
    let over = Cell::new(false);
    let change = async {
        let answer = host.release("story").try_set(edit).await;
        over.set(true);
        answer
    };
    let stories = async {
        while !over.get() {
            stable_answers(host).await?;
        }
        anyhow::Ok(())
    };
    let (answer, stories) = futures::join!(change, stories);
    stories?;
    answer
}

async fn stable_answers(host: &TestHost) -> Result {
    let header = tell(host, &ask_least()).await?.header;
    ensure!(header == MEADOW, "{header} answers");
    Ok(())
}

fn is_a_plain_refusal(answer: &Answer) -> Result {
    let body = answer.json()?;
    ensure!(answer.status() == 422 && body["code"] == "version_failed", "{}: {body}", answer.status());
    let detail = body["detail"].as_str().unwrap_or_default();
    ensure!(!detail.is_empty() && !detail.contains("panicked"), "{body}");
    Ok(())
}

/// A GGUF file of the architecture llama.
#[derive(Clone)]
struct Weights(Vec<u8>);

impl Weights {
    /// Where the bytes behind a name begin.
    fn behind(&self, name: &str) -> Result<usize> {
        let named = [&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat();
        let at = self.0.windows(named.len()).position(|window| window == named);
        Ok(at.with_context(|| format!("the weights have no {name}"))? + named.len())
    }

    /// Where the data of the tensors begin: after the last description, of two dimensions, a type and a place.
    fn data(&self) -> Result<usize> {
        Ok((self.behind("token_embd.weight")? + 4 + 2 * 8 + 4 + 8).next_multiple_of(32))
    }

    /// With another value for a key; a key's type stands in front of it.
    fn with(mut self, key: &str, value: &[u8]) -> Result<Self> {
        let at = self.behind(key)? + 4;
        self.0[at..at + value.len()].copy_from_slice(value);
        Ok(self)
    }

    fn with_number(self, key: &str, number: u32) -> Result<Self> {
        self.with(key, &number.to_le_bytes())
    }

    fn with_scale(self, key: &str, scale: f32) -> Result<Self> {
        self.with(key, &scale.to_le_bytes())
    }

    /// With a text that begins otherwise, and is as long; its length stands in front of it.
    fn with_beginning(mut self, key: &str, text: &str) -> Result<Self> {
        let at = self.behind(key)? + 4 + 8;
        self.0[at..at + text.len()].copy_from_slice(text.as_bytes());
        Ok(self)
    }

    fn with_heads(self, heads: u32, length: u32) -> Result<Self> {
        let of_keys = self.with_number("llama.attention.head_count_kv", heads)?;
        of_keys.with_number("llama.attention.head_count", heads)?.with_number("llama.rope.dimension_count", length)
    }

    /// The same tensors and numbers under the name of another architecture, of as many letters.
    fn of(mut self, architecture: &str) -> Result<Self> {
        let prefixes = self.0.windows(6).enumerate().filter(|(_, window)| *window == b"llama.").map(|(at, _)| at);
        for at in prefixes.collect::<Vec<_>>() {
            self.0[at..at + 5].copy_from_slice(architecture.as_bytes());
        }
        self.with_beginning("general.architecture", architecture)
    }

    /// With bits flipped from a place to another, always the same ones for a seed.
    fn flipped(mut self, from: usize, to: usize, count: usize, seed: u64) -> Self {
        let mut random = seed;
        for _ in 0..count {
            // Marsaglia's xorshift.
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = from + (random >> 8) as usize % (to - from);
            self.0[at] ^= 1 << (random & 7);
        }
        self
    }
}

/// Each with what it is.
fn mutants(sound: &Weights) -> Result<Vec<(String, Weights)>> {
    let (data, size) = (sound.data()?, sound.0.len());
    let again = || sound.clone();
    let filled = |byte| {
        let mut weights = again();
        weights.0[data..].fill(byte);
        weights
    };
    let mut all: Vec<(String, Weights)> = [
        ("weights of zeros", filled(0)),
        // As F32, as F16 and as a byte, this is an ordinary number.
        ("weights that are all alike", filled(0x3b)),
        ("RoPE of next to no base", again().with_scale("llama.rope.freq_base", f32::MIN_POSITIVE)?),
        ("RoPE of the largest base", again().with_scale("llama.rope.freq_base", f32::MAX)?),
        ("the largest epsilon", again().with_scale("llama.attention.layer_norm_rms_epsilon", 1.0)?),
        ("the least epsilon", again().with_scale("llama.attention.layer_norm_rms_epsilon", f32::from_bits(1))?),
        ("a context of 268 million tokens", again().with_number("llama.context_length", 1 << 28)?),
        ("a context of one token", again().with_number("llama.context_length", 1)?),
        ("one head", again().with_heads(1, 128)?),
        ("two heads", again().with_heads(2, 64)?),
        ("64 heads", again().with_heads(64, 2)?),
        ("128 heads", again().with_heads(128, 1)?),
        ("a BOS that is a word", again().with_number("tokenizer.ggml.bos_token_id", 1791)?),
        ("an EOS that is unknown", again().with_number("tokenizer.ggml.eos_token_id", 0)?),
        ("a file type that nobody knows", again().with_number("general.file_type", 1 << 30)?),
        ("a template that is none", again().with_beginning("tokenizer.chat_template", "{% if %}")?),
    ]
    .into_iter()
    .map(|(what, weights)| (what.to_owned(), weights))
    .collect();
    for architecture in ["gemma", "qwen2", "qwen3", "orion", "bloom", "plamo", "olmo2", "mamba", "rwkv6", "jamba"] {
        all.push((format!("llama's tensors as those of {architecture}"), again().of(architecture)?));
    }
    for seed in 1..=6 {
        all.push((format!("flips in the data, seed {seed}"), again().flipped(data, size, 200, seed)));
    }
    for seed in 1..=20 {
        all.push((format!("flips before the data, seed {seed}"), again().flipped(0, data, 2, seed)));
    }
    Ok(all)
}
