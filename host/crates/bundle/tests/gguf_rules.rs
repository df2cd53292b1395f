//! Every rule of the preflight, broken alone in a file that is otherwise valid.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests state what they expect by failing; clippy exempts only their #[test] functions"
)]

mod support;

use bobbin_bundle::gguf::{GgufError, GgufSummary, preflight_reader};
use std::collections::BTreeMap;
use support::gguf::{F16, Gguf, Tensor, Value, tensor, text, texts};

fn check(file: &Gguf) -> Result<GgufSummary, GgufError> {
    check_bytes(&file.build())
}

fn check_bytes(bytes: &[u8]) -> Result<GgufSummary, GgufError> {
    preflight_reader(bytes, bytes.len() as u64)
}

/// Each case: a name, the broken file, and words that its error must have.
type Case<'a> = (&'static str, Gguf, &'a [&'a str]);

fn refuse_all(cases: Vec<Case<'_>>) {
    let mut seen = BTreeMap::new();
    for (name, file, words) in cases {
        let error = match check(&file) {
            Err(error) => error.to_string(),
            Ok(summary) => panic!("{name} passed: {summary:?}"),
        };
        for word in words {
            assert!(error.contains(word), "{name}: \"{word}\" is not in: {error}");
        }
        if let Some(other) = seen.insert(error.clone(), name) {
            panic!("{name} and {other} have the same error: {error}");
        }
    }
}

fn llama() -> Gguf {
    Gguf::llama()
}

#[test]
fn valid_files_pass() {
    let summary = check(&llama()).unwrap();
    assert_eq!(summary.name.as_deref(), Some("tiny"));
    assert_eq!((summary.block_count, summary.head_count, summary.head_count_kv), (2, 4, 2));
    assert_eq!((summary.key_length, summary.value_length, summary.vocabulary), (8, 8, 9));
    // 2 layers of 2 heads, 8 + 8 numbers of 2 bytes.
    assert_eq!(summary.kv_bytes_per_token(), 2 * 2 * 16 * 2);
    check(&Gguf::sentence_piece()).unwrap();
    check(&Gguf::bert()).unwrap();
    let mut old = llama();
    old.version = 2;
    check(&old).unwrap();
}

#[test]
fn honest_variations_pass() {
    let mut mixture = llama().with("llama.expert_count", Value::U32(4)).with("llama.expert_used_count", Value::U32(2));
    for block in 0..2 {
        for part in ["gate", "down", "up"] {
            mixture = mixture.without_tensor(&format!("blk.{block}.ffn_{part}.weight"));
        }
        mixture.tensors.push(tensor(&format!("blk.{block}.ffn_gate_inp.weight"), &[32, 4]));
        mixture.tensors.push(tensor(&format!("blk.{block}.ffn_gate_exps.weight"), &[32, 48, 4]));
        mixture.tensors.push(tensor(&format!("blk.{block}.ffn_down_exps.weight"), &[48, 32, 4]));
        mixture.tensors.push(tensor(&format!("blk.{block}.ffn_up_exps.weight"), &[32, 48, 4]));
    }
    let mut bias = llama();
    bias.tensors.push(tensor("blk.0.attn_q.bias", &[32]));
    bias.tensors.push(tensor("output.weight", &[32, 9]));
    let variations = [
        mixture,
        bias,
        llama().with("llama.vocab_size", Value::U32(9)),
        llama().with("llama.attention.head_count_kv", Value::I32s(vec![2, 2])),
        llama().with("llama.rope.scaling.type", text("yarn")),
        llama().with("general.alignment", Value::U32(32)),
        llama().with("split.count", Value::U16(1)),
        llama().with("tokenizer.ggml.scores", Value::F32s(vec![0.0; 9])),
        llama().without("tokenizer.ggml.token_type"),
        llama().without("llama.rope.dimension_count"),
    ];
    for (index, file) in variations.iter().enumerate() {
        check(file).unwrap_or_else(|error| panic!("variation {index}: {error}"));
    }
}

#[test]
fn the_container_is_checked() {
    let counted = |tensors: Option<u64>, keys: Option<u64>| Gguf { tensor_count: tensors, key_count: keys, ..llama() };
    let version = |version| Gguf { version, ..llama() };
    let mut empty_key = llama();
    empty_key.keys.push((Vec::new(), Value::U32(1)));
    let mut twice = llama();
    twice.keys.push((b"llama.block_count".to_vec(), Value::U32(2)));
    let mut no_utf8 = llama();
    no_utf8.keys.push((vec![b'k', 0xff], Value::U32(2)));
    let mut nul = llama();
    nul.keys.push((b"general.alignment\0x".to_vec(), Value::U32(3)));
    refuse_all(vec![
        ("magic", Gguf { magic: *b"GGML", ..llama() }, &["GGML"]),
        ("version 1", version(1), &["version 1"]),
        ("version 4", version(4), &["version 4"]),
        ("big endian", version(3_u32.swap_bytes()), &["version 50331648"]),
        ("too many keys", counted(None, Some(u64::MAX)), &["metadata keys"]),
        ("more keys than there are", counted(None, Some(1000)), &["metadata key"]),
        ("too many tensors", counted(Some(1 << 40), None), &["number of tensors"]),
        ("more tensors than there are", counted(Some(1000), None), &["tensor"]),
        ("an empty key", empty_key, &["empty"]),
        ("a duplicate key", twice, &["llama.block_count", "duplicate"]),
        ("a key that is no text", no_utf8, &["UTF-8"]),
        ("a key with a NUL", nul, &["NUL"]),
        ("a value of unknown type", llama().with("x", Value::Raw(13, vec![])), &["type 13"]),
        (
            "an endless array",
            llama().with("x", Value::Raw(9, [4, 0, 0, 0].iter().chain(&[0xff; 8]).copied().collect())),
            &["elements of \"x\""],
        ),
        (
            "an endless list of texts",
            llama().with("y", Value::Raw(9, [8, 0, 0, 0].iter().chain(&[0x7f; 8]).copied().collect())),
            &["elements of \"y\""],
        ),
        (
            "an array of arrays",
            llama().with("x", Value::Raw(9, [9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0].to_vec())),
            &["array of arrays"],
        ),
        ("an endless text", llama().with("x", Value::Raw(8, vec![0xff; 8])), &["x"]),
        ("a text that is none", llama().with("general.name", Value::Text(vec![0xc3])), &["general.name", "UTF-8"]),
        ("a bool of 7", llama().with("llama.attention.causal", Value::Bool(7)), &["bool", "7"]),
        ("alignment 0", llama().with("general.alignment", Value::U32(0)), &["alignment", "is 0"]),
        ("alignment 48", llama().with("general.alignment", Value::U32(48)), &["alignment", "48"]),
        ("alignment 8", llama().with("general.alignment", Value::U32(8)), &["alignment", "is 8"]),
        ("alignment 2 GiB", llama().with("general.alignment", Value::U32(1 << 31)), &["alignment", "2147483648"]),
        ("alignment of another type", llama().with("general.alignment", text("32")), &["alignment", "string"]),
        ("one of several files", llama().with("split.count", Value::U16(3)), &["split.count"]),
        ("an adapter", llama().with("general.type", text("adapter")), &["general.type"]),
        ("no architecture", llama().without("general.architecture"), &["general.architecture", "missing"]),
        ("an unknown architecture", llama().with("general.architecture", text("llamo")), &["llamo"]),
        ("no text model", llama().with("general.architecture", text("clip")), &["clip"]),
        ("an encoder-decoder", llama().with("general.architecture", text("t5")), &["t5"]),
    ]);
}

#[test]
fn tensor_descriptions_are_checked() {
    let q = "blk.0.attn_q.weight";
    let named = |name: &[u8]| llama().replace(q, Tensor { name: name.to_vec(), ..tensor(q, &[32, 32]) });
    let shaped = |dims: &[u64]| llama().replace(q, Tensor { dims: dims.to_vec(), ..tensor(q, &[32, 32]) });
    let typed = |kind| llama().replace(q, Tensor { kind, ..tensor(q, &[32, 32]) });
    let at = |offset| llama().replace(q, Tensor { offset: Some(offset), ..tensor(q, &[32, 32]) });
    let here = llama()
        .tensors
        .iter()
        .take_while(|tensor| tensor.name != q.as_bytes())
        .map(|tensor| tensor.data.len() as u64)
        .sum::<u64>();
    refuse_all(vec![
        ("two of one name", named(b"blk.0.attn_k.weight"), &["blk.0.attn_k.weight", "duplicate"]),
        ("a nameless one", named(b""), &["empty"]),
        ("a long name", named(&[b'x'; 64]), &["64"]),
        ("a name that is no text", named(&[0xff]), &["UTF-8"]),
        ("no dimensions", shaped(&[]), &[q, "0 dimensions"]),
        ("five dimensions", shaped(&[2, 2, 2, 2, 2]), &[q, "5 dimensions"]),
        ("a zero", shaped(&[32, 0]), &[q, "zero"]),
        ("an overflowing product", shaped(&[1 << 40, 1 << 40]), &[q, "overflows"]),
        ("a negative dimension", shaped(&[u64::MAX, 1]), &[q, "overflows"]),
        ("an overflowing size", shaped(&[1 << 62, 1]), &[q, "bytes overflows"]),
        ("beyond the file", shaped(&[1 << 40, 1]), &[q, "file"]),
        ("a removed type", typed(4), &[q, "4"]),
        ("a type far out", typed(u32::MAX), &[q, "4294967295"]),
        ("a row that is no block", typed(12), &[q, "Q4_K", "256"]),
        ("an offset off the alignment", at(here + 1), &[q, "alignment"]),
        ("an offset that overflows", at(u64::MAX - 31), &[q, "overflows"]),
        ("an overlap", at(here - 32), &[q, "overlaps", "blk.0.attn_norm.weight"]),
        ("the same bytes as the first", at(0), &[q, "overlaps", "begins at 0"]),
        ("a gap", at(here + 32), &[q, "ends at"]),
        ("a matrix of integers", with_type(q, 26, 4), &[q, "I32"]),
        ("a matrix of doubles", with_type(q, 28, 8), &[q, "F64"]),
        ("an embedding of bytes", with_type("token_embd.weight", 24, 1), &["token_embd.weight", "I8"]),
        ("a norm in F16", with_type("output_norm.weight", F16, 2), &["output_norm.weight", "F16"]),
    ]);
}

/// The tensor with another encoding and as many bytes as that takes.
fn with_type(name: &str, kind: u32, bytes: usize) -> Gguf {
    let mut file = llama();
    let tensor = file.tensor(name);
    tensor.kind = kind;
    tensor.data = vec![0; tensor.dims.iter().product::<u64>() as usize * bytes];
    file
}

#[test]
fn a_model_of_bytes_is_refused_for_its_type_too() {
    let error = check(&with_type("blk.1.ffn_up.weight", 25, 2)).unwrap_err().to_string();
    assert!(error.contains("blk.1.ffn_up.weight") && error.contains("I16"), "{error}");
}

#[test]
fn counts_are_checked() {
    let u32 = |key, value| llama().with(key, Value::U32(value));
    let mut layer_7 = llama();
    layer_7.tensors.push(tensor("blk.7.attn_norm.weight", &[32]));
    let mut layer_x = llama();
    layer_x.tensors.push(tensor("blk.00.attn_norm.weight", &[32]));
    refuse_all(vec![
        ("no layers", u32("llama.block_count", 0), &["block_count", "is 0"]),
        ("100000 layers", u32("llama.block_count", 100_000), &["block_count", "100000", "512"]),
        ("4 billion layers", u32("llama.block_count", u32::MAX), &["block_count"]),
        ("a layer too many", u32("llama.block_count", 3), &["blk.2."]),
        ("a layer too few", u32("llama.block_count", 1), &["blk.1.", "block_count"]),
        ("tensors of another layer", layer_7, &["blk.7."]),
        ("a layer spelled differently", layer_x, &["blk.00."]),
        ("layers as text", llama().with("llama.block_count", text("2")), &["block_count", "string"]),
        (
            "layers of another width",
            llama().with("llama.block_count", Value::Raw(10, vec![2, 0, 0, 0, 0, 0, 0, 0])),
            &["block_count", "u64"],
        ),
        ("no count of layers", llama().without("llama.block_count"), &["block_count", "missing"]),
        ("no width", u32("llama.embedding_length", 0), &["embedding_length", "is 0"]),
        ("a huge width", u32("llama.embedding_length", u32::MAX), &["embedding_length"]),
        ("another width", u32("llama.embedding_length", 64).without("llama.rope.dimension_count"), &["shape"]),
        ("no heads", u32("llama.attention.head_count", 0), &["head_count", "is 0"]),
        ("a billion heads", u32("llama.attention.head_count", 1 << 30), &["head_count"]),
        ("heads that do not divide", u32("llama.attention.head_count", 6), &["head_count", "divide"]),
        ("heads missing", llama().without("llama.attention.head_count"), &["head_count", "missing"]),
        ("heads as a float", llama().with("llama.attention.head_count", Value::F32(4.0)), &["head_count", "f32"]),
        (
            "a list of heads with a zero",
            llama().with("llama.attention.head_count", Value::U32s(vec![4, 0])),
            &["head_count", "is 0", "16384"],
        ),
        (
            "a list of heads too short",
            llama().with("llama.attention.head_count", Value::U32s(vec![4])),
            &["head_count", "list of 1"],
        ),
        (
            "a list of heads that differ",
            llama().with("llama.attention.head_count", Value::U32s(vec![4, 2])),
            &["head_count"],
        ),
        (
            "a negative head count",
            llama().with("llama.attention.head_count", Value::I32s(vec![-4, -4])),
            &["head_count", "4294967292"],
        ),
        ("no KV heads", u32("llama.attention.head_count_kv", 0), &["head_count_kv", "is 0"]),
        ("KV heads that do not divide", u32("llama.attention.head_count_kv", 3), &["head_count_kv", "divide"]),
        ("more KV heads than heads", u32("llama.attention.head_count_kv", 8), &["head_count_kv"]),
        ("KV heads of another shape", u32("llama.attention.head_count_kv", 1), &["attn_k", "shape"]),
        ("a key length of 0", u32("llama.attention.key_length", 0), &["key_length"]),
        ("another key length", u32("llama.attention.key_length", 16), &["head length"]),
        ("no context", u32("llama.context_length", 0), &["context_length"]),
        ("an absurd context", u32("llama.context_length", u32::MAX), &["context_length", "4294967295"]),
        ("no feed forward", u32("llama.feed_forward_length", 0), &["feed_forward_length", "is 0"]),
        ("another feed forward", u32("llama.feed_forward_length", 96), &["ffn_gate"]),
        ("feed forward missing", llama().without("llama.feed_forward_length"), &["feed_forward_length", "missing"]),
        ("RoPE over more than the head", u32("llama.rope.dimension_count", 10), &["rope.dimension_count", "10"]),
        ("RoPE over half the head", u32("llama.rope.dimension_count", 4), &["rope.dimension_count", "is 4"]),
        ("RoPE over an odd number", u32("llama.rope.dimension_count", 7), &["rope.dimension_count", "even"]),
        ("a billion experts", u32("llama.expert_count", 1 << 30), &["expert_count"]),
        ("experts of which none is used", u32("llama.expert_count", 4), &["expert_used_count"]),
        ("more used than there are", u32("llama.expert_used_count", 2), &["expert_used_count", "is 2"]),
        ("groups without experts", u32("llama.expert_group_count", 2), &["expert_group_count"]),
        (
            "experts without tensors",
            u32("llama.expert_count", 4).with("llama.expert_used_count", Value::U32(2)),
            &["ffn_gate_inp"],
        ),
        ("more draft layers than layers", u32("llama.nextn_predict_layers", 2), &["nextn_predict_layers"]),
        ("unknown pooling", u32("llama.pooling_type", 9), &["pooling_type", "9"]),
        ("ranking without a classifier", u32("llama.pooling_type", 4), &["cls.output.weight"]),
        ("another vocabulary size", u32("llama.vocab_size", 10), &["vocab_size", "10"]),
    ]);
}

#[test]
fn odd_heads_are_refused_before_rope_is() {
    let odd = llama().with("llama.attention.head_count", Value::U32(32)).without("llama.rope.dimension_count");
    let error = check(&odd.with("llama.attention.head_count_kv", Value::U32(16))).unwrap_err().to_string();
    assert!(error.contains("even"), "{error}");
}

#[test]
fn scales_are_checked() {
    let f32 = |key, value| llama().with(key, Value::F32(value));
    let epsilon = "llama.attention.layer_norm_rms_epsilon";
    refuse_all(vec![
        ("an epsilon that is no number", f32(epsilon, f32::NAN), &[epsilon, "NaN"]),
        ("an endless epsilon", f32(epsilon, f32::INFINITY), &[epsilon, "inf"]),
        ("an epsilon of 0", f32(epsilon, 0.0), &[epsilon, "is 0"]),
        ("a negative epsilon", f32(epsilon, -1e-5), &[epsilon, "above 0"]),
        ("no epsilon", llama().without(epsilon), &[epsilon, "missing"]),
        ("an epsilon as an integer", llama().with(epsilon, Value::U32(1)), &[epsilon, "u32"]),
        ("a frequency base of 0", f32("llama.rope.freq_base", 0.0), &["freq_base"]),
        ("a frequency base that is no number", f32("llama.rope.freq_base", f32::NAN), &["freq_base", "NaN"]),
        ("a negative scaling factor", f32("llama.rope.scaling.factor", -2.0), &["scaling.factor"]),
        ("an unknown scaling", llama().with("llama.rope.scaling.type", text("magic")), &["scaling.type", "magic"]),
        (
            "scaling from no context",
            llama().with("llama.rope.scaling.original_context_length", Value::U32(0)),
            &["original_context_length"],
        ),
        ("any scale that is no number", f32("llama.attention.scale", f32::NAN), &["attention.scale"]),
        ("a division by zero", llama().with("llama.ssm.state_size", Value::U32(0)), &["ssm.state_size"]),
    ]);
}

#[test]
fn vocabularies_are_checked() {
    let tokens = |tokens: &[&str]| llama().with("tokenizer.ggml.tokens", texts(tokens));
    let nine = ["a", "b", "c", "ab", "<s>", "</s>", "Ċ", "Ġ", "d"];
    let mut duplicate = nine;
    duplicate[8] = "a";
    let mut empty = nine;
    empty[8] = "";
    let long = "x".repeat(5000);
    let mut too_long = nine;
    too_long[8] = &long;
    let id = |key, id| llama().with(key, Value::U32(id));
    refuse_all(vec![
        ("no tokenizer", llama().without("tokenizer.ggml.model"), &["tokenizer.ggml.model", "missing"]),
        ("no vocabulary by name", llama().with("tokenizer.ggml.model", text("no_vocab")), &["no_vocab"]),
        ("no vocabulary", llama().with("tokenizer.ggml.model", text("none")), &["none"]),
        ("an unknown tokenizer", llama().with("tokenizer.ggml.model", text("magic")), &["magic"]),
        ("no tokens", llama().without("tokenizer.ggml.tokens"), &["tokenizer.ggml.tokens", "missing"]),
        ("an empty list of tokens", tokens(&[]), &["tokenizer.ggml.tokens", "empty"]),
        ("tokens that are numbers", llama().with("tokenizer.ggml.tokens", Value::U32s(vec![1])), &["array of u32"]),
        ("a duplicate token", tokens(&duplicate), &["token 8", "duplicate of token 0"]),
        ("an empty token", tokens(&empty), &["token 8", "empty"]),
        ("a long token", tokens(&too_long), &["token 8", "5000"]),
        (
            "a token with a NUL",
            llama().with(
                "tokenizer.ggml.tokens",
                Value::Texts(nine.iter().map(|token| format!("{token}\0").into_bytes()).collect()),
            ),
            &["NUL"],
        ),
        ("a token that is no text", llama().with("tokenizer.ggml.tokens", Value::Texts(vec![vec![0xff]])), &["UTF-8"]),
        (
            "fewer tokens than rows",
            tokens(&nine[..8]).without("tokenizer.ggml.token_type"),
            &["token_embd.weight", "shape"],
        ),
        (
            "too few types",
            llama().with("tokenizer.ggml.token_type", Value::I32s(vec![1; 8])),
            &["token_type", "list of 8"],
        ),
        (
            "an unknown type",
            llama().with("tokenizer.ggml.token_type", Value::I32s(vec![1, 1, 1, 1, 1, 1, 1, 1, 9])),
            &["token_type", "9 for token 8"],
        ),
        (
            "a negative type",
            llama().with("tokenizer.ggml.token_type", Value::I32s(vec![-1; 9])),
            &["token_type", "-1 for token 0"],
        ),
        (
            "a byte that is none",
            llama().with("tokenizer.ggml.token_type", Value::I32s(vec![6; 9])),
            &["token 0", "byte"],
        ),
        (
            "types of another type",
            llama().with("tokenizer.ggml.token_type", Value::U32s(vec![1; 9])),
            &["token_type", "array of u32"],
        ),
        ("too few scores", llama().with("tokenizer.ggml.scores", Value::F32s(vec![0.0; 8])), &["scores", "list of 8"]),
        (
            "a score that is no number",
            llama().with("tokenizer.ggml.scores", Value::F32s(vec![f32::NAN; 9])),
            &["scores", "NaN"],
        ),
        ("BOS out of range", id("tokenizer.ggml.bos_token_id", u32::MAX), &["bos_token_id", "4294967295"]),
        ("BOS just out of range", id("tokenizer.ggml.bos_token_id", 9), &["bos_token_id", "is 9"]),
        ("EOS out of range", id("tokenizer.ggml.eos_token_id", 9), &["eos_token_id"]),
        ("unknown out of range", id("tokenizer.ggml.unknown_token_id", 9), &["unknown_token_id"]),
        ("padding out of range", id("tokenizer.ggml.padding_token_id", 9), &["padding_token_id"]),
        ("separator out of range", id("tokenizer.ggml.seperator_token_id", 9), &["seperator_token_id"]),
        ("class out of range", id("tokenizer.ggml.cls_token_id", 9), &["cls_token_id"]),
        ("mask out of range", id("tokenizer.ggml.mask_token_id", 9), &["mask_token_id"]),
        ("EOT out of range", id("tokenizer.ggml.eot_token_id", 9), &["eot_token_id"]),
        ("infill out of range", id("tokenizer.ggml.fim_pre_token_id", 9), &["fim_pre_token_id"]),
        (
            "an id of another type",
            llama().with("tokenizer.ggml.eos_token_id", Value::I32(-1)),
            &["eos_token_id", "i32"],
        ),
        ("BOS asked for but not there", llama().without("tokenizer.ggml.bos_token_id"), &["BOS"]),
        (
            "EOS asked for but not there",
            llama().without("tokenizer.ggml.eos_token_id").with("tokenizer.ggml.add_eos_token", Value::Bool(1)),
            &["EOS"],
        ),
        ("no merges", llama().without("tokenizer.ggml.merges"), &["merges", "missing"]),
        ("a merge without a space", llama().with("tokenizer.ggml.merges", texts(&["ab"])), &["merge 0", "pair"]),
        ("an empty merge", llama().with("tokenizer.ggml.merges", texts(&["a b", ""])), &["merge 1", "pair"]),
        ("a merge of nothing", llama().with("tokenizer.ggml.merges", texts(&["a "])), &["second part"]),
        ("a merge of the unknown", llama().with("tokenizer.ggml.merges", texts(&["a z"])), &["not in the vocabulary"]),
        ("a template of another type", llama().with("tokenizer.chat_template", Value::U32(1)), &["chat_template"]),
    ]);
}

#[test]
fn a_pre_tokenizer_that_prepends_bos_needs_one() {
    let file = llama().without("tokenizer.ggml.add_bos_token").without("tokenizer.ggml.bos_token_id");
    check(&file).unwrap();
    let error = check(&file.with("tokenizer.ggml.pre", text("llama-bpe"))).unwrap_err().to_string();
    assert!(error.contains("BOS"), "{error}");
}

#[test]
fn sentence_piece_needs_all_bytes() {
    let file = Gguf::sentence_piece();
    let Some((_, Value::Texts(tokens))) = file.keys.iter().find(|(key, _)| key == b"tokenizer.ggml.tokens") else {
        panic!("no tokens");
    };
    let change = |token: &str, by: &str| {
        let tokens = tokens.iter().map(|found| if found == token.as_bytes() { by.into() } else { found.clone() });
        let kinds: Vec<i32> = (0..tokens.len()).map(|_| 1).collect();
        let changed = file.clone().with("tokenizer.ggml.tokens", Value::Texts(tokens.collect()));
        check(&changed.with("tokenizer.ggml.token_type", Value::I32s(kinds)))
    };
    assert!(change("<0xE2>", "x1").unwrap_err().to_string().contains("<0xE2>"));
    assert!(change("<0x0A>", "x2").unwrap_err().to_string().contains("<0x0A>"));
    change("<0x0A>", "\n").expect("the character itself does as well");
}

#[test]
fn word_pieces_need_their_three_special_tokens() {
    refuse_all(vec![
        ("no class", Gguf::bert().without("tokenizer.ggml.bos_token_id"), &["BOS"]),
        ("no separator", Gguf::bert().without("tokenizer.ggml.seperator_token_id"), &["separator"]),
        ("no unknown", Gguf::bert().without("tokenizer.ggml.unknown_token_id"), &["unknown"]),
        ("a byte token", Gguf::bert().with("tokenizer.ggml.token_type", Value::I32s(vec![3, 3, 3, 3, 6])), &["byte"]),
        ("no token types", Gguf::bert().without("tokenizer.ggml.token_type_count"), &["token_type_count"]),
        ("positions of another context", Gguf::bert().with("bert.context_length", Value::U32(32)), &["position_embd"]),
        ("a missing norm", Gguf::bert().without_tensor("blk.0.layer_output_norm.weight"), &["layer_output_norm"]),
    ]);
}

#[test]
fn an_rwkv_vocabulary_on_which_llama_cpp_loops_is_refused() {
    let rwkv = |tokens: &[&str]| {
        let file = llama().with("tokenizer.ggml.model", text("rwkv")).with("tokenizer.ggml.tokens", texts(tokens));
        file.without("tokenizer.ggml.token_type").with("tokenizer.ggml.unknown_token_id", Value::U32(0))
    };
    check(&rwkv(&["\\x00", "a", "ab", "\\n", "\\xff", "b", "c", "d", "e"])).unwrap();
    let error = check(&rwkv(&["\\x00", "ab", "\\n", "b", "c", "d", "e", "f", "g"])).unwrap_err().to_string();
    assert!(error.contains("\"ab\"") && error.contains("no token itself"), "{error}");
    let error = check(&rwkv(&["\\", "a", "\\n", "b", "c", "d", "e", "f", "g"])).unwrap_err().to_string();
    assert!(error.contains("no bytes"), "{error}");
    let error = check(&rwkv(&nine_bytes()).without("tokenizer.ggml.unknown_token_id")).unwrap_err().to_string();
    assert!(error.contains("byte 0x00"), "{error}");
}

fn nine_bytes() -> [&'static str; 9] {
    ["a", "b", "c", "d", "e", "f", "g", "h", "i"]
}

#[test]
fn rules_of_single_architectures_are_kept() {
    let renamed = |architecture: &str| llama().renamed(architecture);
    let with =
        |architecture: &str, key: &str, value| renamed(architecture).with(&format!("{architecture}.{key}"), value);
    check(&renamed("internlm2")).unwrap();
    check(&with("qwen2vl", "rope.dimension_sections", Value::I32s(vec![2, 1, 1, 0]))).unwrap();
    refuse_all(vec![
        ("a mixture without experts", renamed("olmoe"), &["olmoe.expert_count"]),
        ("RoPE over several axes without sections", renamed("qwen2vl"), &["rope.dimension_sections", "missing"]),
        (
            "sections of zeros",
            with("qwen2vl", "rope.dimension_sections", Value::I32s(vec![0, 0, 0, 8])),
            &["[0, 0, 0, 8]"],
        ),
        (
            "sections longer than a head",
            with("qwen2vl", "rope.dimension_sections", Value::I32s(vec![4, 4, 4, 0])),
            &["[4, 4, 4, 0]"],
        ),
        ("RoPE over part of a head", with("internlm2", "rope.dimension_count", Value::U32(4)), &["head length 8"]),
        ("RoPE over nothing", with("gemma3", "rope.dimension_count", Value::U32(0)), &["dimension_count", "is 0"]),
        ("values of another length", with("gpt2", "attention.value_length", Value::U32(4)), &["value_length"]),
        (
            "an embedding of another width",
            with("llama", "embedding_length_out", Value::U32(64)),
            &["embedding_length_out"],
        ),
        (
            "a matrix of integers",
            {
                let mut file = renamed("internlm2");
                file.tensor("blk.0.attn_q.weight").kind = 26;
                file
            },
            &["attn_q", "I32"],
        ),
        ("a layer without tensors", with("internlm2", "block_count", Value::U32(3)), &["blk.2."]),
    ]);
}

#[test]
fn every_tensor_of_a_llama_is_needed_in_its_shape() {
    let names: Vec<String> =
        llama().tensors.iter().map(|tensor| String::from_utf8(tensor.name.clone()).unwrap()).collect();
    for name in &names {
        let error = check(&llama().without_tensor(name)).expect_err(name).to_string();
        assert!(error.contains(name.as_str()), "{name}: {error}");
        let mut file = llama();
        let dims = file.tensor(name).dims.clone();
        let wider: Vec<u64> = dims.iter().map(|dim| dim + 32).collect();
        let error = check(&file.replace(name, tensor(name, &wider))).expect_err(name).to_string();
        assert!(error.contains(name.as_str()) && error.contains("shape"), "{name}: {error}");
    }
}

#[test]
fn weights_that_are_not_finite_are_refused() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut file = llama();
        file.tensor("blk.1.ffn_up.weight").data[40..44].copy_from_slice(&bad.to_le_bytes());
        let error = check(&file).unwrap_err();
        assert!(
            matches!(&error, GgufError::NotFinite { tensor, block: 10 } if tensor == "blk.1.ffn_up.weight"),
            "{error}"
        );
    }
    for (kind, block, at) in [(F16, 2, 0), (30, 2, 0), (8, 34, 0), (2, 18, 0), (3, 20, 2)] {
        let blocks = if block == 2 { 32 } else { 1 } * 32;
        let name = "blk.0.attn_q.weight";
        let mut data = vec![0; blocks * block];
        let sound = Tensor { kind, data: data.clone(), ..tensor(name, &[32, 32]) };
        check(&llama().replace(name, sound)).unwrap();
        data[5 * block + at..5 * block + at + 2].copy_from_slice(&0x7f80_u16.to_le_bytes());
        let damaged = Tensor { kind, data, ..tensor(name, &[32, 32]) };
        let error = check(&llama().replace(name, damaged)).unwrap_err();
        assert!(matches!(error, GgufError::NotFinite { block: 5, .. }), "{error}");
    }
}
