//! How much of prompts one step takes: as much as keeps the step short, since everybody else's next token,
//! and every cancellation, waits for its end. But large steps compute a prompt in less time: so the more prompts there
//! are for each answer in hand, the longer a step may be.

use super::super::schedule::Demand;
use std::time::Duration;

const STEP: Duration = Duration::from_millis(200);
/// By how much a step may be longer where many wait for a first token.
const LONGER: f64 = 5.0;
/// How many steps' worth of prompts an answer in hand waits for, where there is one prompt for each of them.
const PATIENCE: f64 = 4.0;
/// Fewer rows make no step shorter: the weights are read once in any case.
const LEAST: usize = 32;

/// Learns how long a row takes.
#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    seconds_per_row: Option<f64>,
}

impl Pace {
    /// For a batch of so many rows.
    pub(super) fn new(most: usize) -> Self {
        Self { most, seconds_per_row: None }
    }

    /// Rows of prompts for the next step.
    pub(super) fn budget(&self, demand: Demand) -> usize {
        let Some(seconds) = self.seconds_per_row else { return self.most.min(4 * LEAST) };
        #[allow(clippy::cast_precision_loss, reason = "counts of computes")]
        let longer = (PATIENCE * demand.prompts as f64 / demand.answers as f64).clamp(1.0, LONGER);
        let rows = STEP.as_secs_f64() * longer / seconds.max(1e-9);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number; `as` saturates")]
        let rows = rows as usize;
        rows.clamp(LEAST.min(self.most), self.most)
    }

    /// A step of so many rows took so long.
    pub(super) fn measured(&mut self, rows: usize, took: Duration) {
        let Ok(rows) = u32::try_from(rows) else { return };
        if (rows as usize) < LEAST {
            return;
        }
        let seconds = took.as_secs_f64() / f64::from(rows);
        self.seconds_per_row = Some(self.seconds_per_row.map_or(seconds, |old| 0.7 * old + 0.3 * seconds));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn demand(prompts: usize, answers: usize) -> Demand {
        Demand { prompts, answers }
    }

    #[test]
    fn a_slow_model_takes_prompts_in_small_chunks_and_a_fast_one_in_large_ones() {
        let mut pace = Pace::new(512);
        assert_eq!(pace.budget(demand(1, 1)), 128);
        pace.measured(128, Duration::from_millis(1));
        assert_eq!(pace.budget(demand(1, 1)), 512);
        for _ in 0..64 {
            pace.measured(512, Duration::from_secs(60));
        }
        assert_eq!((pace.budget(demand(1, 1)), pace.budget(demand(1, 0))), (32, 32));
    }

    #[test]
    fn the_more_prompts_there_are_for_each_answer_the_larger_the_chunk() {
        let mut pace = Pace::new(512);
        for _ in 0..64 {
            pace.measured(512, Duration::from_secs(1));
        }
        for (prompts, answers, expected) in
            [(1, 8, 102), (2, 8, 102), (4, 8, 204), (8, 8, 409), (31, 1, 512), (1, 0, 512)]
        {
            assert_eq!(pace.budget(demand(prompts, answers)), expected, "{prompts} prompts, {answers} answers");
        }
    }

    #[test]
    fn steps_of_single_tokens_teach_nothing_about_prompts() {
        let mut pace = Pace::new(512);
        pace.measured(1, Duration::from_secs(1));
        assert_eq!(pace.budget(demand(1, 1)), 128);
    }
}
