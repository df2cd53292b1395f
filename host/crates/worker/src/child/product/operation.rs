//! A product as ggml describes it, and how it is divided.

#![allow(unsafe_code, reason = "ggml's matrices are pointers and strides")]

use super::kernel::{Block, Kernel, Place, ROWS, Scratch};

/// Bytes of packed weights of one part: they stay in the cache that a core has for itself while inputs pass by.
const PART: usize = 384 << 10;
/// Bytes of packed inputs at a time.
const INPUTS: usize = 1 << 20;
/// Sixteens of rows of one part, at most.
const MOST_STRIPS: usize = 8;
/// Parts for each thread, so that one which is held up leaves its rest to others.
pub(super) const PARTS: usize = 4;

/// Rows of blocks.
#[derive(Clone, Copy)]
pub(super) struct Matrix {
    data: *const Block,
    pub(super) rows: usize,
    /// Blocks of a row.
    pub(super) blocks: usize,
    /// Blocks from one row to the next.
    stride: usize,
}

/// One product: each row of weights with each row of inputs.
pub(super) struct Operation {
    pub(super) weights: Matrix,
    pub(super) inputs: Matrix,
    /// For each input one number for each row of weights.
    pub(super) answers: *mut f32,
    /// Numbers from one input's answers to the next one's.
    pub(super) stride: usize,
}

impl Matrix {
    /// A matrix of such a shape, unless it has nothing in it.
    pub(super) fn new(data: *const Block, rows: i64, blocks: i64, stride: i64) -> Option<Self> {
        let [rows, blocks, stride] = [rows, blocks, stride].map(usize::try_from);
        let matrix = Self { data, rows: rows.ok()?, blocks: blocks.ok()?, stride: stride.ok()? };
        (matrix.rows > 0 && matrix.blocks > 0 && matrix.stride >= matrix.blocks).then_some(matrix)
    }

    /// The blocks of a row; of the last one, if there are not as many.
    pub(super) fn row(&self, row: usize) -> &[Block] {
        // SAFETY: the row is within the matrix.
        unsafe { std::slice::from_raw_parts(self.data.add(row.min(self.rows - 1) * self.stride), self.blocks) }
    }
}

/// How a product is divided: so many inputs at a time, and of each so many strips of sixteen rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Division {
    /// Panels of inputs that are packed at a time.
    panels: usize,
    /// Sixteens of rows of a part.
    strips: usize,
    /// Parts of the rows.
    parts: usize,
    /// Parts in all.
    all: usize,
}

impl Division {
    fn of<K: Kernel>(rows: usize, inputs: usize, blocks: usize, threads: usize) -> Self {
        let panels = (INPUTS / (blocks * size_of::<K::Columns>())).max(1);
        let strips = rows.div_ceil(ROWS);
        let fair = strips / (threads * PARTS);
        let fit = PART / (blocks * size_of::<K::Rows>());
        let of_a_part = fit.min(fair).clamp(1, MOST_STRIPS);
        let parts = strips.div_ceil(of_a_part);
        Self { panels, strips: of_a_part, parts, all: parts * inputs.div_ceil(panels * K::COLUMNS) }
    }
}

impl Operation {
    /// Computes parts until none is left: the thread's own first, then those that `next` gives.
    pub(super) fn compute<K: Kernel>(&self, thread: usize, threads: usize, mut next: impl FnMut() -> usize) {
        let division = Division::of::<K>(self.weights.rows, self.inputs.rows, self.weights.blocks, threads);
        K::with_scratch(|scratch| {
            let mut packed = None;
            let mut part = thread;
            while part < division.all {
                let inputs = part / division.parts;
                if packed != Some(inputs) {
                    self.pack_inputs(inputs * division.panels * K::COLUMNS, division.panels, scratch);
                    packed = Some(inputs);
                }
                self.part(part, &division, scratch);
                part = next();
            }
        });
    }

    fn pack_inputs<K: Kernel>(&self, first: usize, panels: usize, scratch: &mut Scratch<K>) {
        let blocks = self.inputs.blocks;
        let panels = panels.min((self.inputs.rows - first).div_ceil(K::COLUMNS));
        scratch.columns.resize(panels * blocks, K::NO_COLUMNS);
        for (panel, packed) in scratch.columns.chunks_exact_mut(blocks).enumerate() {
            for column in 0..K::COLUMNS {
                // Beyond the last input it is packed again, and not computed.
                let input = self.inputs.row(first + panel * K::COLUMNS + column);
                for (packed, block) in packed.iter_mut().zip(input) {
                    K::pack_column(packed, column, block);
                }
            }
        }
    }

    fn part<K: Kernel>(&self, part: usize, division: &Division, scratch: &mut Scratch<K>) {
        let blocks = self.weights.blocks;
        let first_input = part / division.parts * division.panels * K::COLUMNS;
        let first_row = part % division.parts * division.strips * ROWS;
        let strips = division.strips.min((self.weights.rows - first_row).div_ceil(ROWS));
        scratch.rows.resize(strips * blocks, K::NO_ROWS);
        for (strip, packed) in scratch.rows.chunks_exact_mut(blocks).enumerate() {
            let rows: [&[Block]; ROWS] = std::array::from_fn(|row| self.weights.row(first_row + strip * ROWS + row));
            for (index, packed) in packed.iter_mut().enumerate() {
                // SAFETY: every row has as many blocks as are packed.
                unsafe { K::pack_rows(packed, rows.map(|row| row.as_ptr().add(index))) };
            }
        }
        for (panel, columns) in scratch.columns.chunks_exact(blocks).enumerate() {
            let input = first_input + panel * K::COLUMNS;
            for (strip, rows) in scratch.rows.chunks_exact(blocks).enumerate() {
                let row = first_row + strip * ROWS;
                // SAFETY: rows and inputs begin within the answers, and end there, since there are no more than that.
                // No other thread has this part.
                unsafe {
                    let place = Place {
                        first: self.answers.add(input * self.stride + row),
                        stride: self.stride,
                        rows: (self.weights.rows - row).min(ROWS),
                        columns: (self.inputs.rows - input).min(K::COLUMNS),
                    };
                    K::multiply(rows, columns, place);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::child::product::kernel::Fastest;

    #[test]
    fn every_product_is_in_one_part() {
        for (rows, inputs, blocks, threads) in [
            (1, 2, 1, 1),
            (16, 8, 1, 4),
            (17, 9, 28, 2),
            (151_936, 32, 28, 2),
            (896, 512, 152, 2),
            (4096, 512, 4000, 16),
        ] {
            let Division { panels, strips, parts, all } = Division::of::<Fastest>(rows, inputs, blocks, threads);
            let name = format!("{rows} x {inputs}, {blocks} blocks, {threads} threads");
            assert!((1..=MOST_STRIPS).contains(&strips) && panels > 0, "{name}");
            assert!(parts * strips * ROWS >= rows && (parts - 1) * strips * ROWS < rows, "{name}");
            let (of_inputs, columns) = (all / parts, panels * Fastest::COLUMNS);
            assert!(of_inputs * columns >= inputs && (of_inputs - 1) * columns < inputs, "{name}");
        }
    }
}
