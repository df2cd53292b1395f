//! How much of prompts one step takes: as much as keeps the step short, since everybody else's next token,
//! and every cancellation, waits for its end.

use std::time::Duration;

const STEP: Duration = Duration::from_millis(100);
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
    pub(super) fn budget(&self) -> usize {
        let Some(seconds) = self.seconds_per_row else { return self.most.min(4 * LEAST) };
        let rows = STEP.as_secs_f64() / seconds.max(1e-9);
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

    #[test]
    fn a_slow_model_takes_prompts_in_small_chunks_and_a_fast_one_in_large_ones() {
        let mut pace = Pace::new(512);
        assert_eq!(pace.budget(), 128);
        pace.measured(128, Duration::from_millis(1));
        assert_eq!(pace.budget(), 512);
        for _ in 0..32 {
            pace.measured(512, Duration::from_secs(10));
        }
        assert_eq!(pace.budget(), 32);
    }

    #[test]
    fn steps_of_single_tokens_teach_nothing_about_prompts() {
        let mut pace = Pace::new(512);
        pace.measured(1, Duration::from_secs(1));
        assert_eq!(pace.budget(), 128);
    }
}
