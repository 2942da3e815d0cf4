//! Maps keyed by block hashes. The keys are hashes already, so one multiplication spreads them well enough.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map from block hashes, or tuples of numbers that hold one.
pub(crate) type BlockMap<K, V> = HashMap<K, V, BuildHasherDefault<BlockMapHasher>>;

/// Odd, with well spread bits: 2^64 divided by the golden ratio.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Default)]
pub(crate) struct BlockMapHasher(u64);

impl Hasher for BlockMapHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (self.0 ^ value).wrapping_mul(MULTIPLIER);
        self.0 = mixed ^ (mixed >> 32);
    }
}
