//! What happened to the frames of one engine.

use super::decode_error::DecodeError;

/// A count of each kind of event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoresAndRemovals {
    /// `BlockStored`.
    pub stored: u64,
    /// `BlockRemoved`.
    pub removed: u64,
}

impl StoresAndRemovals {
    fn add(&mut self, other: Self) {
        self.stored += other.stored;
        self.removed += other.removed;
    }
}

/// Counts since the stream began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventCounters {
    /// Frames applied.
    pub batches: u64,
    /// `BlockStored` events read.
    pub stored: u64,
    /// `BlockRemoved` events read.
    pub removed: u64,
    /// `AllBlocksCleared` events read.
    pub cleared: u64,
    /// Events with an unknown tag.
    pub unknown_tags: u64,
    /// Frames and events refused, in the order of [`DecodeError::ALL`].
    pub refused: [u64; 7],
    /// Events of cache groups that do not decide reuse.
    pub filtered_groups: StoresAndRemovals,
    /// Events about blocks outside the worker.
    pub filtered_localities: StoresAndRemovals,
    /// Stores with another block size than the router's.
    pub wrong_block_sizes: u64,
    /// Block size of the last such store; 0 when there was none.
    pub wrong_block_size: u64,
    /// Stores with fewer tokens than blocks need.
    pub short_tokens: u64,
    /// Stores that name one block twice.
    pub repeated_hashes: u64,
    /// Removals of one copy among several.
    pub removed_copies: u64,
    /// Times that frames were missing.
    pub gaps: u64,
    /// Missing frames given up.
    pub lost_batches: u64,
    /// Frames seen before.
    pub stale_batches: u64,
    /// Publisher restarts.
    pub restarts: u64,
    /// Events given out.
    pub emitted: u64,
}

impl EventCounters {
    /// Frames and events refused for one reason.
    #[must_use]
    pub fn refused_for(&self, error: DecodeError) -> u64 {
        self.refused[error.index()]
    }

    /// Frames and events refused for any reason.
    #[must_use]
    pub fn refused_total(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// Adds the counts of another stream.
    pub fn add(&mut self, other: &Self) {
        self.batches += other.batches;
        self.stored += other.stored;
        self.removed += other.removed;
        self.cleared += other.cleared;
        self.unknown_tags += other.unknown_tags;
        for (total, count) in self.refused.iter_mut().zip(other.refused) {
            *total += count;
        }
        self.filtered_groups.add(other.filtered_groups);
        self.filtered_localities.add(other.filtered_localities);
        self.wrong_block_sizes += other.wrong_block_sizes;
        if other.wrong_block_size != 0 {
            self.wrong_block_size = other.wrong_block_size;
        }
        self.short_tokens += other.short_tokens;
        self.repeated_hashes += other.repeated_hashes;
        self.removed_copies += other.removed_copies;
        self.gaps += other.gaps;
        self.lost_batches += other.lost_batches;
        self.stale_batches += other.stale_batches;
        self.restarts += other.restarts;
        self.emitted += other.emitted;
    }
}
