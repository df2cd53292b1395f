//! Small models whose layers keep a state in place of keys and values.

use crate::header::{Content, Tensor, Value, numbered_words};

/// How such a model is put together, by llama.cpp's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateSpace {
    /// `mamba`: every layer has a state, and none has attention.
    Mamba,
    /// `jamba`: every second layer has attention, and all have a feed-forward network.
    Jamba,
}

impl StateSpace {
    /// Tokens that it was trained to look back on.
    pub const CONTEXT: u32 = 1024;

    fn name(self) -> &'static str {
        match self {
            Self::Mamba => "mamba",
            Self::Jamba => "jamba",
        }
    }

    /// Heads of keys and values in a layer; without any it has a state.
    fn kv_heads(self, layer: u32) -> u32 {
        if self == Self::Jamba && layer % 2 == 1 { HEADS } else { 0 }
    }
}

const LAYERS: u32 = 4;
const WIDTH: u32 = 64;
/// Numbers that stand for a token within a layer with a state; llama.cpp knows no other relation.
const INNER: u32 = 2 * WIDTH;
/// Numbers that are kept for each of them.
const STATE: u32 = 16;
/// Tokens before this one that a layer looks at, and this one.
const CONVOLVED: u32 = 4;
/// A row must be whole blocks.
const RANK: u32 = 32;
const HEADS: u32 = 2;
const VOCABULARY: u32 = 512;

pub(crate) fn tensors(kind: StateSpace) -> Vec<Tensor> {
    let tensor = |name: String, dims: &[u32], content: Content| Tensor {
        name,
        dims: dims.iter().copied().map(u64::from).collect(),
        content,
        skip: 0,
    };
    let weight = |name: String, dims: &[u32], content| tensor(format!("{name}.weight"), dims, content);
    let matrix = |name: String, row: u32, rows: u32| weight(name, &[row, rows], Content::Matrix);
    let ones = |name: String, count: u32| weight(name, &[count], Content::Ones);
    let bias = |name: String, count: u32| tensor(format!("{name}.bias"), &[count], Content::Zeros);
    let mut all = vec![
        matrix("token_embd".into(), WIDTH, VOCABULARY),
        ones("output_norm".into(), WIDTH),
        // With the embeddings in its place, such a model repeats the last token, whatever its state says.
        matrix("output".into(), WIDTH, VOCABULARY),
    ];
    for layer in 0..LAYERS {
        let name = |part: &str| format!("blk.{layer}.{part}");
        all.push(ones(name("attn_norm"), WIDTH));
        if kind.kv_heads(layer) > 0 {
            all.extend(["attn_q", "attn_k", "attn_v", "attn_output"].map(|part| matrix(name(part), WIDTH, WIDTH)));
        } else {
            all.push(matrix(name("ssm_in"), WIDTH, 2 * INNER));
            all.push(weight(name("ssm_conv1d"), &[CONVOLVED, INNER], Content::Ones));
            all.push(bias(name("ssm_conv1d"), INNER));
            all.push(matrix(name("ssm_x"), INNER, RANK + 2 * STATE));
            all.push(matrix(name("ssm_dt"), RANK, INNER));
            all.push(bias(name("ssm_dt"), INNER));
            all.push(tensor(name("ssm_a"), &[STATE, INNER], Content::Decays));
            all.push(tensor(name("ssm_d"), &[INNER], Content::Ones));
            all.push(matrix(name("ssm_out"), INNER, WIDTH));
            if kind == StateSpace::Jamba {
                let norms = [("ssm_dt_norm", RANK), ("ssm_b_norm", STATE), ("ssm_c_norm", STATE)];
                all.extend(norms.map(|(part, count)| ones(name(part), count)));
            }
        }
        if kind == StateSpace::Jamba {
            all.push(ones(name("ffn_norm"), WIDTH));
            all.push(matrix(name("ffn_gate"), WIDTH, INNER));
            all.push(matrix(name("ffn_down"), INNER, WIDTH));
            all.push(matrix(name("ffn_up"), WIDTH, INNER));
        }
    }
    for (number, tensor) in all.iter_mut().enumerate() {
        tensor.skip = 701 * number * usize::from(tensor.content == Content::Matrix);
    }
    all
}

pub(crate) fn keys(kind: StateSpace) -> Vec<(String, Value)> {
    let of_model = |key: &str, value: Value| (format!("{}.{key}", kind.name()), value);
    let mut keys = vec![
        ("general.architecture".to_owned(), Value::text(kind.name())),
        ("general.name".to_owned(), Value::text("noise in layers with a state")),
        of_model("block_count", Value::number(LAYERS)),
        of_model("context_length", Value::number(StateSpace::CONTEXT)),
        of_model("embedding_length", Value::number(WIDTH)),
        of_model("attention.layer_norm_rms_epsilon", Value::float(1e-5)),
        of_model("ssm.conv_kernel", Value::number(CONVOLVED)),
        of_model("ssm.inner_size", Value::number(INNER)),
        of_model("ssm.state_size", Value::number(STATE)),
        of_model("ssm.time_step_rank", Value::number(RANK)),
        // Else what noise writes into the state is too small to show.
        of_model("ssm.dt_b_c_rms", Value::yes()),
    ];
    if kind == StateSpace::Jamba {
        let kv_heads: Vec<u32> = (0..LAYERS).map(|layer| kind.kv_heads(layer)).collect();
        keys.push(of_model("feed_forward_length", Value::number(INNER)));
        keys.push(of_model("attention.head_count", Value::number(HEADS)));
        keys.push(of_model("attention.head_count_kv", Value::numbers(&kv_heads)));
    } else {
        keys.push(of_model("feed_forward_length", Value::number(0)));
        keys.push(of_model("attention.head_count", Value::number(0)));
    }
    keys.extend(numbered_words(VOCABULARY));
    keys
}
