//! Local block hashes and their chain (RP 1.2, 1.3): XXH3-64 over little-endian token ids, seed 1337, complete blocks
//! only. Both sides of the wire must agree bit for bit, so the scheme is fixed by golden vectors.

use xxhash_rust::xxh3::xxh3_64_with_seed;

const BASE_SEED: u64 = 1337;
const LORA_SEED: u64 = 0;
const SALT_SEED: u64 = 1;

/// Seed of a request's block hashes: the base seed, moved by adapter name and cache salt so that their caches never mix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSeed(u64);

impl BlockSeed {
    /// Seed for an adapter and a salt; empty strings count as absent.
    #[must_use]
    pub fn new(lora_name: &str, salt: &str) -> Self {
        let mut seed = BASE_SEED;
        if !lora_name.is_empty() {
            seed = seed.wrapping_add(xxh3_64_with_seed(lora_name.as_bytes(), LORA_SEED));
        }
        if !salt.is_empty() {
            seed = seed.wrapping_add(xxh3_64_with_seed(salt.as_bytes(), SALT_SEED));
        }
        Self(seed)
    }

    /// The seed as a number.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl Default for BlockSeed {
    fn default() -> Self {
        Self(BASE_SEED)
    }
}

/// Hash of each complete block of `block_size` tokens; a partial tail is ignored and a block size of 0 gives none.
#[must_use]
pub fn local_block_hashes(tokens: &[u32], block_size: usize, seed: BlockSeed) -> Vec<u64> {
    let mut hashes = Vec::new();
    hash_blocks(tokens, block_size, seed, &mut hashes);
    hashes
}

/// Adds the hashes of [`local_block_hashes`] to a list.
pub(crate) fn hash_blocks(
    tokens: &[u32],
    block_size: usize,
    seed: BlockSeed,
    hashes: &mut Vec<u64>,
) {
    // Room for one block of the caller's size must not be made before there is one.
    if block_size == 0 || block_size > tokens.len() {
        return;
    }
    let mut bytes = vec![0_u8; block_size * 4];
    hashes.extend(tokens.chunks_exact(block_size).map(|block| {
        for (slot, token) in bytes.chunks_exact_mut(4).zip(block) {
            slot.copy_from_slice(&token.to_le_bytes());
        }
        xxh3_64_with_seed(&bytes, seed.get())
    }));
}

/// Prefix-cumulative hashes: the first equals its local hash, each next one hashes its parent with its local hash.
#[must_use]
pub fn sequence_hashes(local: &[u64]) -> Vec<u64> {
    let mut parent = None;
    local
        .iter()
        .map(|&hash| {
            let sequence = next_sequence_hash(parent, hash);
            parent = Some(sequence);
            sequence
        })
        .collect()
}

/// Sequence hash of a block from its parent's sequence hash (none for the first block) and its own local hash.
#[must_use]
pub fn next_sequence_hash(parent: Option<u64>, local: u64) -> u64 {
    parent.map_or(local, |parent| chain(parent, local))
}

fn chain(parent: u64, local: u64) -> u64 {
    let mut bytes = [0_u8; 16];
    bytes[..8].copy_from_slice(&parent.to_le_bytes());
    bytes[8..].copy_from_slice(&local.to_le_bytes());
    xxh3_64_with_seed(&bytes, BASE_SEED)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKENS: [u32; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

    fn hashes(lora: &str, salt: &str) -> (u64, Vec<u64>, Vec<u64>) {
        let seed = BlockSeed::new(lora, salt);
        let local = local_block_hashes(&TOKENS, 4, seed);
        let sequence = sequence_hashes(&local);
        (seed.get(), local, sequence)
    }

    #[test]
    fn a_block_that_is_longer_than_the_prompt_costs_nothing() {
        for block_size in [13, u32::MAX as usize, usize::MAX] {
            let hashes = local_block_hashes(&TOKENS, block_size, BlockSeed::default());
            assert!(hashes.is_empty());
        }
    }

    /// Adapter, salt, seed, local hashes, sequence hashes (RP 1.5).
    type Row = (&'static str, &'static str, u64, [u64; 3], [u64; 3]);

    const GOLDEN: [Row; 6] = [
        (
            "",
            "",
            1_337,
            [
                14_643_705_804_678_351_452,
                16_777_012_769_546_811_212,
                483_935_686_894_639_516,
            ],
            [
                14_643_705_804_678_351_452,
                4_945_711_292_740_353_085,
                12_583_592_247_330_656_132,
            ],
        ),
        (
            "my-lora",
            "",
            12_827_409_268_353_072_861,
            [
                15_671_544_057_904_749_233,
                7_919_241_211_032_067_838,
                6_437_396_758_604_329_923,
            ],
            [
                15_671_544_057_904_749_233,
                15_486_599_009_994_050_725,
                8_291_072_227_036_031_577,
            ],
        ),
        (
            "",
            "tenant-a",
            1_948_188_790_972_764_086,
            [
                5_738_685_477_468_498_325,
                11_202_231_085_456_067_787,
                9_318_114_775_459_440_904,
            ],
            [
                5_738_685_477_468_498_325,
                1_076_233_986_426_276_607,
                14_251_413_665_512_820_044,
            ],
        ),
        (
            "x",
            "",
            16_929_150_178_197_426_762,
            [
                5_621_237_061_398_796_446,
                5_501_199_763_675_310_504,
                6_384_340_658_307_933_894,
            ],
            [
                5_621_237_061_398_796_446,
                14_312_468_848_906_682_366,
                15_857_780_607_523_285_385,
            ],
        ),
        (
            "",
            "x",
            12_345_335_563_672_368_301,
            [
                3_662_567_837_465_702_574,
                2_875_182_682_986_810_727,
                5_203_633_743_976_237_428,
            ],
            [
                3_662_567_837_465_702_574,
                421_195_230_017_021_445,
                7_921_487_880_346_443_365,
            ],
        ),
        (
            "my-lora",
            "tenant-a",
            14_775_598_059_325_835_610,
            [
                6_157_910_915_076_630_503,
                3_256_431_856_703_716_508,
                746_293_535_497_476_961,
            ],
            [
                6_157_910_915_076_630_503,
                9_770_935_122_131_878_621,
                5_066_185_753_532_879_290,
            ],
        ),
    ];

    #[test]
    fn blocks_match_the_golden_vectors_of_every_adapter_and_salt() {
        for (lora, salt, seed, local, sequence) in GOLDEN {
            let hashes = hashes(lora, salt);
            assert_eq!(
                hashes,
                (seed, local.to_vec(), sequence.to_vec()),
                "{lora}/{salt}"
            );
        }
    }

    #[test]
    fn partial_tail_and_zero_block_size_give_no_hash() {
        assert_eq!(
            local_block_hashes(&TOKENS[..7], 4, BlockSeed::default()).len(),
            1
        );
        assert!(local_block_hashes(&TOKENS, 0, BlockSeed::default()).is_empty());
        assert_eq!(
            xxh3_64_with_seed(&[], BASE_SEED),
            15_128_690_059_815_094_969
        );
    }
}
