//! Cache events as workers and routers exchange them (RP 2.1): engine formats are gone, token ids are local hashes.

use crate::index::{CacheChange, CacheTier, StoredBlock, WorkerRank};

/// One change of a rank's cache with its place in the rank's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheEvent {
    /// Whose cache changed.
    pub rank: WorkerRank,
    /// Dense per rank, from 1; a consumer takes the first id it sees as its base.
    pub event_id: u64,
    /// Where the blocks are; means nothing for `Cleared`, which concerns every tier.
    pub tier: CacheTier,
    /// The change.
    pub data: CacheEventData,
}

impl CacheEvent {
    /// The change as an index takes it.
    #[must_use]
    pub fn change(&self) -> CacheChange<'_> {
        match &self.data {
            CacheEventData::Stored { parent, blocks } => CacheChange::Stored {
                parent: *parent,
                blocks,
            },
            CacheEventData::Removed { engine_hashes } => CacheChange::Removed { engine_hashes },
            CacheEventData::Cleared => CacheChange::Cleared,
        }
    }
}

/// What changed in a cache; [`CacheChange`] that owns its blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheEventData {
    /// Consecutive blocks can be reused from now on.
    Stored {
        /// Engine hash of the block before the first one; none at the start of a prompt.
        parent: Option<u64>,
        /// The blocks in order.
        blocks: Vec<StoredBlock>,
    },
    /// Blocks were given up. An empty list changes nothing and only keeps the ids dense.
    Removed {
        /// Engine hashes.
        engine_hashes: Vec<u64>,
    },
    /// The rank's whole cache was dropped.
    Cleared,
}

impl CacheEventData {
    /// How many blocks it names.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Stored { blocks, .. } => blocks.len(),
            Self::Removed { engine_hashes } => engine_hashes.len(),
            Self::Cleared => 0,
        }
    }

    /// Whether it names no block.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Tier of an engine's `medium`; a missing or unknown one means the device.
#[must_use]
pub fn tier_of_medium(medium: Option<&str>) -> CacheTier {
    match medium {
        Some("CPU" | "CPU_PINNED" | "CPU_TIER1") => CacheTier::Host,
        Some("CPU_TIER2" | "DISK" | "NVME" | "STORAGE") => CacheTier::Disk,
        Some("EXTERNAL" | "NETWORK" | "REMOTE" | "SHARED") => CacheTier::External,
        _ => CacheTier::Device,
    }
}
