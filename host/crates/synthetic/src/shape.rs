//! The shapes of known models.

use std::str::FromStr;

/// How the layers of a model are put together, by llama.cpp's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// `llama`.
    Llama,
    /// `qwen2`: as a llama, with biases on queries, keys and values.
    Qwen2,
}

impl Architecture {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Llama => "llama",
            Self::Qwen2 => "qwen2",
        }
    }
}

/// The counts that make a decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// What people call it.
    pub name: &'static str,
    /// How its layers are put together.
    pub architecture: Architecture,
    /// Layers.
    pub layers: u32,
    /// Numbers that stand for a token between layers.
    pub width: u32,
    /// Numbers between the two halves of a layer's feed-forward network.
    pub feed_forward: u32,
    /// Attention heads.
    pub heads: u32,
    /// Heads of keys and values, which the others share.
    pub kv_heads: u32,
    /// Numbers of one head.
    pub head_width: u32,
    /// Tokens of its vocabulary.
    pub vocabulary: u32,
    /// Tokens that it was trained to look back on.
    pub context: u32,
    /// Whether input and output share one matrix.
    pub tied: bool,
    /// The base of its rotary positions.
    pub rope_base: f32,
    /// What its norms add before they divide.
    pub epsilon: f32,
}

/// Every shape with a name. The counts are those of the models' own published configurations.
pub const SHAPES: [Shape; 4] = [
    Shape {
        name: "qwen2.5-0.5b",
        architecture: Architecture::Qwen2,
        layers: 24,
        width: 896,
        feed_forward: 4864,
        heads: 14,
        kv_heads: 2,
        head_width: 64,
        vocabulary: 151_936,
        context: 32_768,
        tied: true,
        rope_base: 1e6,
        epsilon: 1e-6,
    },
    Shape {
        name: "qwen2.5-1.5b",
        architecture: Architecture::Qwen2,
        layers: 28,
        width: 1536,
        feed_forward: 8960,
        heads: 12,
        kv_heads: 2,
        head_width: 128,
        vocabulary: 151_936,
        context: 32_768,
        tied: true,
        rope_base: 1e6,
        epsilon: 1e-6,
    },
    Shape {
        name: "tinyllama-1.1b",
        architecture: Architecture::Llama,
        layers: 22,
        width: 2048,
        feed_forward: 5632,
        heads: 32,
        kv_heads: 4,
        head_width: 64,
        vocabulary: 32_000,
        context: 2048,
        tied: false,
        rope_base: 1e4,
        epsilon: 1e-5,
    },
    Shape {
        name: "llama-3.1-8b",
        architecture: Architecture::Llama,
        layers: 32,
        width: 4096,
        feed_forward: 14_336,
        heads: 32,
        kv_heads: 8,
        head_width: 128,
        vocabulary: 128_256,
        context: 131_072,
        tied: false,
        rope_base: 5e5,
        epsilon: 1e-5,
    },
];

/// No shape has this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownShape(String);

impl std::fmt::Display for UnknownShape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known: Vec<&str> = SHAPES.iter().map(|shape| shape.name).collect();
        write!(f, "there is no shape \"{}\"; there are {}", self.0, known.join(", "))
    }
}

impl std::error::Error for UnknownShape {}

impl FromStr for Shape {
    type Err = UnknownShape;

    fn from_str(name: &str) -> Result<Self, UnknownShape> {
        SHAPES.iter().find(|shape| shape.name == name).cloned().ok_or_else(|| UnknownShape(name.to_owned()))
    }
}
