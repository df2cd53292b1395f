#![allow(unsafe_code, reason = "ggml builds and computes the graphs")]

use super::OURS;
use super::kernel::{Avx2, Block, Fastest, Kernel, NUMBERS};
use super::operation::{Matrix, Operation};
use llama_cpp_sys_2::{
    GGML_TYPE_F32, GGML_TYPE_Q8_0, ggml_build_forward_expand, ggml_fp32_to_fp16, ggml_free,
    ggml_graph_compute_with_ctx, ggml_init, ggml_init_params, ggml_mul_mat, ggml_new_graph, ggml_new_tensor_3d,
};
use std::sync::atomic::Ordering;

/// A product and what it is computed of.
struct Case {
    rows: usize,
    inputs: usize,
    blocks: usize,
    /// How many times another matrix and other inputs follow.
    layers: usize,
    weights: Vec<Block>,
    /// Whole numbers times a power of two, the largest of each block's being 127: what is quantised is exact.
    given: Vec<f32>,
}

/// Numbers of eight bits.
fn noise(seed: u32) -> impl FnMut() -> i8 {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[3].cast_signed()
    }
}

impl Case {
    fn new([rows, inputs, blocks, layers]: [usize; 4]) -> Self {
        let (mut weight, mut input) = (noise(1), noise(2));
        let mut scales = noise(3);
        let weights = (0..rows * blocks * layers).map(|_| {
            // SAFETY: it takes and returns a number.
            let scale = unsafe { ggml_fp32_to_fp16(f32::from(scales()) / 64.0) };
            Block { scale, numbers: std::array::from_fn(|_| weight()) }
        });
        let weights = weights.collect();
        let given = (0..inputs * blocks * layers).flat_map(|block| {
            let factor = [0.5_f32, 0.25, 2.0][block % 3];
            let numbers: [f32; NUMBERS] =
                std::array::from_fn(|at| if at == block % NUMBERS { -127.0 } else { f32::from(input().max(-127)) });
            numbers.map(|number| number * factor)
        });
        let given = given.collect();
        Self { rows, inputs, blocks, layers, weights, given }
    }

    /// By the definition, in 64-bit floats, and how large the terms of each sum are together.
    fn defined(&self) -> Vec<(f64, f64)> {
        let mut answers = Vec::new();
        let width = self.blocks * NUMBERS;
        for layer in 0..self.layers {
            for (input, row) in (0..self.inputs).flat_map(|input| (0..self.rows).map(move |row| (input, row))) {
                let first = (layer * self.rows + row) * self.blocks;
                let weights = self.weights[first..first + self.blocks].iter().flat_map(|block| {
                    let scale = f64::from(half(block.scale));
                    block.numbers.map(|number| f64::from(number) * scale)
                });
                let first = (layer * self.inputs + input) * width;
                let terms =
                    weights.zip(&self.given[first..first + width]).map(|(weight, input)| weight * f64::from(*input));
                answers.push(terms.fold((0.0, 0.0), |(sum, size), term| (sum + term, size + term.abs())));
            }
        }
        answers
    }

    fn assert_defined(&self, answers: &[f32], name: &str) {
        assert_eq!(answers.len(), self.rows * self.inputs * self.layers);
        for (index, (answer, (defined, size))) in answers.iter().zip(self.defined()).enumerate() {
            let apart = (f64::from(*answer) - defined).abs();
            assert!(apart <= 1e-6 * size, "{name}: number {index} is {answer}, not {defined}");
        }
    }

    /// By a kernel that need not be the fastest one, on this thread.
    fn computed_by<K: Kernel>(&self) -> Vec<f32> {
        self.computed_with(|operation| {
            let mut taken = 0;
            operation.compute::<K>(0, 1, || {
                taken += 1;
                taken
            });
        })
    }

    /// The same, as what is computed where there is one input, by three threads one after the other: the first takes all
    /// parts with which nobody begins.
    fn computed_by_single<K: Kernel, const AHEAD: bool>(&self) -> Vec<f32> {
        let mut parts = 3..;
        self.computed_with(|operation| {
            (0..3).for_each(|thread| operation.compute_rows::<K, AHEAD>(thread, 3, || parts.next().unwrap()));
        })
    }

    fn computed_with(&self, compute: impl FnOnce(&Operation)) -> Vec<f32> {
        let inputs: Vec<Block> = self.given.as_chunks::<NUMBERS>().0.iter().map(quantised).collect();
        let mut answers = vec![f32::NAN; self.rows * self.inputs];
        let matrix = |data: &[Block], rows: usize| {
            let [rows, blocks] = [rows, self.blocks].map(|length| i64::try_from(length).unwrap());
            Matrix::new(data.as_ptr(), rows, blocks, blocks).unwrap()
        };
        let operation = Operation {
            weights: matrix(&self.weights, self.rows),
            inputs: matrix(&inputs, self.inputs),
            answers: answers.as_mut_ptr(),
            stride: self.rows,
        };
        compute(&operation);
        answers
    }

    /// By ggml, with so many threads; and how many parts of it were ours.
    fn computed(&self, threads: i32) -> (Vec<f32>, usize) {
        let before = OURS.load(Ordering::Relaxed);
        let memory = 64 << 20;
        let length = |length: usize| i64::try_from(length).unwrap();
        let width = length(self.blocks * NUMBERS);
        // SAFETY: the tensors have as many numbers as are copied, and live until the context is freed.
        let answers = unsafe {
            let params = ggml_init_params { mem_size: memory, mem_buffer: std::ptr::null_mut(), no_alloc: false };
            let context = ggml_init(params);
            let weights = ggml_new_tensor_3d(context, GGML_TYPE_Q8_0, width, length(self.rows), length(self.layers));
            std::ptr::copy_nonoverlapping(self.weights.as_ptr(), (*weights).data.cast(), self.weights.len());
            let inputs = ggml_new_tensor_3d(context, GGML_TYPE_F32, width, length(self.inputs), length(self.layers));
            std::ptr::copy_nonoverlapping(self.given.as_ptr(), (*inputs).data.cast(), self.given.len());
            let product = ggml_mul_mat(context, weights, inputs);
            let graph = ggml_new_graph(context);
            ggml_build_forward_expand(graph, product);
            assert_eq!(ggml_graph_compute_with_ctx(context, graph, threads), 0);
            let numbers = self.rows * self.inputs * self.layers;
            let answers = std::slice::from_raw_parts((*product).data.cast::<f32>(), numbers).to_vec();
            ggml_free(context);
            answers
        };
        (answers, OURS.load(Ordering::Relaxed) - before)
    }
}

/// A block whose largest number is 127 times its factor.
fn quantised(numbers: &[f32; NUMBERS]) -> Block {
    let factor = numbers.iter().fold(0.0_f32, |most, number| most.max(number.abs())) / 127.0;
    // SAFETY: it takes and returns a number.
    Block { scale: unsafe { ggml_fp32_to_fp16(factor) }, numbers: numbers.map(|number| (number / factor) as i8) }
}

fn half(bits: u16) -> f32 {
    // SAFETY: it takes and returns a number.
    unsafe { llama_cpp_sys_2::ggml_fp16_to_fp32(bits) }
}

fn assert_as_defined(shape: [usize; 4], threads: i32, ours: bool) {
    let case = Case::new(shape);
    let (answers, parts) = case.computed(threads);
    let name =
        format!("{} rows, {} inputs, {} blocks, {} layers, {threads} threads", shape[0], shape[1], shape[2], shape[3]);
    let expected = if ours { usize::try_from(threads).unwrap() * case.layers } else { 0 };
    assert_eq!(parts, expected, "{name}");
    case.assert_defined(&answers, &name);
}

const SHAPES: [[usize; 4]; 14] = [
    [1, 1, 1, 1],
    [19, 1, 5, 3],
    [896, 1, 28, 1],
    [900, 1, 28, 2],
    [1, 2, 1, 1],
    [15, 3, 1, 1],
    [16, 8, 2, 1],
    [17, 9, 3, 1],
    [64, 31, 8, 1],
    [100, 4, 28, 1],
    [333, 5, 6, 1],
    [48, 6, 5, 1],
    [32, 7, 33, 1],
    [896, 33, 28, 1],
];

#[test]
fn products_are_what_they_are_defined_to_be() {
    for threads in [1, 2, 3] {
        for shape in SHAPES {
            let ours = shape[1] >= Fastest::FEWEST || (shape[1] == 1 && Fastest::SINGLE);
            assert_as_defined(shape, threads, ours);
        }
    }
}

#[test]
fn the_slower_kernel_computes_the_same_products() {
    for shape in SHAPES.into_iter().filter(|shape| shape[3] == 1) {
        let case = Case::new(shape);
        case.assert_defined(&case.computed_by::<Avx2>(), &format!("{shape:?}"));
    }
}

#[test]
fn more_inputs_than_are_packed_at_a_time_are_as_defined() {
    // One panel of eight inputs takes 94 KiB, so that eleven are packed at a time.
    assert_as_defined([40, 203, 300, 1], 2, true);
}

#[test]
fn several_matrices_of_one_product_are_each_computed_once() {
    assert_as_defined([70, 9, 4, 3], 2, true);
}

#[test]
fn a_single_input_has_one_product_with_each_row() {
    for shape in SHAPES.into_iter().filter(|shape| shape[1] == 1) {
        let case = Case::new([shape[0], 1, shape[2], 1]);
        case.assert_defined(&case.computed_by_single::<Fastest, false>(), &format!("{shape:?}"));
        case.assert_defined(&case.computed_by_single::<Fastest, true>(), &format!("{shape:?}, fetched ahead"));
        case.assert_defined(&case.computed_by_single::<Avx2, false>(), &format!("{shape:?}, slower"));
    }
}
