//! From logits to the next token.
//!
//! Greedy sampling without penalties is a maximum and needs no chain. Everything else is llama.cpp's chain in
//! its usual order: bias, penalties, top-k, top-p, min-p, temperature, and at the end always a sampler that
//! selects.

use super::schedule::Token;
use super::shortlist::{self, Shortlist};
use bobbin_inference::{InferenceError, Reason, Sampling, TokenLogprob};
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use llama_cpp_2::token::logit_bias::LlamaLogitBias;
use std::hash::{BuildHasher, RandomState};

/// Chooses tokens for one compute.
pub(super) enum Sampler {
    /// The most likely token.
    Greedy,
    /// llama.cpp's chain, and the candidates that are enough for it.
    Chain(LlamaSampler, Option<Shortlist>),
}

/// The vocabulary's candidates, reused from step to step.
pub(super) type Scratch = LlamaTokenDataArray;

/// An empty scratch.
pub(super) fn scratch() -> Scratch {
    LlamaTokenDataArray::new(Vec::new(), false)
}

/// Below this temperature the likeliest token is taken: logits divided by less would be infinite, and their probabilities no
/// numbers.
const COLDEST: f32 = 1e-5;

impl Sampler {
    /// Builds the sampler for checked options. `history` is the session's tokens, prompt included: penalties
    /// see it.
    ///
    /// # Errors
    /// `invalid_option` for a biased token that is none.
    pub(super) fn new(
        sampling: &Sampling,
        vocabulary: Token,
        context: u32,
        history: &[Token],
    ) -> Result<Self, InferenceError> {
        let context = i32::try_from(context).unwrap_or(i32::MAX);
        let last_n = if sampling.repeat_last_n < 0 { context } else { sampling.repeat_last_n.min(context) };
        let penalised = last_n > 0
            && (sampling.repeat_penalty - 1.0 != 0.0
                || sampling.presence_penalty != 0.0
                || sampling.frequency_penalty != 0.0);
        let greedy = sampling.temperature < COLDEST;
        if greedy && !penalised && sampling.logit_bias.is_empty() {
            return Ok(Self::Greedy);
        }
        let mut chain = Vec::new();
        if !sampling.logit_bias.is_empty() {
            chain.push(LlamaSampler::logit_bias(vocabulary, &biases(sampling, vocabulary)?));
        }
        if penalised {
            chain.push(LlamaSampler::penalties(
                vocabulary,
                last_n,
                sampling.repeat_penalty,
                sampling.frequency_penalty,
                sampling.presence_penalty,
            ));
        }
        if greedy {
            chain.push(LlamaSampler::greedy());
        } else {
            if sampling.top_k > 0 {
                chain.push(LlamaSampler::top_k(i32::try_from(sampling.top_k).unwrap_or(i32::MAX)));
            }
            if sampling.top_p < 1.0 {
                chain.push(LlamaSampler::top_p(sampling.top_p, 1));
            }
            if sampling.min_p > 0.0 {
                chain.push(LlamaSampler::min_p(sampling.min_p, 1));
            }
            chain.push(LlamaSampler::temp(sampling.temperature));
            chain.push(LlamaSampler::dist(sampling.seed.unwrap_or_else(fresh_seed)));
        }
        let seen = if penalised { usize::try_from(last_n).unwrap_or(usize::MAX) } else { 0 };
        let looked_at = if greedy { Ok(1) } else { usize::try_from(sampling.top_k) };
        let shortlist = looked_at.ok().filter(|looked_at| *looked_at > 0).map(|looked_at| {
            let biased = sampling.logit_bias.keys().copied().collect();
            Shortlist::new(looked_at, biased, seen)
        });
        let mut sampler = Self::Chain(LlamaSampler::chain(chain, true), shortlist);
        if penalised {
            for token in history.iter().skip(history.len().saturating_sub(seen)) {
                sampler.accept(*token);
            }
        }
        Ok(sampler)
    }

    /// Chooses among the logits. The choice is not accepted yet.
    ///
    /// # Errors
    /// `backend_failed` when no logit is a number.
    pub(super) fn choose(&mut self, logits: &[f32], scratch: &mut Scratch) -> Result<Token, InferenceError> {
        match self {
            Self::Greedy => best(logits).ok_or_else(no_numbers),
            Self::Chain(_, shortlist) => {
                if !shortlist.as_mut().is_some_and(|shortlist| shortlist.fill(logits, scratch)) {
                    fill(scratch, logits);
                }
                self.choose_among(scratch)
            }
        }
    }

    /// Chooses among candidates.
    ///
    /// # Errors
    /// `backend_failed` when no logit is a number.
    pub(super) fn choose_among(&mut self, candidates: &mut Scratch) -> Result<Token, InferenceError> {
        if !candidates.data.iter().any(|candidate| candidate.logit().is_finite()) {
            return Err(no_numbers());
        }
        match self {
            Self::Greedy => {
                let logit = |a: &&LlamaTokenData, b: &&LlamaTokenData| a.logit().total_cmp(&b.logit());
                let finite = candidates.data.iter().rev().filter(|candidate| candidate.logit().is_finite());
                finite.max_by(logit).map(|candidate| candidate.id().0).ok_or_else(no_numbers)
            }
            Self::Chain(chain, _) => {
                chain.apply(candidates);
                candidates.selected_token().map(|token| token.0).ok_or_else(no_numbers)
            }
        }
    }

    /// The token is part of the answer; penalties count it.
    pub(super) fn accept(&mut self, token: Token) {
        if let Self::Chain(chain, shortlist) = self {
            chain.accept(LlamaToken::new(token));
            if let Some(shortlist) = shortlist {
                shortlist.accept(token);
            }
        }
    }

    /// The same, looking at all candidates.
    #[cfg(test)]
    pub(super) fn without_shortlist(self) -> Self {
        match self {
            Self::Greedy => Self::Greedy,
            Self::Chain(chain, _) => Self::Chain(chain, None),
        }
    }
}

/// Fills the scratch with one candidate for each logit.
pub(super) fn fill(scratch: &mut Scratch, logits: &[f32]) {
    refill(scratch, (0..).zip(logits));
}

/// Fills the scratch with these candidates, in no order.
pub(super) fn refill<'a>(scratch: &mut Scratch, candidates: impl Iterator<Item = (Token, &'a f32)>) {
    scratch.data.clear();
    let candidate = |(id, logit): (Token, &f32)| LlamaTokenData::new(LlamaToken::new(id), *logit, 0.0);
    scratch.data.extend(candidates.map(candidate));
    scratch.selected = None;
    scratch.sorted = false;
}

fn biases(sampling: &Sampling, vocabulary: Token) -> Result<Vec<LlamaLogitBias>, InferenceError> {
    let bias = |(token, bias): (&Token, &f32)| {
        if !(0..vocabulary).contains(token) {
            return Err(InferenceError::new(
                Reason::InvalidOption,
                format!("option \"logit_bias\" names token {token}; the ids of this model are 0 to {}", vocabulary - 1),
            ));
        }
        Ok(LlamaLogitBias::new(LlamaToken::new(*token), *bias))
    };
    sampling.logit_bias.iter().map(bias).collect()
}

/// The first of the largest.
fn best(logits: &[f32]) -> Option<Token> {
    let most = Some(shortlist::largest(logits)).filter(|most| most.is_finite())?;
    (0..).zip(logits).find(|(_, logit)| **logit == most).map(|(id, _)| id)
}

fn no_numbers() -> InferenceError {
    InferenceError::new(
        Reason::BackendFailed,
        "the model computed no finite logit; the weights may be damaged: verify the bundle",
    )
}

/// A seed that nobody can foresee: std's hasher keys come from the system's random numbers.
fn fresh_seed() -> u32 {
    let random = RandomState::new().hash_one(std::time::Instant::now());
    u32::try_from(random & u64::from(u32::MAX)).unwrap_or(0)
}

/// log p(token) under a softmax over the logits, natural logarithm.
pub(super) fn log_probability(logits: &[f32], token: Token) -> f32 {
    let logit = usize::try_from(token).ok().and_then(|at| logits.get(at)).copied().unwrap_or(f32::NEG_INFINITY);
    logit - log_sum(logits)
}

fn log_sum(logits: &[f32]) -> f32 {
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| f64::from(logit - most).exp()).sum();
    #[allow(clippy::cast_possible_truncation, reason = "log-probabilities are reported as f32")]
    let log = sum.ln() as f32;
    most + log
}

/// The log-probability of a chosen token and of the `top` most likely ones; `bytes` spells a token.
pub(super) fn logprob(logits: &[f32], token: Token, top: u8, mut bytes: impl FnMut(Token) -> Vec<u8>) -> TokenLogprob {
    let sum = log_sum(logits);
    let own = usize::try_from(token).ok().and_then(|at| logits.get(at)).copied().unwrap_or(f32::NEG_INFINITY);
    let likely = likeliest(logits, usize::from(top));
    TokenLogprob {
        id: token,
        bytes: bytes(token),
        logprob: own - sum,
        top: likely.into_iter().map(|(id, logit)| (id, bytes(id), logit - sum)).collect(),
    }
}

/// The few with the largest logits, the largest first; of those alike, the first. One pass: nearly every logit is compared
/// once, with the least of those found.
fn likeliest(logits: &[f32], count: usize) -> Vec<(Token, f32)> {
    let mut found: Vec<(Token, f32)> = Vec::with_capacity(count);
    for (id, logit) in (0..).zip(logits.iter().copied()) {
        if found.len() == count {
            if found.last().is_none_or(|(_, least)| logit.total_cmp(least).is_le()) {
                continue;
            }
            found.pop();
        }
        let at = found.partition_point(|(_, other)| other.total_cmp(&logit).is_ge());
        found.insert(at, (id, logit));
    }
    found
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::memory::counting::during;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Greedy, and nothing else.
    pub(in super::super) fn sampling() -> Sampling {
        Sampling {
            temperature: 0.0,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.0,
            repeat_penalty: 1.0,
            repeat_last_n: 64,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            logit_bias: BTreeMap::new(),
            seed: None,
        }
    }

    fn choose(sampling: &Sampling, history: &[Token], logits: &[f32]) -> Result<Token, InferenceError> {
        let size = Token::try_from(logits.len()).unwrap();
        Sampler::new(sampling, size, 16, history)?.choose(logits, &mut scratch())
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        assert_eq!(choose(&sampling(), &[], &[0.0, 2.0, 2.0, 1.0]).unwrap(), 1);
        assert_eq!(choose(&sampling(), &[], &[f32::NAN, 0.5]).unwrap(), 1);
    }

    #[test]
    fn logits_that_are_no_numbers_are_an_error_and_no_abort() {
        for temperature in [0.0, 1.0] {
            let sampling = Sampling { temperature, ..sampling() };
            let error = choose(&sampling, &[], &[f32::NAN, f32::NAN]).unwrap_err();
            assert_eq!(error.reason, Reason::BackendFailed);
        }
    }

    #[test]
    fn penalties_see_the_prompt() {
        let penalised = Sampling { presence_penalty: 2.0, ..sampling() };
        assert_eq!(choose(&penalised, &[1], &[0.0, 1.0, 0.5]).unwrap(), 2);
        let whole = Sampling { repeat_last_n: -1, ..penalised.clone() };
        assert_eq!(choose(&whole, &[1, 0, 0, 0], &[0.0, 1.0, 0.5]).unwrap(), 2);
        let none = Sampling { repeat_last_n: 0, ..penalised };
        assert_eq!(choose(&none, &[1], &[0.0, 1.0, 0.5]).unwrap(), 1);
    }

    #[test]
    fn the_largest_window_allocates_no_more_than_the_context() {
        let penalised = Sampling { presence_penalty: 1.0, repeat_last_n: i32::MAX, ..sampling() };
        assert_eq!(choose(&penalised, &[], &[0.0, 1.0]).unwrap(), 1);
    }

    #[test]
    fn a_bias_moves_the_choice_and_its_token_is_checked() {
        let biased = Sampling { logit_bias: [(0, 5.0)].into(), ..sampling() };
        assert_eq!(choose(&biased, &[], &[0.0, 1.0]).unwrap(), 0);
        let wrong = Sampling { logit_bias: [(2, 5.0)].into(), ..sampling() };
        assert_eq!(choose(&wrong, &[], &[0.0, 1.0]).unwrap_err().reason, Reason::InvalidOption);
    }

    #[test]
    fn a_seed_fixes_the_choices_and_none_draws_a_fresh_one() {
        let logits: Vec<f32> = (0..64).map(|_| 0.0).collect();
        let seeded = Sampling { temperature: 1.0, top_k: 0, top_p: 1.0, seed: Some(7), ..sampling() };
        let first = choose(&seeded, &[], &logits).unwrap();
        assert!((0..8).all(|_| choose(&seeded, &[], &logits).unwrap() == first));
        let fresh = Sampling { seed: None, ..seeded };
        let drawn: std::collections::HashSet<_> = (0..32).map(|_| choose(&fresh, &[], &logits).unwrap()).collect();
        assert!(drawn.len() > 1);
    }

    #[test]
    fn a_choice_asks_for_no_memory_once_its_lists_have_grown() {
        let logits: Vec<f32> = (0..20_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 8) as f32 / 1e6).collect();
        let warm = Sampling { temperature: 0.8, seed: Some(7), ..sampling() };
        let penalised = Sampling { presence_penalty: 1.0, logit_bias: [(3, 2.0)].into(), ..warm.clone() };
        // The likeliest; of a few; of a few that change; of all.
        for sampling in [sampling(), warm.clone(), penalised, Sampling { top_k: 0, ..warm }] {
            let mut sampler = Sampler::new(&sampling, 20_000, 256, &[1, 2, 3]).unwrap();
            let mut scratch = scratch();
            let mut choose = || {
                let chosen = sampler.choose(&logits, &mut scratch).unwrap();
                sampler.accept(chosen);
            };
            // As many as the penalties' window has.
            (0..100).for_each(|_| choose());
            let ((), asked) = during(|| (0..100).for_each(|_| choose()));
            assert_eq!(asked.times, 0, "{sampling:?}");
        }
    }

    #[test]
    fn a_report_holds_what_it_tells_and_not_the_vocabulary() {
        let logits: Vec<f32> = (0..20_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 8) as f32).collect();
        for top in [0, 20] {
            let (report, asked) = during(|| logprob(&logits, 5, top, |_| vec![b'a']));
            assert_eq!(report.top.len(), usize::from(top));
            assert!(asked.bytes < 2048, "{asked:?} for {top}");
        }
    }

    proptest! {
        #[test]
        fn the_likeliest_are_the_first_of_all_in_order(
            logits in prop::collection::vec(prop_oneof![-3.0..3.0_f32, Just(1.0), Just(f32::NEG_INFINITY)], 0..60),
            count in 0usize..22,
        ) {
            let mut all: Vec<(Token, f32)> = (0..).zip(logits.iter().copied()).collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            all.truncate(count);
            prop_assert_eq!(likeliest(&logits, count), all);
        }
    }

    #[test]
    fn log_probabilities_sum_to_one_and_are_ordered() {
        let logits = [1.0, 3.0, 2.0];
        let report = logprob(&logits, 0, 2, |token| vec![u8::try_from(token).unwrap()]);
        let ids: Vec<_> = report.top.iter().map(|(id, _, _)| *id).collect();
        assert_eq!(ids, [1, 2]);
        let sum: f32 = (0..3).map(|token| log_probability(&logits, token).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        assert!((report.logprob - log_probability(&logits, 0)).abs() < 1e-6);
    }
}
