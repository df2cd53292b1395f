//! The architectures of the llama.cpp that the worker links (its `llm_arch` list), and what each can do here.

use super::GgufError;

/// What a model of an architecture answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// The next token's logits; pooled, also an embedding.
    Decoder,
    /// An embedding alone.
    Encoder,
}

/// What is known of an architecture beyond its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// The tensors of llama, checked by name and shape.
    Llama {
        /// It has a mixture-of-experts form.
        experts: bool,
    },
    /// The tensors of BERT, checked by name and shape.
    Bert,
    /// No attention heads: counts of zero are honest.
    Recurrent,
    /// Checked by the rules that hold for all.
    Any,
}

/// An architecture that can be served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Architecture {
    pub(crate) name: &'static str,
    pub(crate) task: Task,
    pub(crate) layout: Layout,
}

const ENCODERS: &[&str] = &[
    "bert",
    "modern-bert",
    "nomic-bert",
    "nomic-bert-moe",
    "neo-bert",
    "jina-bert-v2",
    "jina-bert-v3",
    "eurobert",
    "gemma-embedding",
    "llama-embed",
    "t5encoder",
];

const RECURRENT: &[&str] = &["mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"];

#[rustfmt::skip]
const DECODERS: &[&str] = &[
    "llama", "llama4", "deci", "falcon", "grok", "gpt2", "gptneox", "mpt", "baichuan", "starcoder", "refact", "bloom",
    "stablelm", "qwen", "qwen2", "qwen2moe", "qwen2vl", "qwen3", "qwen3moe", "qwen3next", "qwen3vl", "qwen3vlmoe",
    "qwen35", "qwen35moe", "clef", "qwen4exp", "phi2", "phi3", "phimoe", "plamo", "plamo2", "plamo3", "codeshell",
    "orion", "internlm2", "minicpm", "minicpm3", "gemma", "gemma2", "gemma3", "gemma3n", "gemma4", "starcoder2",
    "mamba", "mamba2", "maple", "jamba", "falcon-h1", "xverse", "command-r", "cohere2", "cohere2moe", "dbrx", "olmo",
    "olmo2", "olmoe", "muse-glimmer", "openelm", "arctic", "deepseek", "deepseek2", "deepseek2-ocr", "deepseek32",
    "deepseek4", "chatglm", "glm4", "glm4moe", "glm-dsa", "bitnet", "jais", "jais2", "nemotron", "nemotron_h",
    "nemotron_h_moe", "exaone", "exaone4", "exaone-moe", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7", "granite",
    "granitemoe", "granitehybrid", "graniteswitch", "granite_swa", "chameleon", "plm", "bailingmoe", "bailingmoe2",
    "bailingmoe3", "dots1", "dots3note", "arcee", "afmoe", "laguna", "ernie4_5", "ernie4_5-moe", "hunyuan-moe",
    "hunyuan-dense", "hunyuan_vl", "hy_v3", "hy_v4", "smollm3", "gpt-oss", "lfm2", "lfm2moe", "dream", "smallthinker",
    "llada", "llada-moe", "seed_oss", "grovemoe", "apertus", "minimax-01", "hrm_text", "minimax-m2", "minimax-m3",
    "cogvlm", "rnd1", "pangu-embedded", "mistral3", "mistral4", "paddleocr", "mimo2", "step35", "spark2_5",
    "maincoder", "kimi-linear", "kimi-k3", "glm5-next", "talkie", "mellum", "nanbeige",
];

/// Mixtures of experts by name: llama.cpp asserts that they have some.
const MIXTURES: &[&str] = &[
    "bailingmoe2",
    "dbrx",
    "glm4moe",
    "grok",
    "grovemoe",
    "llada-moe",
    "olmoe",
    "qwen2moe",
    "qwen3moe",
    "qwen3vlmoe",
    "rnd1",
    "smallthinker",
];

/// RoPE over several axes: ggml asserts that their sections are given.
const MULTI_AXIS_ROPE: &[&str] =
    &["clef", "paddleocr", "qwen2vl", "qwen35", "qwen35moe", "qwen3vl", "qwen3vlmoe", "qwen4exp"];

/// Their graphs assert that RoPE turns whole heads, and that keys are as long as values.
#[rustfmt::skip]
const WHOLE_HEAD_ROPE: &[&str] = &[
    "apertus", "arcee", "arctic", "baichuan", "chameleon", "codeshell", "cogvlm", "cohere2moe", "dbrx", "deci",
    "deepseek", "dots1", "dream", "ernie4_5", "ernie4_5-moe", "exaone", "exaone4", "exaone-moe", "falcon", "granite",
    "granitemoe", "granite_swa", "graniteswitch", "grok", "grovemoe", "hunyuan-moe", "hunyuan_vl", "hunyuan-dense",
    "hy_v3", "internlm2", "jais2", "llada", "llada-moe", "llama", "llama4", "llama-embed", "maincoder", "mellum",
    "minicpm", "mistral3", "olmo", "olmo2", "olmoe", "orion", "paddleocr", "pangu-embedded", "plamo", "qwen2",
    "qwen2moe", "qwen2vl", "qwen3", "qwen3moe", "qwen3vl", "qwen3vlmoe", "rnd1", "seed_oss", "smallthinker", "smollm3",
    "starcoder2", "talkie", "xverse",
];

/// Their graphs assert only that keys are as long as values.
#[rustfmt::skip]
const EQUAL_HEADS: &[&str] = &[
    "afmoe", "bailingmoe2", "bitnet", "bloom", "chatglm", "clef", "cohere2", "command-r", "eurobert", "gemma",
    "gemma2", "glm4", "glm4moe", "gpt2", "gptneox", "granitehybrid", "jais", "laguna", "minimax-01", "minimax-m2",
    "minimax-m3", "modern-bert", "mpt", "nanbeige", "nemotron", "nemotron_h", "nemotron_h_moe", "neo-bert", "openelm",
    "phi2", "phi3", "qwen", "qwen35", "qwen35moe", "qwen3next", "refact", "spark2_5", "stablelm", "starcoder",
];

/// Attention without RoPE: a dimension count of zero is honest.
const WITHOUT_ROPE: &[&str] = &[
    "bailingmoe3",
    "glm5-next",
    "granitehybrid",
    "jamba",
    "kimi-k3",
    "kimi-linear",
    "lfm2",
    "nemotron_h",
    "nemotron_h_moe",
];

/// In llama.cpp's list, but no text model that answers by itself.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("clip", "is an image encoder without a vocabulary"),
    ("wavtokenizer-dec", "decodes audio, not text"),
    ("qwen3tts", "makes audio, not text"),
    ("pockettts", "makes audio, not text"),
    ("eagle3", "is a draft model that needs its target beside it"),
    ("dflash", "is a draft model that needs its target beside it"),
    ("gemma4-assistant", "is a draft model that needs its target beside it"),
    ("t5", "needs an encoder pass before each answer, and llama.cpp aborts without one"),
    ("gptj", "is named by llama.cpp but not implemented by it"),
];

impl Architecture {
    pub(crate) fn needs_experts(&self) -> bool {
        MIXTURES.contains(&self.name)
    }

    pub(crate) fn has_whole_head_rope(&self) -> bool {
        WHOLE_HEAD_ROPE.contains(&self.name)
    }

    pub(crate) fn has_equal_heads(&self) -> bool {
        self.has_whole_head_rope() || EQUAL_HEADS.contains(&self.name)
    }

    pub(crate) fn may_lack_rope(&self) -> bool {
        WITHOUT_ROPE.contains(&self.name) || self.layout == Layout::Recurrent
    }

    pub(crate) fn needs_rope_sections(&self) -> bool {
        MULTI_AXIS_ROPE.contains(&self.name)
    }
}

/// Finds what can be served.
pub(crate) fn find(name: &str) -> Result<Architecture, GgufError> {
    if let Some((_, why)) = UNSUPPORTED.iter().find(|(unsupported, _)| *unsupported == name) {
        return Err(GgufError::UnsupportedArchitecture { found: name.to_owned(), why });
    }
    if let Some(encoder) = ENCODERS.iter().find(|known| **known == name) {
        return Ok(Architecture { name: encoder, task: Task::Encoder, layout: layout(encoder) });
    }
    if let Some(decoder) = DECODERS.iter().find(|known| **known == name) {
        return Ok(Architecture { name: decoder, task: Task::Decoder, layout: layout(decoder) });
    }
    Err(GgufError::UnknownArchitecture { found: name.to_owned() })
}

fn layout(name: &str) -> Layout {
    match name {
        "llama" | "mistral3" | "granite" => Layout::Llama { experts: true },
        "llama-embed" | "qwen2" | "qwen3" | "smollm3" | "gemma" | "gemma2" => Layout::Llama { experts: false },
        "bert" => Layout::Bert,
        _ if RECURRENT.contains(&name) => Layout::Recurrent,
        _ => Layout::Any,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_in_one_list() {
        let unsupported = UNSUPPORTED.iter().map(|(name, _)| *name);
        let mut names: Vec<_> = ENCODERS.iter().chain(DECODERS).copied().chain(unsupported).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
        let special = [RECURRENT, MIXTURES, MULTI_AXIS_ROPE, WHOLE_HEAD_ROPE, EQUAL_HEADS, WITHOUT_ROPE].concat();
        for name in special {
            assert!(DECODERS.contains(&name) || ENCODERS.contains(&name), "{name}");
        }
    }
}
