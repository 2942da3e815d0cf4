//! What goes into an index and what it says about it.

/// One engine's cache: a worker and its data-parallel rank (0 also means "no data parallelism").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WorkerRank {
    /// Instance id of the worker.
    pub worker_id: u64,
    /// Data-parallel rank inside the worker.
    pub dp_rank: u32,
}

impl WorkerRank {
    /// A rank of a worker.
    #[must_use]
    pub fn new(worker_id: u64, dp_rank: u32) -> Self {
        Self { worker_id, dp_rank }
    }
}

/// Where a rank keeps a block, fastest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CacheTier {
    /// GPU memory.
    Device,
    /// Pinned host memory.
    Host,
    /// Local disk.
    Disk,
    /// Storage shared with others.
    External,
}

impl CacheTier {
    /// Every tier, in the order in which a match goes on through them.
    pub const ALL: [Self; 4] = [Self::Device, Self::Host, Self::Disk, Self::External];

    /// Stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Host => "host",
            Self::Disk => "disk",
            Self::External => "external",
        }
    }

    /// The tier of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tier| tier.as_str() == name)
    }

    /// Position in [`Self::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        self as usize
    }
}

/// A block as an engine announces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredBlock {
    /// The engine's own name for the block and all before it; opaque, and valid for one rank only.
    pub engine_hash: u64,
    /// Hash of the block's tokens alone.
    pub local_hash: u64,
}

/// One change of a rank's cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CacheChange<'a> {
    /// Consecutive blocks now held in the tier, the first one after the block called `parent` (none: at the start).
    Stored {
        /// Engine hash of the block before the first one.
        parent: Option<u64>,
        /// The blocks in order.
        blocks: &'a [StoredBlock],
    },
    /// Blocks no longer held in the tier, by engine hash.
    Removed {
        /// Engine hashes in any order.
        engine_hashes: &'a [u64],
    },
    /// The rank holds nothing any more, in any tier.
    Cleared,
}

/// How an event was taken; the names are the `status` labels of `kv_cache_events_applied`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyStatus {
    /// Applied whole.
    Ok,
    /// The parent is not known for this rank; nothing was stored.
    ParentBlockNotFound,
    /// Some of the removed blocks are not known for this rank and tier; the others were removed.
    BlockNotFound,
    /// The event names one block twice; nothing was stored.
    InvalidBlock,
    /// This index does not learn from such events.
    Ignored,
}

impl ApplyStatus {
    /// Every status, in order.
    pub const ALL: [Self; 5] = [
        Self::Ok,
        Self::ParentBlockNotFound,
        Self::BlockNotFound,
        Self::InvalidBlock,
        Self::Ignored,
    ];

    /// Label value.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ParentBlockNotFound => "parent_block_not_found",
            Self::BlockNotFound => "block_not_found",
            Self::InvalidBlock => "invalid_block",
            Self::Ignored => "ignored",
        }
    }
}

/// Sizes of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexStats {
    /// Distinct blocks in the tree.
    pub blocks: usize,
    /// (block, rank, tier) holdings, by engine hash.
    pub entries: usize,
    /// Ranks that have told or been given anything.
    pub ranks: usize,
    /// Bytes allocated.
    pub bytes: usize,
    /// Holdings dropped to keep the byte budget, since the start.
    pub evicted: u64,
}

/// Sizes of one rank's part of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RankStats {
    /// Holdings per tier, in the order of [`CacheTier::ALL`].
    pub entries: [usize; 4],
    /// Bytes of the rank's own tables.
    pub bytes: usize,
}
