#![allow(unsafe_code, reason = "ggml builds and computes the graphs")]

use super::OURS;
use llama_cpp_sys_2::{
    GGML_TYPE_F16, GGML_TYPE_F32, ggml_build_forward_expand, ggml_context, ggml_flash_attn_ext, ggml_fp32_to_fp16_row,
    ggml_free, ggml_graph_compute_with_ctx, ggml_init, ggml_init_params, ggml_new_graph, ggml_new_tensor_4d,
    ggml_tensor,
};
use std::sync::atomic::Ordering;

/// A fused attention and what it is computed of, one number after the other.
struct Case {
    width: usize,
    rows: usize,
    heads: usize,
    key_heads: usize,
    cells: usize,
    queries: Vec<f32>,
    keys: Vec<f32>,
    values: Vec<f32>,
    mask: Vec<f32>,
}

/// Numbers between -1 and 1 that 16 bits hold exactly.
fn noise(length: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state
    };
    (0..length).map(|_| f32::from(u8::try_from(next() >> 24).unwrap()) / 128.0 - 1.0).collect()
}

impl Case {
    fn new([width, rows, heads, key_heads, cells]: [usize; 5], sees: impl Fn(usize, usize) -> bool) -> Self {
        let mask = (0..rows * cells).map(|at| if sees(at / cells, at % cells) { 0.0 } else { f32::NEG_INFINITY });
        Self {
            width,
            rows,
            heads,
            key_heads,
            cells,
            queries: noise(width * rows * heads, 1),
            keys: noise(width * cells * key_heads, 2),
            values: noise(width * cells * key_heads, 3),
            mask: mask.collect(),
        }
    }

    fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }

    /// By the definition, in 64-bit floats: `[row][head][width]`.
    fn defined(&self) -> Vec<f32> {
        let mut answers = Vec::new();
        for (row, head) in (0..self.rows).flat_map(|row| (0..self.heads).map(move |head| (row, head))) {
            let of = |numbers: &[f32], outer: usize, length: usize, inner: usize| -> Vec<f64> {
                let first = (outer * length + inner) * self.width;
                numbers[first..first + self.width].iter().copied().map(f64::from).collect()
            };
            let query = of(&self.queries, head, self.rows, row);
            let key_head = head / (self.heads / self.key_heads);
            let weights: Vec<f64> = (0..self.cells)
                .map(|cell| {
                    let key = of(&self.keys, key_head, self.cells, cell);
                    let dot: f64 = query.iter().zip(&key).map(|(query, key)| query * key).sum();
                    (dot * f64::from(self.scale()) + f64::from(self.mask[row * self.cells + cell])).exp()
                })
                .collect();
            let sum: f64 = weights.iter().sum();
            let mut answer = vec![0.0; self.width];
            for (cell, weight) in weights.iter().enumerate().filter(|_| sum > 0.0) {
                for (answer, value) in answer.iter_mut().zip(of(&self.values, key_head, self.cells, cell)) {
                    *answer += value * weight / sum;
                }
            }
            answers.extend(answer.into_iter().map(|number| number as f32));
        }
        answers
    }

    /// As ggml's graph computes it, with so many threads, and how many of its threads' parts were ours.
    fn computed(&self, threads: i32) -> (Vec<f32>, usize) {
        let before = OURS.load(Ordering::Relaxed);
        let length = |length: usize| i64::try_from(length).unwrap();
        // SAFETY: ggml's own calls in their order; what is copied is as long as the tensor that it is copied to or from.
        let answers = unsafe {
            let context =
                ggml_init(ggml_init_params { mem_size: 64 << 20, mem_buffer: std::ptr::null_mut(), no_alloc: false });
            let tensor = |kind, numbers: &[f32], shape: [usize; 3]| {
                let [inner, middle, outer] = shape.map(length);
                filled(context, ggml_new_tensor_4d(context, kind, inner, middle, outer, 1), numbers)
            };
            let queries = tensor(GGML_TYPE_F32, &self.queries, [self.width, self.rows, self.heads]);
            let keys = tensor(GGML_TYPE_F16, &self.keys, [self.width, self.cells, self.key_heads]);
            let values = tensor(GGML_TYPE_F16, &self.values, [self.width, self.cells, self.key_heads]);
            let mask = tensor(GGML_TYPE_F16, &self.mask, [self.cells, self.rows, 1]);
            let answer = ggml_flash_attn_ext(context, queries, keys, values, mask, self.scale(), 0.0, 0.0);
            let graph = ggml_new_graph(context);
            ggml_build_forward_expand(graph, answer);
            assert_eq!(ggml_graph_compute_with_ctx(context, graph, threads), 0);
            let length = self.width * self.rows * self.heads;
            let answers = std::slice::from_raw_parts((*answer).data.cast::<f32>(), length).to_vec();
            ggml_free(context);
            answers
        };
        (answers, OURS.load(Ordering::Relaxed) - before)
    }
}

/// Fills a tensor with numbers.
///
/// # Safety
/// It has as many.
unsafe fn filled(_: *mut ggml_context, tensor: *mut ggml_tensor, numbers: &[f32]) -> *mut ggml_tensor {
    // SAFETY: as the caller says.
    unsafe {
        if (*tensor).type_ == GGML_TYPE_F16 {
            let length = i64::try_from(numbers.len()).unwrap();
            ggml_fp32_to_fp16_row(numbers.as_ptr(), (*tensor).data.cast(), length);
        } else {
            std::ptr::copy_nonoverlapping(numbers.as_ptr(), (*tensor).data.cast(), numbers.len());
        }
    }
    tensor
}

fn assert_as_defined(case: &Case, threads: i32, ours: bool) {
    let (answers, parts) = case.computed(threads);
    let name = format!(
        "width {}, rows {}, heads {} of {}, cells {}, threads {threads}",
        case.width, case.rows, case.heads, case.key_heads, case.cells
    );
    assert_eq!(parts, if ours { usize::try_from(threads).unwrap() } else { 0 }, "{name}");
    for (index, (answer, defined)) in answers.iter().zip(case.defined()).enumerate() {
        // ggml's own kernel adds values up in 16 bits.
        let tolerance = if ours { 1e-5 } else { 1e-2 };
        assert!((answer - defined).abs() < tolerance, "{name}: number {index} is {answer}, not {defined}");
    }
}

/// Cells of many sequences, in turn: a row sees those of its own sequence.
fn in_turn(sequences: usize) -> impl Fn(usize, usize) -> bool {
    move |row, cell| cell % sequences == row % sequences
}

#[test]
fn rows_of_many_sequences_get_what_attention_is_defined_to_be() {
    for threads in [1, 2, 3] {
        for shape in [
            [64, 32, 14, 2, 2688],
            [128, 5, 4, 4, 256],
            [32, 7, 9, 3, 100],
            [8, 3, 1, 1, 17],
            [80, 4, 40, 8, 513],
            [16, 63, 5, 1, 64],
        ] {
            assert_as_defined(&Case::new(shape, in_turn(shape[1])), threads, true);
        }
    }
}

#[test]
fn a_single_row_over_a_long_history_is_as_defined() {
    assert_as_defined(&Case::new([64, 1, 8, 2, 3000], |_, _| true), 2, true);
}

#[test]
fn a_row_that_sees_nothing_gets_zeros() {
    let case = Case::new([64, 4, 4, 2, 128], |row, cell| row != 2 && cell % 4 == row);
    assert_as_defined(&case, 2, true);
    let (answers, _) = case.computed(2);
    assert!(answers[2 * 4 * 64..3 * 4 * 64].iter().all(|number| *number == 0.0));
}

#[test]
fn what_a_mask_adds_counts() {
    let mut case = Case::new([32, 3, 2, 1, 40], |_, _| true);
    case.mask = noise(3 * 40, 9);
    assert_as_defined(&case, 1, true);
}

#[test]
fn many_rows_that_see_little_are_ours_and_one_long_prompt_is_ggmls() {
    assert_as_defined(&Case::new([64, 128, 4, 2, 512], in_turn(8)), 2, true);
    assert_as_defined(&Case::new([64, 128, 4, 2, 128], |row, cell| cell <= row), 2, false);
}

#[test]
fn fewer_parts_than_threads_are_ggmls() {
    assert_as_defined(&Case::new([64, 1, 4, 2, 600], |_, _| true), 3, false);
}

#[test]
fn a_width_that_vectors_do_not_divide_is_ggmls() {
    assert_as_defined(&Case::new([12, 4, 2, 1, 64], in_turn(4)), 2, false);
}
