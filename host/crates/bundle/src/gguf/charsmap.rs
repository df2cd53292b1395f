//! A unigram vocabulary's normalisation map: llama.cpp walks it for every prompt and throws, outside any
//! handler, when a step leaves it.

use super::GgufError;
use super::metadata::at_most;

const KEY: &str = "tokenizer.ggml.precompiled_charsmap";
const MAX_BYTES: u64 = 4 << 20;

/// Walks every path that some prompt could take.
pub(crate) fn check(map: &[u8]) -> Result<(), GgufError> {
    at_most("the size of the normalisation map, in bytes,", map.len() as u64, MAX_BYTES)?;
    if map.is_empty() {
        return Err(bad("is empty; leave it out"));
    }
    let Some((length, rest)) = map.split_first_chunk::<4>() else { return Err(bad("ends inside its first number")) };
    let length = u32::from_le_bytes(*length) as usize;
    let Some((trie, replacements)) = rest.split_at_checked(length).filter(|(_, after)| !after.is_empty()) else {
        return Err(bad("declares a trie longer than itself"));
    };
    let nodes: Vec<u32> = trie.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
    if nodes.is_empty() {
        return Ok(());
    }
    // A replacement runs to the next NUL, so the last NUL ends the last usable one.
    let last_nul = replacements.iter().rposition(|byte| *byte == 0);
    walk(&nodes, |value| last_nul.is_some_and(|last| value as usize <= last))
}

fn bad(problem: &str) -> GgufError {
    GgufError::Value { key: KEY.to_owned(), problem: problem.to_owned() }
}

fn base(node: u32) -> u32 {
    (node >> 10) << ((node & (1 << 9)) >> 6)
}

fn walk(nodes: &[u32], is_replacement: impl Fn(u32) -> bool) -> Result<(), GgufError> {
    let at = |index: u32| nodes.get(index as usize).copied().ok_or_else(|| bad("has a step that leaves its trie"));
    let mut seen = vec![false; nodes.len()];
    let mut open = vec![base(at(0)?)];
    while let Some(state) = open.pop() {
        for byte in 1..=255_u32 {
            let index = state ^ byte;
            let node = at(index)?;
            if node & ((1 << 31) | 0xff) != byte {
                continue;
            }
            let next = index ^ base(node);
            let leaf = (node >> 8) & 1 == 1;
            if leaf && !is_replacement(at(next)? & !(1 << 31)) {
                return Err(bad("points to a replacement outside of it"));
            }
            let Some(seen) = seen.get_mut(next as usize) else {
                // Only a further byte would look there, and each of those lookups is checked below.
                return Err(bad("has a step that leaves its trie"));
            };
            if !std::mem::replace(seen, true) {
                open.push(next);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Root with one child, `a`, replaced by `b`.
    fn map() -> Vec<u8> {
        let mut nodes = vec![0_u32; 256 * 2];
        nodes[0] = 256 << 10;
        let child = 256 ^ u32::from(b'a');
        // Its base leads to node 256, whose value is the replacement's offset.
        nodes[child as usize] = u32::from(b'a') | 1 << 8 | u32::from(b'a') << 10;
        nodes[256] = 0;
        let mut bytes = (nodes.len() as u32 * 4).to_le_bytes().to_vec();
        bytes.extend(nodes.iter().flat_map(|node| node.to_le_bytes()));
        bytes.extend(b"b\0");
        bytes
    }

    #[test]
    fn a_whole_map_passes() {
        check(&map()).unwrap();
    }

    #[test]
    fn a_damaged_map_is_refused() {
        let mut unterminated = map();
        unterminated.pop();
        assert!(check(&unterminated).unwrap_err().to_string().contains("replacement"));
        let mut short = map();
        short[0..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(check(&short).unwrap_err().to_string().contains("longer than itself"));
        let mut wild = map();
        wild[4..8].copy_from_slice(&(4096_u32 << 10).to_le_bytes());
        assert!(check(&wild).unwrap_err().to_string().contains("leaves its trie"));
    }
}
