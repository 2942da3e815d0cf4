//! The paged KV cache of one rank: blocks with reference counts, found again by the hash of everything up to their end.
//!
//! A block is in exactly one of three places. Active: running requests hold it. Inactive: nobody holds it, its content
//! can be reused. Free: it has no content. Only a block that gets new content is reported as stored, and only one whose
//! content is given up as removed; hits on either pool are silent.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

/// Index of a block in its pool.
pub type BlockId = u32;

/// Blocks of one rank.
#[derive(Debug)]
pub struct BlockPool {
    blocks: Vec<Block>,
    free: Vec<BlockId>,
    cached: HashMap<u64, BlockId, BuildHasherDefault<PassThrough>>,
    /// By the stamp of their release.
    inactive: BTreeSet<(u64, BlockId)>,
    releases: u64,
    evictions: u64,
}

#[derive(Debug, Default, Clone)]
struct Block {
    references: u32,
    hash: Option<u64>,
    released: u64,
}

/// What became of a block that was filled.
#[derive(Debug, PartialEq, Eq)]
pub enum Promotion {
    /// It is the first with this content.
    Stored,
    /// Another block has the same content; the caller holds that one now and its own has been freed.
    Collapsed(BlockId),
}

/// A prefix found in the cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PrefixMatch {
    /// Leading blocks that are cached.
    pub blocks: usize,
    /// How many of them are inactive: taking them lowers what is available.
    pub inactive: usize,
}

impl BlockPool {
    /// A pool of empty blocks.
    #[must_use]
    pub fn new(total: u32) -> Self {
        Self {
            blocks: vec![Block::default(); total as usize],
            free: (0..total).rev().collect(),
            cached: HashMap::default(),
            inactive: BTreeSet::new(),
            releases: 0,
            evictions: 0,
        }
    }

    /// Number of blocks.
    #[must_use]
    pub fn total(&self) -> usize {
        self.blocks.len()
    }

    /// Blocks without content.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Blocks that nobody holds and that can be reused.
    #[must_use]
    pub fn inactive(&self) -> usize {
        self.inactive.len()
    }

    /// Blocks that requests hold.
    #[must_use]
    pub fn active(&self) -> usize {
        self.total() - self.available()
    }

    /// Blocks that can be allocated.
    #[must_use]
    pub fn available(&self) -> usize {
        self.free.len() + self.inactive.len()
    }

    /// Blocks evicted so far.
    #[must_use]
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Longest cached prefix of a sequence of block hashes.
    #[must_use]
    pub fn find_prefix(&self, hashes: impl Iterator<Item = u64>) -> PrefixMatch {
        let mut found = PrefixMatch::default();
        for hash in hashes {
            let Some(&id) = self.cached.get(&hash) else {
                break;
            };
            found.blocks += 1;
            found.inactive += usize::from(self.blocks[id as usize].references == 0);
        }
        found
    }

    /// Takes a reference to the block with this content.
    pub fn acquire(&mut self, hash: u64) -> Option<BlockId> {
        let id = *self.cached.get(&hash)?;
        let block = &mut self.blocks[id as usize];
        block.references += 1;
        if block.references == 1 {
            self.inactive.remove(&(block.released, id));
        }
        Some(id)
    }

    /// Takes an empty block, evicting one if none is free; the evicted hash goes to `removed`.
    pub fn allocate(&mut self, removed: &mut Vec<u64>) -> Option<BlockId> {
        if self.free.is_empty() {
            removed.push(self.evict()?);
        }
        let id = self.free.pop()?;
        self.blocks[id as usize].references = 1;
        Some(id)
    }

    /// Gives a filled block that the caller alone holds its content's hash.
    pub fn promote(&mut self, id: BlockId, hash: u64) -> Promotion {
        if let Some(existing) = self.acquire(hash) {
            self.release(id);
            return Promotion::Collapsed(existing);
        }
        self.cached.insert(hash, id);
        self.blocks[id as usize].hash = Some(hash);
        Promotion::Stored
    }

    /// Gives a reference back. Give the blocks of a sequence back from its end, so that its tail is evicted first.
    pub fn release(&mut self, id: BlockId) {
        let block = &mut self.blocks[id as usize];
        block.references -= 1;
        if block.references > 0 {
            return;
        }
        if block.hash.is_none() {
            self.free.push(id);
            return;
        }
        self.releases += 1;
        block.released = self.releases;
        self.inactive.insert((self.releases, id));
    }

    /// Forgets all content; false and no change while requests hold blocks.
    pub fn clear(&mut self) -> bool {
        if self.active() > 0 {
            return false;
        }
        *self = Self {
            evictions: self.evictions,
            ..Self::new(self.total_u32())
        };
        true
    }

    fn evict(&mut self) -> Option<u64> {
        let (_, id) = self.inactive.pop_first()?;
        let hash = std::mem::take(&mut self.blocks[id as usize]).hash?;
        self.cached.remove(&hash);
        self.free.push(id);
        self.evictions += 1;
        Some(hash)
    }

    fn total_u32(&self) -> u32 {
        u32::try_from(self.blocks.len()).unwrap_or(u32::MAX)
    }
}

/// Block hashes are XXH3 results already; hashing them again would only cost time.
#[derive(Debug, Default)]
struct PassThrough(u64);

impl Hasher for PassThrough {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fills and releases a sequence of blocks with these hashes.
    fn store(pool: &mut BlockPool, hashes: &[u64]) -> Vec<u64> {
        let mut removed = Vec::new();
        let mut held = Vec::new();
        for &hash in hashes {
            held.push(pool.acquire(hash).unwrap_or_else(|| {
                let id = pool.allocate(&mut removed).unwrap();
                assert_eq!(pool.promote(id, hash), Promotion::Stored);
                id
            }));
        }
        for id in held.into_iter().rev() {
            pool.release(id);
        }
        removed
    }

    #[test]
    fn a_released_prefix_is_found_again() {
        let mut pool = BlockPool::new(4);
        store(&mut pool, &[10, 11, 12]);
        assert_eq!((pool.active(), pool.inactive(), pool.free()), (0, 3, 1));
        let found = pool.find_prefix([10, 11, 99].into_iter());
        assert_eq!(
            found,
            PrefixMatch {
                blocks: 2,
                inactive: 2
            }
        );
        pool.acquire(10);
        assert_eq!(pool.find_prefix([10, 11].into_iter()).inactive, 1);
        assert_eq!((pool.active(), pool.inactive()), (1, 2));
    }

    #[test]
    fn the_end_of_the_prefix_used_longest_ago_is_evicted_first() {
        let mut pool = BlockPool::new(4);
        store(&mut pool, &[10, 11]);
        store(&mut pool, &[20, 21]);
        store(&mut pool, &[10]); // used again, but not what continues it
        assert_eq!(store(&mut pool, &[30]), [11]);
        assert_eq!(store(&mut pool, &[40]), [21]);
        assert_eq!(store(&mut pool, &[50]), [20]);
        assert_eq!(store(&mut pool, &[60]), [10]);
        assert_eq!(pool.evictions(), 4);
    }

    #[test]
    fn equal_content_collapses_onto_the_cached_block() {
        let mut pool = BlockPool::new(4);
        let mut removed = Vec::new();
        let first = pool.allocate(&mut removed).unwrap();
        let second = pool.allocate(&mut removed).unwrap();
        assert_eq!(pool.promote(first, 10), Promotion::Stored);
        assert_eq!(pool.promote(second, 10), Promotion::Collapsed(first));
        assert_eq!((pool.active(), pool.free()), (1, 3));
        pool.release(first);
        assert_eq!(pool.active(), 1);
        pool.release(first);
        assert_eq!((pool.active(), pool.inactive()), (0, 1));
    }

    #[test]
    fn blocks_in_use_are_never_evicted_and_block_a_clear() {
        let mut pool = BlockPool::new(1);
        let mut removed = Vec::new();
        let id = pool.allocate(&mut removed).unwrap();
        pool.promote(id, 10);
        assert_eq!(pool.allocate(&mut removed), None);
        assert!(!pool.clear());
        pool.release(id);
        assert!(pool.clear());
        assert_eq!(
            (pool.free(), pool.find_prefix([10].into_iter()).blocks),
            (1, 0)
        );
    }
}
