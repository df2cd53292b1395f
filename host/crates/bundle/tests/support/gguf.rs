//! Writes GGUF files, right or wrong.

/// A metadata value, with its type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    U8(u8),
    U16(u16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(u8),
    Text(Vec<u8>),
    Texts(Vec<Vec<u8>>),
    I32s(Vec<i32>),
    U32s(Vec<u32>),
    F32s(Vec<f32>),
    U8s(Vec<u8>),
    /// A type number, then these bytes.
    Raw(u32, Vec<u8>),
}

pub(crate) fn text(value: &str) -> Value {
    Value::Text(value.into())
}

pub(crate) fn texts(values: &[&str]) -> Value {
    Value::Texts(values.iter().map(|value| (*value).into()).collect())
}

#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) name: Vec<u8>,
    pub(crate) dims: Vec<u64>,
    pub(crate) kind: u32,
    pub(crate) data: Vec<u8>,
    /// Instead of the right one.
    pub(crate) offset: Option<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Gguf {
    pub(crate) magic: [u8; 4],
    pub(crate) version: u32,
    pub(crate) tensor_count: Option<u64>,
    pub(crate) key_count: Option<u64>,
    pub(crate) keys: Vec<(Vec<u8>, Value)>,
    pub(crate) tensors: Vec<Tensor>,
}

pub(crate) const F32: u32 = 0;
pub(crate) const F16: u32 = 1;

/// F32 tensors of small numbers.
pub(crate) fn tensor(name: &str, dims: &[u64]) -> Tensor {
    let count: u64 = dims.iter().product();
    let data = (0..count).flat_map(|index| ((index % 7) as f32 * 0.01).to_le_bytes()).collect();
    Tensor { name: name.into(), dims: dims.to_vec(), kind: F32, data, offset: None }
}

impl Gguf {
    pub(crate) fn empty(architecture: &str) -> Self {
        let keys = vec![(b"general.architecture".to_vec(), text(architecture))];
        Self { magic: *b"GGUF", version: 3, tensor_count: None, key_count: None, keys, tensors: Vec::new() }
    }

    /// A llama of one layer and nine byte-pair tokens.
    pub(crate) fn llama() -> Self {
        let mut file = Self::empty("llama");
        file.set("general.name", text("tiny"));
        file.set("llama.block_count", Value::U32(2));
        file.set("llama.context_length", Value::U32(64));
        file.set("llama.embedding_length", Value::U32(32));
        file.set("llama.feed_forward_length", Value::U32(48));
        file.set("llama.attention.head_count", Value::U32(4));
        file.set("llama.attention.head_count_kv", Value::U32(2));
        file.set("llama.rope.dimension_count", Value::U32(8));
        file.set("llama.attention.layer_norm_rms_epsilon", Value::F32(1e-5));
        file.set("tokenizer.ggml.model", text("gpt2"));
        file.set("tokenizer.ggml.pre", text("default"));
        file.set("tokenizer.ggml.tokens", texts(&["a", "b", "c", "ab", "<s>", "</s>", "Ċ", "Ġ", "d"]));
        file.set("tokenizer.ggml.token_type", Value::I32s(vec![1, 1, 1, 1, 3, 3, 1, 1, 1]));
        file.set("tokenizer.ggml.merges", texts(&["a b"]));
        file.set("tokenizer.ggml.bos_token_id", Value::U32(4));
        file.set("tokenizer.ggml.eos_token_id", Value::U32(5));
        file.set("tokenizer.ggml.add_bos_token", Value::Bool(1));
        file.tensors = vec![tensor("token_embd.weight", &[32, 9]), tensor("output_norm.weight", &[32])];
        for block in 0..2 {
            for (part, dims) in [
                ("attn_norm", &[32][..]),
                ("attn_q", &[32, 32]),
                ("attn_k", &[32, 16]),
                ("attn_v", &[32, 16]),
                ("attn_output", &[32, 32]),
                ("ffn_norm", &[32]),
                ("ffn_gate", &[32, 48]),
                ("ffn_down", &[48, 32]),
                ("ffn_up", &[32, 48]),
            ] {
                file.tensors.push(tensor(&format!("blk.{block}.{part}.weight"), dims));
            }
        }
        file
    }

    /// The same with a SentencePiece vocabulary: unknown, BOS, EOS, 256 bytes, one word.
    pub(crate) fn sentence_piece() -> Self {
        let mut file = Self::llama();
        let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).to_vec();
        tokens.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
        tokens.push("▁once".into());
        let count = tokens.len();
        let mut types = vec![6; count];
        types[..3].copy_from_slice(&[2, 3, 3]);
        types[count - 1] = 1;
        file.set("tokenizer.ggml.model", text("llama"));
        file.set("tokenizer.ggml.tokens", Value::Texts(tokens.into_iter().map(String::into_bytes).collect()));
        file.set("tokenizer.ggml.token_type", Value::I32s(types));
        file.set("tokenizer.ggml.scores", Value::F32s(vec![-1.0; count]));
        file.set("tokenizer.ggml.bos_token_id", Value::U32(1));
        file.set("tokenizer.ggml.eos_token_id", Value::U32(2));
        file.set("tokenizer.ggml.unknown_token_id", Value::U32(0));
        file.remove("tokenizer.ggml.merges");
        *file.tensor("token_embd.weight") = tensor("token_embd.weight", &[32, count as u64]);
        file
    }

    /// A BERT of one layer.
    pub(crate) fn bert() -> Self {
        let mut file = Self::empty("bert");
        file.set("bert.block_count", Value::U32(1));
        file.set("bert.context_length", Value::U32(16));
        file.set("bert.embedding_length", Value::U32(8));
        file.set("bert.feed_forward_length", Value::U32(12));
        file.set("bert.attention.head_count", Value::U32(2));
        file.set("bert.attention.layer_norm_epsilon", Value::F32(1e-12));
        file.set("bert.attention.causal", Value::Bool(0));
        file.set("bert.pooling_type", Value::U32(1));
        file.set("tokenizer.ggml.token_type_count", Value::U32(2));
        file.set("tokenizer.ggml.model", text("bert"));
        file.set("tokenizer.ggml.tokens", texts(&["[PAD]", "[UNK]", "[CLS]", "[SEP]", "▁a"]));
        file.set("tokenizer.ggml.unknown_token_id", Value::U32(1));
        file.set("tokenizer.ggml.bos_token_id", Value::U32(2));
        file.set("tokenizer.ggml.seperator_token_id", Value::U32(3));
        file.tensors = vec![
            tensor("token_embd.weight", &[8, 5]),
            tensor("position_embd.weight", &[8, 16]),
            tensor("token_embd_norm.weight", &[8]),
            tensor("token_embd_norm.bias", &[8]),
        ];
        for (part, dims) in [
            ("attn_q.weight", &[8, 8][..]),
            ("attn_k.weight", &[8, 8]),
            ("attn_v.weight", &[8, 8]),
            ("attn_output.weight", &[8, 8]),
            ("attn_output_norm.weight", &[8]),
            ("ffn_up.weight", &[8, 12]),
            ("ffn_down.weight", &[12, 8]),
            ("layer_output_norm.weight", &[8]),
        ] {
            file.tensors.push(tensor(&format!("blk.0.{part}"), dims));
        }
        file
    }

    /// The same llama under the name of another architecture.
    pub(crate) fn renamed(mut self, architecture: &str) -> Self {
        self.set("general.architecture", text(architecture));
        for (key, _) in &mut self.keys {
            if let Some(rest) = key.strip_prefix(b"llama.") {
                *key = [architecture.as_bytes(), b".", rest].concat();
            }
        }
        self
    }

    /// Two low-rank matrices for a llama.
    pub(crate) fn adapter() -> Self {
        let mut file = Self::empty("llama");
        file.set("general.type", text("adapter"));
        file.set("adapter.type", text("lora"));
        file.set("adapter.lora.alpha", Value::F32(16.0));
        file.tensors =
            vec![tensor("blk.0.attn_q.weight.lora_a", &[32, 4]), tensor("blk.0.attn_q.weight.lora_b", &[4, 32])];
        file
    }

    pub(crate) fn set(&mut self, key: &str, value: Value) {
        match self.keys.iter_mut().find(|(found, _)| found == key.as_bytes()) {
            Some((_, found)) => *found = value,
            None => self.keys.push((key.into(), value)),
        }
    }

    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.set(key, value);
        self
    }

    pub(crate) fn remove(&mut self, key: &str) {
        let before = self.keys.len();
        self.keys.retain(|(found, _)| found != key.as_bytes());
        assert_eq!(self.keys.len() + 1, before, "{key} was not there");
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.remove(key);
        self
    }

    pub(crate) fn tensor(&mut self, name: &str) -> &mut Tensor {
        self.tensors.iter_mut().find(|tensor| tensor.name == name.as_bytes()).unwrap()
    }

    pub(crate) fn without_tensor(mut self, name: &str) -> Self {
        let before = self.tensors.len();
        self.tensors.retain(|tensor| tensor.name != name.as_bytes());
        assert_eq!(self.tensors.len() + 1, before, "{name} was not there");
        self
    }

    pub(crate) fn replace(mut self, name: &str, with: Tensor) -> Self {
        *self.tensor(name) = with;
        self
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut out = self.magic.to_vec();
        out.extend(self.version.to_le_bytes());
        out.extend(self.tensor_count.unwrap_or(self.tensors.len() as u64).to_le_bytes());
        out.extend(self.key_count.unwrap_or(self.keys.len() as u64).to_le_bytes());
        for (key, value) in &self.keys {
            put_bytes(&mut out, key);
            put_value(&mut out, value);
        }
        let mut data = Vec::new();
        for tensor in &self.tensors {
            put_bytes(&mut out, &tensor.name);
            out.extend((tensor.dims.len() as u32).to_le_bytes());
            out.extend(tensor.dims.iter().flat_map(|dim| dim.to_le_bytes()));
            out.extend(tensor.kind.to_le_bytes());
            out.extend(tensor.offset.unwrap_or(data.len() as u64).to_le_bytes());
            data.extend(&tensor.data);
            data.resize(data.len().next_multiple_of(32), 0);
        }
        out.resize(out.len().next_multiple_of(32), 0);
        out.extend(data);
        out
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u64).to_le_bytes());
    out.extend(bytes);
}

fn put_array(out: &mut Vec<u8>, kind: u32, count: usize, bytes: impl IntoIterator<Item = u8>) {
    out.extend(9_u32.to_le_bytes());
    out.extend(kind.to_le_bytes());
    out.extend((count as u64).to_le_bytes());
    out.extend(bytes);
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    let mut scalar = |kind: u32, bytes: &[u8]| {
        out.extend(kind.to_le_bytes());
        out.extend(bytes);
    };
    match value {
        Value::U8(value) => scalar(0, &[*value]),
        Value::U16(value) => scalar(2, &value.to_le_bytes()),
        Value::U32(value) => scalar(4, &value.to_le_bytes()),
        Value::I32(value) => scalar(5, &value.to_le_bytes()),
        Value::F32(value) => scalar(6, &value.to_le_bytes()),
        Value::Bool(value) => scalar(7, &[*value]),
        Value::Raw(kind, bytes) => scalar(*kind, bytes),
        Value::Text(bytes) => {
            scalar(8, &[]);
            put_bytes(out, bytes);
        }
        Value::Texts(texts) => {
            put_array(out, 8, texts.len(), []);
            texts.iter().for_each(|text| put_bytes(out, text));
        }
        Value::I32s(values) => put_array(out, 5, values.len(), values.iter().flat_map(|value| value.to_le_bytes())),
        Value::U32s(values) => put_array(out, 4, values.len(), values.iter().flat_map(|value| value.to_le_bytes())),
        Value::F32s(values) => put_array(out, 6, values.len(), values.iter().flat_map(|value| value.to_le_bytes())),
        Value::U8s(values) => put_array(out, 0, values.len(), values.iter().copied()),
    }
}
