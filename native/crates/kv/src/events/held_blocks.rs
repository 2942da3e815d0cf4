//! What one rank holds, counted: engines store a block again for a second physical copy and remove each copy by itself,
//! and only the last removal empties the cache. Also remembers the salt's seed along a chain, because engines name the
//! salt with the first block only.

use crate::BlockSeed;
use crate::index::{CacheTier, ShardedMap};

#[derive(Debug)]
pub(crate) struct HeldBlocks {
    /// By tier.
    copies: [ShardedMap<Held>; 4],
    /// Blocks beyond this many are not counted: each of their removals passes.
    capacity: usize,
}

#[derive(Debug)]
struct Held {
    copies: u32,
    seed: Option<BlockSeed>,
}

impl HeldBlocks {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            copies: Default::default(),
            capacity,
        }
    }

    /// Counts a stored copy.
    pub(crate) fn store(&mut self, tier: CacheTier, hash: u64, seed: BlockSeed) {
        let seed = (seed != BlockSeed::default()).then_some(seed);
        let is_full = self.len() >= self.capacity;
        let copies = &mut self.copies[tier.index()];
        if let Some(held) = copies.get_mut(hash) {
            held.copies = held.copies.saturating_add(1);
            held.seed = seed;
        } else if !is_full {
            copies.insert(hash, Held { copies: 1, seed });
        }
    }

    /// Counts a removed copy; `true` when it was the last one or unknown, so that the removal must be told.
    pub(crate) fn remove(&mut self, tier: CacheTier, hash: u64) -> bool {
        let copies = &mut self.copies[tier.index()];
        let Some(held) = copies.get_mut(hash) else {
            return true;
        };
        held.copies -= 1;
        if held.copies > 0 {
            return false;
        }
        copies.remove(hash);
        true
    }

    /// Seed of the chain that a block belongs to, when it is not the default one.
    pub(crate) fn seed(&self, hash: u64) -> Option<BlockSeed> {
        self.copies.iter().find_map(|copies| copies.get(hash)?.seed)
    }

    pub(crate) fn clear(&mut self) {
        self.copies = Default::default();
    }

    pub(crate) fn len(&self) -> usize {
        self.copies.iter().map(ShardedMap::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_copy_of_a_tier_is_told() {
        let mut held = HeldBlocks::new(8);
        let seed = BlockSeed::default();
        held.store(CacheTier::Device, 7, seed);
        held.store(CacheTier::Device, 7, seed);
        held.store(CacheTier::Host, 7, seed);
        assert!(!held.remove(CacheTier::Device, 7));
        assert!(held.remove(CacheTier::Device, 7));
        assert!(held.remove(CacheTier::Host, 7));
        assert!(held.remove(CacheTier::Host, 7));
        assert_eq!(held.len(), 0);
    }

    #[test]
    fn beyond_the_capacity_every_removal_passes() {
        let mut held = HeldBlocks::new(1);
        for hash in 0..3 {
            held.store(CacheTier::Device, hash, BlockSeed::default());
        }
        assert_eq!(held.len(), 1);
        assert!(held.remove(CacheTier::Device, 2));
    }
}
