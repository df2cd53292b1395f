//! Proof that what was loaded works: warm-up prompts, then the fingerprint.
//!
//! A fingerprint is teacher-forced: for each recorded sequence the log-probability of every next token is
//! measured and must be within the bundle's tolerance of its record. Sampled text would not do: near-ties
//! come out differently on other processors.

use super::model::{Decoder, Embedder, StepError};
use super::sampler::log_probability;
use super::schedule::{Row, Token};
use super::vocabulary::Vocabulary;
use bobbin_inference::wire::{LoadSpec, Reference};

/// Tokens sampled after each warm-up prompt.
const WARM_UP_TOKENS: usize = 4;
/// Tokens of a recorded sequence: as in the recipes of this repository's own models.
const RECORDED_TOKENS: usize = 48;
/// The sequence used here; nobody else has one yet.
const SLOT: u32 = 0;

/// Computes warm-up prompts, so that the first request finds everything mapped and allocated.
///
/// # Errors
/// What llama.cpp reported, naming the prompt.
pub(super) fn warm_up(decoder: &mut Decoder, vocabulary: &Vocabulary, spec: &LoadSpec) -> Result<(), String> {
    for (at, prompt) in spec.warm_up.iter().enumerate() {
        let mut tokens = vocabulary.text(prompt, true);
        tokens.truncate((spec.context as usize).saturating_sub(WARM_UP_TOKENS).max(1));
        let result = generate(decoder, &tokens);
        decoder.trim(SLOT, 0);
        result.map_err(|error| format!("warm-up prompt {at} of {} failed: {error}", spec.bundle))?;
    }
    Ok(())
}

fn generate(decoder: &mut Decoder, prompt: &[Token]) -> Result<(), StepError> {
    let mut logits = feed(decoder, SLOT, prompt, 0)?;
    for at in 0..WARM_UP_TOKENS.min(prompt.len()) {
        logits = feed(decoder, SLOT, &[best(&logits)], prompt.len() + at)?;
    }
    Ok(())
}

/// Computes the bundle's shared prefix in the sequence kept for it.
///
/// # Errors
/// What llama.cpp reported.
pub(super) fn prefix(decoder: &mut Decoder, tokens: &[Token]) -> Result<(), String> {
    let slot = decoder.slots();
    feed(decoder, slot, tokens, 0).map(|_| ()).map_err(|error| format!("the bundle's prefix failed: {error}"))
}

/// Feeds tokens in chunks; returns the logits after the last.
fn feed(decoder: &mut Decoder, slot: u32, tokens: &[Token], start: usize) -> Result<Vec<f32>, StepError> {
    let rows = rows(slot, tokens, start, |at| at + 1 == tokens.len());
    let mut logits = Vec::new();
    for chunk in rows.chunks(decoder.batch_rows()) {
        decoder.step(chunk)?;
        logits = decoder.logits(chunk.len() - 1).map(<[f32]>::to_vec).unwrap_or_default();
    }
    Ok(logits)
}

fn rows(slot: u32, tokens: &[Token], start: usize, output: impl Fn(usize) -> bool) -> Vec<Row> {
    let row = |(at, token): (usize, &Token)| {
        let pos = u32::try_from(start + at).unwrap_or(u32::MAX);
        Row { call: 0, slot, token: *token, pos, output: output(at) }
    };
    tokens.iter().enumerate().map(row).collect()
}

/// Checks every recorded sequence. Returns the largest deviation, `None` without records.
///
/// # Errors
/// The first deviation over the tolerance, with its place and both numbers; a record that is unsound.
pub(super) fn fingerprint(
    decoder: &mut Decoder,
    vocabulary: &Vocabulary,
    spec: &LoadSpec,
) -> Result<Option<f32>, String> {
    let mut largest = None;
    for (at, reference) in spec.fingerprint.iter().enumerate() {
        check(reference, vocabulary, spec).map_err(|why| format!("sequence {at} of the fingerprint {why}"))?;
        let measured = score(decoder, &reference.tokens);
        decoder.trim(SLOT, 0);
        let measured = measured.map_err(|error| format!("sequence {at} of the fingerprint failed: {error}"))?;
        for (pos, (recorded, measured)) in reference.logprobs.iter().zip(&measured).enumerate() {
            let deviation = (recorded - measured).abs();
            // Written so that what is no number fails too.
            let within = deviation <= spec.tolerance;
            if !within {
                return Err(format!(
                    "{} does not match its fingerprint: sequence {at}, position {}: recorded {recorded}, measured \
                     {measured}, tolerance {}; the weights differ from those that were recorded, or this machine \
                     computes differently: record the fingerprint again, or widen the tolerance",
                    spec.bundle,
                    pos + 1,
                    spec.tolerance
                ));
            }
            largest = Some(deviation.max(largest.unwrap_or(0.0)));
        }
    }
    Ok(largest)
}

fn check(reference: &Reference, vocabulary: &Vocabulary, spec: &LoadSpec) -> Result<(), String> {
    let (tokens, logprobs) = (reference.tokens.len(), reference.logprobs.len());
    if tokens < 2 || tokens > spec.context as usize {
        return Err(format!("has {tokens} tokens; it needs 2 to {}", spec.context));
    }
    if logprobs + 1 != tokens {
        return Err(format!("has {logprobs} log-probabilities for {tokens} tokens; it needs one less than tokens"));
    }
    vocabulary.check(&reference.tokens).map_err(|error| format!("is of another vocabulary: {error}"))
}

/// Records a sequence of each text that the host wants one of: the text's tokens, cut or continued greedily to a fixed
/// length, and their log-probabilities, measured by the same steps that later check them.
///
/// # Errors
/// What llama.cpp reported, naming the text; a text of which nothing can be recorded.
pub(super) fn record(
    decoder: &mut Decoder,
    vocabulary: &Vocabulary,
    spec: &LoadSpec,
) -> Result<Vec<Reference>, String> {
    let most = RECORDED_TOKENS.min(spec.context as usize);
    let mut recorded = Vec::with_capacity(spec.record.len());
    for (at, text) in spec.record.iter().enumerate() {
        let failed = |why: &dyn std::fmt::Display| format!("text {at} of {} cannot be recorded: {why}", spec.bundle);
        let mut tokens = vocabulary.text(text, true);
        tokens.truncate(most);
        if tokens.is_empty() {
            return Err(failed(&"it has no tokens"));
        }
        let continued = continue_to(decoder, vocabulary, &mut tokens, most);
        decoder.trim(SLOT, 0);
        continued.map_err(|error| failed(&error))?;
        let measured = score(decoder, &tokens);
        decoder.trim(SLOT, 0);
        let logprobs = measured.map_err(|error| failed(&error))?;
        if logprobs.is_empty() || logprobs.iter().any(|value| !value.is_finite()) {
            return Err(failed(&"the model gives its tokens no finite log-probabilities"));
        }
        // Rounding may lift one that is almost certain above what a logarithm of a probability can be.
        recorded.push(Reference { tokens, logprobs: logprobs.into_iter().map(|value| value.min(0.0)).collect() });
    }
    Ok(recorded)
}

/// Adds the likeliest tokens until there are so many, or the model ends its text.
fn continue_to(
    decoder: &mut Decoder,
    vocabulary: &Vocabulary,
    tokens: &mut Vec<Token>,
    most: usize,
) -> Result<(), StepError> {
    let mut logits = feed(decoder, SLOT, tokens, 0)?;
    while tokens.len() < most {
        let next = best(&logits);
        tokens.push(next);
        if vocabulary.is_end(next) {
            break;
        }
        logits = feed(decoder, SLOT, &[next], tokens.len() - 1)?;
    }
    Ok(())
}

fn best(logits: &[f32]) -> Token {
    (0..).zip(logits).max_by(|(_, a), (_, b)| a.total_cmp(b)).map_or(0, |(token, _)| token)
}

/// log p(tokens[i] | tokens[..i]) for i >= 1, in the sequence of this module.
fn score(decoder: &mut Decoder, tokens: &[Token]) -> Result<Vec<f32>, StepError> {
    let Some((_, given)) = tokens.split_last() else { return Ok(Vec::new()) };
    let rows = rows(SLOT, given, 0, |_| true);
    let mut values = Vec::with_capacity(rows.len());
    let mut next = tokens.iter().skip(1);
    for chunk in rows.chunks(decoder.outputs()) {
        decoder.step(chunk)?;
        for row in 0..chunk.len() {
            if let (Some(logits), Some(token)) = (decoder.logits(row), next.next()) {
                values.push(log_probability(logits, *token));
            }
        }
    }
    Ok(values)
}

/// Embeds the warm-up prompts.
///
/// # Errors
/// What llama.cpp reported, naming the prompt; a fingerprint, which embeddings do not have.
pub(super) fn warm_up_embedder(
    embedder: &mut Embedder,
    vocabulary: &Vocabulary,
    spec: &LoadSpec,
) -> Result<(), String> {
    if !spec.fingerprint.is_empty() {
        return Err(format!(
            "the bundle {} has a fingerprint of log-probabilities, but its model makes embeddings; remove it",
            spec.bundle
        ));
    }
    for (at, prompt) in spec.warm_up.iter().enumerate() {
        let mut tokens = vocabulary.document(prompt);
        tokens.truncate(spec.context as usize);
        if !tokens.is_empty() {
            let result = embedder.embed(&[&tokens]);
            result.map_err(|error| format!("warm-up prompt {at} of {} failed: {error}", spec.bundle))?;
        }
    }
    Ok(())
}
