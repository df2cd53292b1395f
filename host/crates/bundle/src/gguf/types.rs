//! The types of the format: metadata values and tensor encodings, with the sizes that ggml gives them.

/// A metadata value's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    Text,
    Array,
    U64,
    I64,
    F64,
}

impl Kind {
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::U8,
            1 => Self::I8,
            2 => Self::U16,
            3 => Self::I16,
            4 => Self::U32,
            5 => Self::I32,
            6 => Self::F32,
            7 => Self::Bool,
            8 => Self::Text,
            9 => Self::Array,
            10 => Self::U64,
            11 => Self::I64,
            12 => Self::F64,
            _ => return None,
        })
    }

    /// Bytes of one value; for text and arrays the bytes of the length that they begin with.
    pub(crate) fn size(self) -> u64 {
        match self {
            Self::U8 | Self::I8 | Self::Bool => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::Text | Self::Array | Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::U8 => "u8",
            Self::I8 => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::F32 => "f32",
            Self::Bool => "bool",
            Self::Text => "string",
            Self::Array => "array",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F64 => "f64",
        }
    }
}

/// How a block's bytes show whether its numbers are finite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scales {
    /// Integers, or a packed scale that has no infinity.
    None,
    /// 32-bit floats at these offsets.
    Single(&'static [usize]),
    /// 16-bit floats at these offsets.
    Half(&'static [usize]),
    /// Brain floats at these offsets.
    Brain(&'static [usize]),
}

/// How a tensor's numbers are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoding {
    pub(crate) name: &'static str,
    /// Numbers in one block.
    pub(crate) block: u64,
    /// Bytes of one block.
    pub(crate) bytes: u64,
    pub(crate) scales: Scales,
    /// ggml can multiply by it; the others reach a null function or an assertion.
    pub(crate) multiplies: bool,
}

const fn weights(name: &'static str, block: u64, bytes: u64, scales: Scales) -> Encoding {
    Encoding { name, block, bytes, scales, multiplies: true }
}

const fn other(name: &'static str, block: u64, bytes: u64, scales: Scales) -> Encoding {
    Encoding { name, block, bytes, scales, multiplies: false }
}

impl Encoding {
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        use Scales::{Brain, Half, None as Unscaled, Single};
        Some(match number {
            0 => weights("F32", 1, 4, Single(&[0])),
            1 => weights("F16", 1, 2, Half(&[0])),
            2 => weights("Q4_0", 32, 18, Half(&[0])),
            3 => weights("Q4_1", 32, 20, Half(&[0, 2])),
            6 => weights("Q5_0", 32, 22, Half(&[0])),
            7 => weights("Q5_1", 32, 24, Half(&[0, 2])),
            8 => weights("Q8_0", 32, 34, Half(&[0])),
            9 => other("Q8_1", 32, 36, Half(&[0, 2])),
            10 => weights("Q2_K", 256, 84, Half(&[80, 82])),
            11 => weights("Q3_K", 256, 110, Half(&[108])),
            12 => weights("Q4_K", 256, 144, Half(&[0, 2])),
            13 => weights("Q5_K", 256, 176, Half(&[0, 2])),
            14 => weights("Q6_K", 256, 210, Half(&[208])),
            15 => other("Q8_K", 256, 292, Single(&[0])),
            16 => weights("IQ2_XXS", 256, 66, Half(&[0])),
            17 => weights("IQ2_XS", 256, 74, Half(&[0])),
            18 => weights("IQ3_XXS", 256, 98, Half(&[0])),
            19 => weights("IQ1_S", 256, 50, Half(&[0])),
            20 => weights("IQ4_NL", 32, 18, Half(&[0])),
            21 => weights("IQ3_S", 256, 110, Half(&[0])),
            22 => weights("IQ2_S", 256, 82, Half(&[0])),
            23 => weights("IQ4_XS", 256, 136, Half(&[0])),
            24 => other("I8", 1, 1, Unscaled),
            25 => other("I16", 1, 2, Unscaled),
            26 => other("I32", 1, 4, Unscaled),
            27 => other("I64", 1, 8, Unscaled),
            28 => other("F64", 1, 8, Unscaled),
            29 => weights("IQ1_M", 256, 56, Unscaled),
            30 => weights("BF16", 1, 2, Brain(&[0])),
            34 => weights("TQ1_0", 256, 54, Half(&[52])),
            35 => weights("TQ2_0", 256, 66, Half(&[64])),
            39 => weights("MXFP4", 32, 17, Unscaled),
            40 => weights("NVFP4", 64, 36, Unscaled),
            41 => weights("Q1_0", 128, 18, Half(&[0])),
            42 => weights("Q2_0", 64, 18, Half(&[0])),
            _ => return None,
        })
    }

    /// Tables of indices, which are never multiplied.
    pub(crate) fn is_index(self) -> bool {
        matches!(self.name, "I32" | "I64")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_its_scales() {
        for number in 0..64 {
            let Some(encoding) = Encoding::from_number(number) else { continue };
            let (offsets, size) = match encoding.scales {
                Scales::None => continue,
                Scales::Single(offsets) => (offsets, 4),
                Scales::Half(offsets) | Scales::Brain(offsets) => (offsets, 2),
            };
            for offset in offsets {
                assert!(*offset as u64 + size <= encoding.bytes, "{}", encoding.name);
            }
        }
    }
}
