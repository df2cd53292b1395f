//! How matrices are stored.

use std::fmt;
use std::str::FromStr;

/// A format of llama.cpp's for matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quant {
    /// 16-bit floats.
    F16,
    /// 8 bits and a scale for 32 numbers.
    Q8_0,
    /// 4 bits and a scale for 32 numbers.
    Q4_0,
    /// 4 bits for 256 numbers in eight groups, each with a scale and an offset.
    Q4K,
}

impl Quant {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::F16, Self::Q8_0, Self::Q4_0, Self::Q4K];

    /// Its name, as llama.cpp's tools write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Q8_0 => "q8_0",
            Self::Q4_0 => "q4_0",
            Self::Q4K => "q4_k",
        }
    }

    /// Numbers that are stored together.
    #[must_use]
    pub fn block(self) -> u64 {
        match self {
            Self::F16 => 1,
            Self::Q8_0 | Self::Q4_0 => 32,
            Self::Q4K => 256,
        }
    }

    /// Bytes of a block.
    pub(crate) fn block_bytes(self) -> u64 {
        match self {
            Self::F16 => 2,
            Self::Q8_0 => 34,
            Self::Q4_0 => 18,
            Self::Q4K => 144,
        }
    }

    /// GGUF's number for it.
    pub(crate) fn gguf(self) -> u32 {
        match self {
            Self::F16 => 1,
            Self::Q4_0 => 2,
            Self::Q8_0 => 8,
            Self::Q4K => 12,
        }
    }
}

impl fmt::Display for Quant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// No quantisation has this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownQuant(String);

impl fmt::Display for UnknownQuant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no quantisation \"{}\" here; there are {}", self.0, Quant::ALL.map(Quant::name).join(", "))
    }
}

impl std::error::Error for UnknownQuant {}

impl FromStr for Quant {
    type Err = UnknownQuant;

    fn from_str(name: &str) -> Result<Self, UnknownQuant> {
        let named = |quant: &Self| quant.name().eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(named).ok_or_else(|| UnknownQuant(name.to_owned()))
    }
}
