//! One fused attention as ggml describes it, and which of them are computed here.

#![allow(unsafe_code, reason = "ggml's tensors are pointers and strides")]

use super::kernel::{self, Group, LANES, MOST_HEADS, Scratch, UNSEEN};
use llama_cpp_sys_2::{GGML_TYPE_F16, GGML_TYPE_F32, ggml_tensor};
use std::cell::RefCell;

/// From so many rows on, ggml computes tiles of rows by cells, which is faster where most of a tile is seen.
const TILE_ROWS: usize = 64;
/// Rows of which one cell in so many is seen are computed here, whatever their number.
const SPARSE: usize = 3;

/// A tensor's rows of contiguous numbers, by their three outer indices' strides in bytes.
#[derive(Clone, Copy)]
struct Rows<T> {
    data: *const T,
    strides: [usize; 2],
}

/// An attention that the kernel can compute: one cache, keys and values of 16-bit floats, a mask, nothing special.
pub(super) struct Operation {
    queries: Rows<f32>,
    keys: Rows<u16>,
    values: Rows<u16>,
    mask: Rows<u16>,
    answers: *mut f32,
    /// Numbers of a head's key and value.
    width: usize,
    rows: usize,
    heads: usize,
    /// Heads with keys of their own.
    key_heads: usize,
    cells: usize,
    scale: f32,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl<T> Rows<T> {
    /// The rows of a tensor, or nothing if its innermost numbers are of another type or not contiguous.
    ///
    /// # Safety
    /// The tensor is valid.
    unsafe fn of(tensor: &ggml_tensor, kind: u32) -> Option<Self> {
        let fits = tensor.type_ == kind && tensor.nb[0] == size_of::<T>() && tensor.ne[3] == 1;
        fits.then(|| Self { data: tensor.data.cast_const().cast(), strides: [tensor.nb[1], tensor.nb[2]] })
    }

    /// The row at two indices, from the inner one to the outer.
    ///
    /// # Safety
    /// The indices are within the tensor, whose rows have at least `length` numbers.
    unsafe fn row<'a>(&self, inner: usize, outer: usize, length: usize) -> &'a [T] {
        let [first, second] = self.strides;
        // SAFETY: within the tensor, as the caller says; rows are aligned to their numbers.
        unsafe { std::slice::from_raw_parts(self.data.byte_add(inner * first + outer * second), length) }
    }
}

impl Operation {
    /// The operation that a tensor is the answer of, if the kernel knows its kind.
    ///
    /// # Safety
    /// `destination` is a valid fused attention, whose sources outlive the value.
    pub(super) unsafe fn of(destination: *mut ggml_tensor) -> Option<Self> {
        // SAFETY: as the caller says.
        let answer = unsafe { &*destination };
        let source = |index: usize| {
            let pointer = answer.src.get(index).copied()?;
            // SAFETY: a source is null or valid.
            unsafe { pointer.as_ref() }
        };
        let (queries, keys, values, mask) = (source(0)?, source(1)?, source(2)?, source(3)?);
        let [scale, bias, cap] = [0, 1, 2]
            .map(|index: usize| f32::from_bits(answer.op_params.get(index).copied().unwrap_or(0).cast_unsigned()));
        let [width, rows, heads, _] = queries.ne.map(|length| usize::try_from(length).unwrap_or(0));
        let [key_width, cells, key_heads, _] = keys.ne.map(|length| usize::try_from(length).unwrap_or(0));
        let value_width = usize::try_from(values.ne[0]).ok()?;
        let plain = bias == 0.0 && cap == 0.0 && source(4).is_none() && mask.ne[2] == 1;
        let shapes = width == key_width && width == value_width && values.ne[2] == keys.ne[2];
        let even = width > 0 && width.is_multiple_of(LANES) && key_heads > 0 && heads.is_multiple_of(key_heads);
        if !(plain && shapes && even) {
            return None;
        }
        // SAFETY: all of them are valid tensors.
        unsafe {
            Some(Self {
                queries: Rows::of(queries, GGML_TYPE_F32)?,
                keys: Rows::of(keys, GGML_TYPE_F16)?,
                values: Rows::of(values, GGML_TYPE_F16)?,
                mask: Rows::of(mask, GGML_TYPE_F16)?,
                answers: answer.data.cast(),
                width,
                rows,
                heads,
                key_heads,
                cells,
                scale,
            })
        }
    }

    /// Whether the kernel is the faster one. Every thread comes to the same answer: it depends on nothing else than the
    /// operation.
    pub(super) fn is_for_us(&self, threads: usize) -> bool {
        if self.rows * self.key_heads < threads {
            return false;
        }
        self.rows < TILE_ROWS || self.seen() * SPARSE < self.rows * self.cells
    }

    /// Pairs of a row and a cell that it sees.
    fn seen(&self) -> usize {
        (0..self.rows).map(|row| self.mask_of(row).iter().filter(|mask| **mask != UNSEEN).count()).sum()
    }

    fn mask_of(&self, row: usize) -> &[u16] {
        // SAFETY: the mask has a row for each row of queries, and a number for each cell.
        unsafe { self.mask.row(row, 0, self.cells) }
    }

    /// Computes one thread's part: every so-manieth of the pairs of a row and a head with keys of its own.
    pub(super) fn compute(&self, thread: usize, threads: usize) {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut listed = None;
            for unit in (thread..self.rows * self.key_heads).step_by(threads) {
                let (row, key_head) = (unit / self.key_heads, unit % self.key_heads);
                if listed != Some(row) {
                    scratch.list(self.mask_of(row));
                    listed = Some(row);
                }
                self.attend(row, key_head, scratch);
            }
        });
    }

    /// Computes the heads of a row that share their keys.
    fn attend(&self, row: usize, key_head: usize, scratch: &mut Scratch) {
        let sharing = self.heads / self.key_heads;
        let (mut head, end) = (key_head * sharing, (key_head + 1) * sharing);
        while head < end {
            let together = (end - head).min(MOST_HEADS);
            // SAFETY: the indices are within the tensors. The answer's rows hold all heads, one after the other, and no
            // other thread writes to these heads of this row.
            let group = unsafe {
                Group {
                    queries: std::array::from_fn(|index| {
                        self.queries.row(row, head + index.min(together - 1), self.width)
                    }),
                    keys: self.keys.row(0, key_head, 0).as_ptr(),
                    key_stride: self.keys.strides[0],
                    values: self.values.row(0, key_head, 0).as_ptr(),
                    value_stride: self.values.strides[0],
                    answers: std::slice::from_raw_parts_mut(
                        self.answers.add((row * self.heads + head) * self.width),
                        together * self.width,
                    ),
                    width: self.width,
                    scale: self.scale,
                }
            };
            // SAFETY: the cells of the list are within the mask's row, and so within keys and values.
            unsafe { kernel::attend(group, scratch) };
            head += together;
        }
    }
}
