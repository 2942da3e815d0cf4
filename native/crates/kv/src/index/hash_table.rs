//! What the index's hash tables share: a cheap hasher for keys that are hashes already, and the size of a table.

use std::hash::{BuildHasherDefault, Hasher};

/// Hasher of 64-bit keys that are hashes already, or small numbers from an engine that counts.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Mix(u64);

/// Builds [`Mix`].
pub(super) type Mixer = BuildHasherDefault<Mix>;

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(self.0 ^ u64::from(byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        let mixed = (value ^ (value >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = mixed ^ (mixed >> 29);
    }
}

/// Bytes of a hash table by its capacity: a power of two of slots, seven eighths usable, one control byte each.
pub(super) fn table_bytes(capacity: usize, entry: usize) -> usize {
    match capacity {
        0 => 0,
        _ => (capacity * 8 / 7).next_power_of_two() * (entry + 1),
    }
}
