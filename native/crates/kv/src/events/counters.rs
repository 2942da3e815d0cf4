//! What happened to the frames of one engine.

use super::decode_error::DecodeError;

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
    pub refused: [u64; 6],
    /// Events of cache groups that do not decide reuse.
    pub filtered_groups: u64,
    /// Events about blocks outside the worker.
    pub filtered_localities: u64,
    /// Stores with another block size than the router's.
    pub wrong_block_sizes: u64,
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
}
