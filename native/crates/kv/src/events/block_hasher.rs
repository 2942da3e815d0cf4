//! Local hashes of blocks that hold more than tokens (RP 1.2): multimodal objects and the overlap of speculative engines.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::BlockSeed;

const PAD_VALUE_BASE: u32 = 1_000_000;
const PAD_VALUE_MASK: u64 = (1 << 30) - 1;

/// Hashes one block after another with the same buffer.
#[derive(Debug, Default)]
pub struct BlockHasher {
    bytes: Vec<u8>,
}

impl BlockHasher {
    /// Hash of one block: its tokens, then the hashes of its multimodal objects, ascending.
    pub fn hash(&mut self, tokens: &[u32], multimodal: &[u64], seed: BlockSeed) -> u64 {
        self.bytes.clear();
        self.bytes
            .extend(tokens.iter().flat_map(|token| token.to_le_bytes()));
        if !multimodal.is_empty() {
            let mut sorted = multimodal.to_vec();
            sorted.sort_unstable();
            self.bytes
                .extend(sorted.iter().flat_map(|hash| hash.to_le_bytes()));
        }
        xxh3_64_with_seed(&self.bytes, seed.get())
    }

    /// Hash of one block whose runs of `image_token` stand for its objects in order: each run becomes its object's pad
    /// value, as in prompts; runs beyond the last object reuse it.
    pub fn hash_padded(
        &mut self,
        tokens: &[u32],
        image_token: u32,
        multimodal: &[u64],
        seed: BlockSeed,
    ) -> u64 {
        self.bytes.clear();
        let mut object = 0;
        let mut in_run = false;
        for &token in tokens {
            let is_image = token == image_token;
            if in_run && !is_image {
                object += 1;
            }
            in_run = is_image;
            let hash = multimodal.get(object).or(multimodal.last());
            let value = match hash {
                Some(&hash) if is_image => pad_value(hash),
                _ => token,
            };
            self.bytes.extend(value.to_le_bytes());
        }
        xxh3_64_with_seed(&self.bytes, seed.get())
    }
}

/// Token id that stands for a multimodal object.
#[must_use]
pub fn pad_value(multimodal_hash: u64) -> u32 {
    // The mask leaves 30 bits.
    #[allow(clippy::cast_possible_truncation)]
    let low = (multimodal_hash & PAD_VALUE_MASK) as u32;
    PAD_VALUE_BASE + low
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: [u32; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    #[test]
    fn multimodal_blocks_match_the_golden_vector_in_any_order() {
        let mut hasher = BlockHasher::default();
        let seed = BlockSeed::default();
        for objects in [[3, 7], [7, 3]] {
            assert_eq!(
                hasher.hash(&TOKENS[4..8], &objects, seed),
                1_165_643_180_200_632_221
            );
        }
        assert_eq!(
            hasher.hash(&TOKENS[8..], &[], seed),
            483_935_686_894_639_516
        );
    }

    #[test]
    fn overlapping_windows_match_the_golden_vector() {
        let mut hasher = BlockHasher::default();
        let windows: Vec<u64> = [0, 4]
            .map(|start| hasher.hash(&TOKENS[start..start + 5], &[], BlockSeed::default()))
            .to_vec();
        assert_eq!(
            windows,
            [1_914_873_892_905_420_881, 1_929_047_464_662_796_003]
        );
        assert_eq!(
            crate::sequence_hashes(&windows),
            [1_914_873_892_905_420_881, 13_136_491_855_314_414_045]
        );
    }

    #[test]
    fn image_runs_hash_like_prompts_with_pad_values() {
        assert_eq!(pad_value(0xdead_beef_cafe_babe), 185_466_110);
        let mut hasher = BlockHasher::default();
        let seed = BlockSeed::default();
        let padded = hasher.hash_padded(&[9, 9, 1, 9, 2, 9], 9, &[5, 6], seed);
        let [five, six] = [5, 6].map(pad_value);
        assert_eq!(
            padded,
            hasher.hash(&[five, five, 1, six, 2, six], &[], seed)
        );
    }
}
