//! How the rows of one step are divided among calls of llama.cpp.
//!
//! From some number of rows on, the processor computes fused attention in tiles of rows and cells, and a tile costs the
//! same whether one of its rows sees one of its cells or all see all. Rows of a prompt see the same cells. But the next
//! tokens of many answers see cells everywhere, so together with a prompt in one call they would have nearly all tiles
//! computed. They go first then, in calls too small for tiles; the weights are read once more for each call, which costs
//! less.

use super::super::schedule::Row;

/// So few answers leave most tiles out.
const FEW: usize = 4;

/// The calls for these rows, which begin with one row for each answer and go on with prompts. `tile` is the number of
/// rows from which on there are tiles, where there are any.
pub(super) fn parts(rows: &[Row], tile: Option<usize>) -> impl Iterator<Item = &[Row]> {
    let whole = tile.is_none_or(|tile| rows.len() < tile);
    let answers = if whole { 0 } else { answers(rows) };
    let (answers, prompts) = if answers < FEW { rows.split_at(0) } else { rows.split_at(answers) };
    let most = tile.map_or(usize::MAX, |tile| tile.saturating_sub(1)).max(1);
    // All of one size, as far as that goes.
    let calls = answers.len().div_ceil(most).max(1);
    let prompts = Some(prompts).filter(|prompts| !prompts.is_empty());
    answers.chunks(answers.len().div_ceil(calls).max(1)).chain(prompts)
}

/// How many rows there are at the beginning of which each is the only one of its sequence.
pub(super) fn answers(rows: &[Row]) -> usize {
    let first = rows.windows(2).position(|pair| matches!(pair, [one, next] if one.slot == next.slot));
    first.unwrap_or(rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of sequences of which each has so many.
    fn rows(lengths: &[usize]) -> Vec<Row> {
        let rows = (0..).zip(lengths).flat_map(|(slot, length)| {
            (0..*length).map(move |at| {
                let pos = u32::try_from(at).unwrap();
                Row { call: u64::from(slot), slot, token: 1, pos, output: at + 1 == *length }
            })
        });
        rows.collect()
    }

    fn lengths(of: &[usize], tile: Option<usize>) -> Vec<usize> {
        let rows = rows(of);
        let parts: Vec<&[Row]> = parts(&rows, tile).collect();
        assert_eq!(parts.concat(), rows, "every row once, in order");
        parts.iter().map(|part| part.len()).collect()
    }

    #[test]
    fn without_tiles_a_step_is_one_call() {
        assert_eq!(lengths(&[1, 1, 1, 1, 1, 200], None), [205]);
        assert_eq!(lengths(&[1, 1, 1, 1, 1, 50], Some(64)), [55], "too small for tiles");
        assert_eq!(lengths(&[], Some(64)), [0; 0]);
    }

    #[test]
    fn many_answers_are_computed_apart_from_prompts() {
        assert_eq!(lengths(&[1, 1, 1, 1, 1, 200], Some(64)), [5, 200]);
        assert_eq!(lengths(&[1, 1, 1, 200], Some(64)), [203], "few answers leave most tiles out");
        assert_eq!(lengths(&[300, 200], Some(64)), [500]);
    }

    #[test]
    fn answers_that_would_fill_a_tile_are_computed_in_calls_of_one_size() {
        assert_eq!(lengths(&[1; 63], Some(64)), [63]);
        assert_eq!(lengths(&[1; 64], Some(64)), [32, 32]);
        assert_eq!(lengths(&[vec![1; 130], vec![100]].concat(), Some(64)), [44, 44, 42, 100]);
    }
}
