//! The few candidates among which a choice certainly falls, of a vocabulary that may have a hundred thousand.
//!
//! A chain that begins with top-k looks at k candidates and at those whose logits it changes before. The k largest of
//! all are among the largest of blocks: as many blocks as are wanted have a maximum that is no less than the bound, so
//! one pass for the blocks' maxima, and a second over the few blocks that reach the bound, find them.

use super::sampler::{Scratch, refill};
use super::schedule::Token;
use std::collections::VecDeque;

/// Blocks for each wanted candidate: with more, the second pass finds fewer that were not wanted.
const BLOCKS: usize = 16;
/// Numbers that one instruction compares.
const LANES: usize = 16;

/// Finds candidates for one chain.
#[derive(Debug)]
pub(super) struct Shortlist {
    /// How many the chain looks at.
    top_k: usize,
    /// Tokens whose logits it changes first, whatever was chosen before.
    biased: Vec<Token>,
    /// Tokens that it may penalise: the latest, at most so many.
    recent: VecDeque<Token>,
    window: usize,
    maxima: Vec<f32>,
    ordered: Vec<f32>,
    changed: Vec<Token>,
}

impl Shortlist {
    /// For a chain that keeps the `top_k` (above 0) most likely, once it has changed the logits of `biased` and of the last
    /// `window` tokens.
    pub(super) fn new(top_k: usize, biased: Vec<Token>, window: usize) -> Self {
        Self {
            top_k,
            biased,
            recent: VecDeque::new(),
            window,
            maxima: Vec::new(),
            ordered: Vec::new(),
            changed: Vec::new(),
        }
    }

    /// The chain has seen a token.
    pub(super) fn accept(&mut self, token: Token) {
        if self.window == 0 {
            return;
        }
        if self.recent.len() == self.window {
            self.recent.pop_front();
        }
        self.recent.push_back(token);
    }

    /// Fills the scratch with finite candidates: those that the chain changes, and of the others as many of the largest
    /// as it may keep. False where that is no fewer than all.
    pub(super) fn fill(&mut self, logits: &[f32], scratch: &mut Scratch) -> bool {
        let changed = self.biased.len() + self.recent.len();
        // One of the largest may lose its place to each that is changed.
        let wanted = self.top_k.saturating_add(changed);
        let block = (logits.len() / wanted.saturating_mul(BLOCKS).max(1) / LANES * LANES).max(LANES);
        if wanted.saturating_mul(block) > logits.len() {
            return false;
        }
        self.maxima.clear();
        self.maxima.extend(logits.chunks(block).map(largest));
        self.ordered.clone_from(&self.maxima);
        let (_, bound, _) = self.ordered.select_nth_unstable_by(wanted - 1, |a, b| b.total_cmp(a));
        let bound = *bound;
        let blocks = (0..).step_by(block).zip(logits.chunks(block)).zip(&self.maxima);
        let reaching = blocks.filter(|(_, most)| **most >= bound).map(|(numbers, _)| numbers);
        let largest = reaching.flat_map(|(first, block)| {
            (first..).zip(block).filter(move |(_, logit)| **logit >= bound && logit.is_finite())
        });
        self.changed.clear();
        self.changed.extend(self.biased.iter().chain(&self.recent));
        self.changed.sort_unstable();
        self.changed.dedup();
        let logit = |token: &Token| usize::try_from(*token).ok().and_then(|at| logits.get(at));
        let below = self.changed.iter().filter_map(|token| Some((*token, logit(token)?)));
        let below = below.filter(|(_, logit)| **logit < bound && logit.is_finite());
        refill(scratch, largest.chain(below));
        true
    }
}

/// The largest finite number; negative infinity where there is none.
pub(super) fn largest(numbers: &[f32]) -> f32 {
    // Without `f32::max`, whose rule for NaN costs the vector instruction.
    let more = |most: f32, number: f32| if number > most && number < f32::INFINITY { number } else { most };
    let (rows, rest) = numbers.as_chunks::<LANES>();
    let mut most = [f32::NEG_INFINITY; LANES];
    for row in rows {
        for (most, number) in most.iter_mut().zip(row) {
            *most = more(*most, *number);
        }
    }
    most.iter().chain(rest).copied().fold(f32::NEG_INFINITY, more)
}

#[cfg(test)]
mod tests {
    use super::super::sampler::{Sampler, scratch};
    use super::*;
    use bobbin_inference::Sampling;
    use proptest::prelude::*;

    #[test]
    fn the_largest_is_the_largest_that_is_a_number() {
        let numbers: Vec<f32> = (0..100).map(|at| (at * 37 % 100) as f32).collect();
        assert_eq!(largest(&numbers), 99.0);
        assert_eq!(largest(&[f32::NAN, -3.0, f32::INFINITY, -1.0]), -1.0);
        assert_eq!(largest(&[f32::NAN; 40]), f32::NEG_INFINITY);
    }

    #[test]
    fn a_small_vocabulary_is_taken_whole() {
        assert!(!Shortlist::new(40, Vec::new(), 0).fill(&[0.0; 256], &mut scratch()));
        assert!(Shortlist::new(4, Vec::new(), 0).fill(&[0.0; 256], &mut scratch()));
    }

    #[test]
    fn a_large_vocabulary_has_few_candidates() {
        let logits: Vec<f32> = (0..150_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 8) as f32).collect();
        let mut found = scratch();
        assert!(Shortlist::new(40, Vec::new(), 0).fill(&logits, &mut found));
        assert!((40..120).contains(&found.data.len()), "{} candidates", found.data.len());
    }

    fn sampling() -> impl Strategy<Value = Sampling> {
        let penalties = (prop_oneof![Just(1.0_f32), 0.5..2.0_f32], -2.0..2.0_f32, -2.0..2.0_f32, -1..80_i32);
        let bias = prop::collection::btree_map(0..5000_i32, -20.0..20.0_f32, 0..6);
        (1..100_u32, 0.5..1.0_f32, 0.0..0.2_f32, penalties, bias, any::<u32>()).prop_map(
            |(
                top_k,
                top_p,
                min_p,
                (repeat_penalty, presence_penalty, frequency_penalty, repeat_last_n),
                logit_bias,
                seed,
            )| {
                Sampling {
                    temperature: 0.9,
                    top_k,
                    top_p,
                    min_p,
                    repeat_penalty,
                    repeat_last_n,
                    presence_penalty,
                    frequency_penalty,
                    logit_bias,
                    seed: Some(seed),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn the_choice_is_the_one_that_falls_among_all(
            sampling in sampling(),
            history in prop::collection::vec(0..5000_i32, 0..100),
            salt in any::<u32>(),
        ) {
            // No two alike, so that there is one order.
            let logit = |at: u32| ((at ^ salt).wrapping_mul(2_654_435_761) as f32) / 3e8;
            let logits: Vec<f32> = (0..5000).map(logit).collect();
            let make = || Sampler::new(&sampling, 5000, 128, &history).unwrap();
            let (mut short, mut whole) = (make(), make().without_shortlist());
            for _ in 0..4 {
                let chosen = short.choose(&logits, &mut scratch()).unwrap();
                prop_assert_eq!(chosen, whole.choose(&logits, &mut scratch()).unwrap());
                short.accept(chosen);
                whole.accept(chosen);
            }
        }
    }
}
