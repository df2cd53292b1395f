//! What to continue from, and how it becomes tensors.

use crate::raw::inference::NamedTensor;
use crate::raw::tensor::{Tensor, TensorType};
use serde_json::Value;

/// The input of a generation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Prompt<'a> {
    /// Plain text; special tokens in it are text like any other.
    Text(&'a str),
    /// A chat: a JSON array of `{"role", "content"}`, rendered by the bundle's template, and the tools that the
    /// model may call.
    Messages(&'a Value, Option<&'a Value>),
    /// Token ids of this very bundle.
    Tokens(&'a [i32]),
}

impl<'a> From<&'a str> for Prompt<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text)
    }
}

impl<'a> From<&'a String> for Prompt<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text)
    }
}

impl Prompt<'_> {
    pub(crate) fn tensors(self) -> Vec<NamedTensor> {
        match self {
            Self::Text(text) => vec![bytes("prompt", text.as_bytes())],
            Self::Messages(messages, tools) => {
                let mut inputs = vec![bytes("messages", messages.to_string().as_bytes())];
                inputs.extend(tools.map(|tools| bytes("tools", tools.to_string().as_bytes())));
                inputs
            }
            Self::Tokens(ids) => vec![tokens(ids)],
        }
    }
}

/// A named U8 tensor `[len]`.
pub(crate) fn bytes(name: &str, data: &[u8]) -> NamedTensor {
    (name.to_owned(), Tensor::new(&[length(data.len())], TensorType::U8, data))
}

/// The tensor `tokens`: I32 `[n]`.
pub(crate) fn tokens(ids: &[i32]) -> NamedTensor {
    let data: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    ("tokens".to_owned(), Tensor::new(&[length(ids.len())], TensorType::I32, &data))
}

// A component's memory is 32 bits wide, so no length of its own is over u32.
fn length(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
