//! How much a worker allocates: the numbers that the worker goes by, and what the host makes of them before it
//! starts one.

/// Rows of one step; bounds how long a cancelled compute may go on.
pub(crate) const BATCH: u32 = 512;
/// Memory for key-value cells, unless one full context needs more.
const CELL_BUDGET: u64 = 256 << 20;
/// Memory for the attention scores of one step.
const SCORE_BUDGET: u64 = 256 << 20;
/// Numbers of a head that is narrow.
const NARROW_HEAD: u32 = 32;
/// Memory for the logits of one step.
const OUTPUT_BUDGET: u64 = 32 << 20;
/// Bytes of a number while computing.
const FLOAT: u64 = 4;
/// What a process has besides its model: code, allocators, tokenisers. Measured: 27 MiB.
const PROCESS: u64 = 32 << 20;
/// Numbers of a step's row that live at once, in widths of the model. Measured: 10 to 20.
const WIDTHS: u64 = 24;

/// Cells for all sequences: as many as `parallel` full contexts, but no more than the budget allows, and
/// at least one full context with the shared prefix beside it. `cell_bytes` is one cell over all layers.
pub(crate) fn cells(context: u32, parallel: u32, prefix: u32, cell_bytes: u64) -> u32 {
    let all = u64::from(context) * u64::from(parallel.max(1));
    let affordable = CELL_BUDGET / cell_bytes.max(1);
    let cells = all.min(affordable.max(u64::from(context))) + u64::from(prefix);
    u32::try_from(cells.next_multiple_of(256)).unwrap_or(u32::MAX - 255)
}

/// Bytes of the attention scores of one step, where attention writes them down: with narrow heads, while the scores fit
/// their budget. Else it is fused.
///
/// Plain attention computes every sequence against the cells of all. Fused attention passes over those of others, at
/// about the price of one narrow head's; and it rounds more, so that the near-ties of small models come out differently
/// from a reference. Measured with 16 streams on two cores: heads of 32 make half as many tokens again with the plain
/// one, heads of 64 a fifth more with the fused one.
pub(crate) fn scores(cells: u32, heads: u32, head_length: u32) -> Option<u64> {
    let scores = u64::from(cells) * u64::from(BATCH) * u64::from(heads) * FLOAT;
    (head_length <= NARROW_HEAD && scores <= SCORE_BUDGET).then_some(scores)
}

/// Rows of one step whose logits may be wanted: what the budget allows, but one for each that computes, and no more
/// than the step has.
pub(crate) fn outputs(vocabulary: u32, parallel: u32, rows: u32) -> u32 {
    let affordable = OUTPUT_BUDGET / (u64::from(vocabulary.max(1)) * FLOAT);
    u32::try_from(affordable).unwrap_or(u32::MAX).clamp(parallel.min(rows), rows)
}

/// What is known of a model before a worker has read it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Bytes of the weights, which are mapped, or copied for the processor and then not looked at again.
    pub(crate) weights: u64,
    /// Whether it generates; else it embeds.
    pub(crate) generates: bool,
    pub(crate) context: u32,
    pub(crate) parallel: u32,
    /// No less than the tokens of the shared prefix.
    pub(crate) prefix: u32,
    pub(crate) cell_bytes: u64,
    pub(crate) heads: u32,
    /// Numbers of a head's key.
    pub(crate) head_length: u32,
    pub(crate) width: u32,
    pub(crate) vocabulary: u32,
}

impl Shape {
    /// Key-value cells; for a model that embeds, the most tokens of a step.
    pub(crate) fn cells(&self) -> u32 {
        if self.generates {
            cells(self.context, self.parallel, self.prefix, self.cell_bytes)
        } else {
            self.context.max(BATCH)
        }
    }

    /// Bytes that a worker may come to hold with it, of which it touches some only under load.
    pub(crate) fn need(&self) -> u64 {
        let cells = self.cells();
        let (rows, computed) = if self.generates {
            let logits = outputs(self.vocabulary, self.parallel, BATCH);
            let computed = scores(cells, self.heads, self.head_length).unwrap_or(0)
                + u64::from(logits) * u64::from(self.vocabulary) * FLOAT;
            (BATCH, computed + u64::from(BATCH) * u64::from(self.vocabulary) * FLOAT)
        } else {
            (cells, 0)
        };
        let mask = u64::from(cells) * u64::from(rows) * FLOAT;
        let activations = u64::from(rows) * u64::from(self.width) * WIDTHS * FLOAT;
        let kept = u64::from(cells).saturating_mul(self.cell_bytes);
        [self.weights, kept, mask, activations, computed].into_iter().fold(PROCESS, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_as_many_as_the_budget_allows_and_never_less_than_one_context() {
        for (context, parallel, prefix, cell_bytes, expected) in [
            (256, 32, 0, 2048, 8192),
            (256, 0, 1, 2048, 512),
            (4096, 32, 0, 131_072, 4096),
            (4096, 32, 0, 16_384, 16_384),
            (100, 1, 0, 0, 256),
        ] {
            assert_eq!(cells(context, parallel, prefix, cell_bytes), expected, "{context} x {parallel}");
        }
        assert_eq!(cells(u32::MAX, u32::MAX, u32::MAX, 1), u32::MAX - 255);
    }

    #[test]
    fn scores_of_narrow_heads_are_written_down_while_they_fit() {
        assert_eq!(scores(8192, 4, 32), Some(64 << 20));
        assert_eq!(scores(32_768, 4, 8), Some(256 << 20));
        assert_eq!(scores(32_769, 4, 8), None);
        assert_eq!(scores(8192, 4, 33), None);
    }

    #[test]
    fn logits_stay_within_their_budget_but_nobody_who_computes_is_left_out() {
        assert_eq!(outputs(1800, 32, 512), 512);
        assert_eq!(outputs(128_000, 8, 512), 65);
        assert_eq!(outputs(1_000_000, 32, 512), 32);
        assert_eq!(outputs(0, 1000, 512), 512);
    }

    #[test]
    fn a_need_does_not_overflow() {
        let most = u32::MAX;
        let shape = Shape {
            weights: u64::MAX,
            generates: true,
            context: most,
            parallel: most,
            prefix: most,
            cell_bytes: u64::MAX,
            heads: 1,
            head_length: 1,
            width: most,
            vocabulary: most,
        };
        assert_eq!(shape.need(), u64::MAX);
    }
}
