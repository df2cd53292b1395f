//! Numbers that say nothing, small enough that sums over a row stay finite.

use crate::header::Content;
use crate::quant::Quant;

/// Blocks that are made; longer tensors repeat them. A multiple of every alignment, and some megabytes.
const BLOCKS: usize = 1 << 15;
/// Values of a vector that are made at a time.
const VECTOR: usize = 1 << 12;
/// Halves: 2^-9, 2^-12, 2^-13 and 2^-16.
const HALF_9: [u8; 2] = 0x1800_u16.to_le_bytes();
const HALF_12: [u8; 2] = 0x0c00_u16.to_le_bytes();
const HALF_13: [u8; 2] = 0x0800_u16.to_le_bytes();
const HALF_16: [u8; 2] = 0x0100_u16.to_le_bytes();

/// What tensors are filled with.
pub(crate) struct Noise {
    matrix: Vec<u8>,
    decays: Vec<u8>,
    ones: Vec<u8>,
    zeros: Vec<u8>,
}

impl Noise {
    pub(crate) fn new(quant: Quant, seed: u64) -> Self {
        let mut random = Random(seed);
        let mut matrix = Vec::new();
        for _ in 0..BLOCKS {
            block(quant, &mut random, &mut matrix);
        }
        let decays = (0..VECTOR).flat_map(|_| decay(&mut random).to_le_bytes()).collect();
        let ones = std::iter::repeat_n(1_f32.to_le_bytes(), VECTOR).flatten().collect();
        Self { matrix, decays, ones, zeros: vec![0; VECTOR * size_of::<f32>()] }
    }

    pub(crate) fn of(&self, content: Content) -> &[u8] {
        match content {
            Content::Matrix => &self.matrix,
            Content::Decays => &self.decays,
            Content::Ones => &self.ones,
            Content::Zeros => &self.zeros,
        }
    }
}

/// One block: values of up to some hundredths, about as many below zero as above.
fn block(quant: Quant, random: &mut Random, out: &mut Vec<u8>) {
    match quant {
        // 2^-7 to 2^-6, with either sign.
        Quant::F16 => {
            let [low, high] = random.bytes();
            out.extend((u16::from_le_bytes([low, high]) & 0x83ff | 0x2000).to_le_bytes());
        }
        Quant::Q8_0 => {
            out.extend(HALF_12);
            out.extend(random.bytes::<32>());
        }
        Quant::Q4_0 => {
            out.extend(HALF_9);
            out.extend(random.bytes::<16>());
        }
        // The offsets are about half of what the scales give.
        Quant::Q4K => {
            out.extend(HALF_16);
            out.extend(HALF_13);
            out.extend(random.bytes::<12>());
            out.extend(random.bytes::<128>());
        }
    }
}

/// Between -1 and 0: what a state keeps of itself from token to token grows with it.
fn decay(random: &mut Random) -> f32 {
    let [byte] = random.bytes();
    -(f32::from(byte) + 1.0) / 256.0
}

/// A linear congruential generator, of which the upper bits are taken.
struct Random(u64);

impl Random {
    fn bytes<const COUNT: usize>(&mut self) -> [u8; COUNT] {
        std::array::from_fn(|_| {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 56) as u8
        })
    }
}
