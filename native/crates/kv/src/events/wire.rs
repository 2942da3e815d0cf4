//! Events as an engine says them, borrowed from the frame's bytes where possible.

/// A batch of one frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WireBatch<'a> {
    /// Engine's clock, seconds.
    pub timestamp: f64,
    /// Rank that the batch itself names.
    pub dp_rank: Option<u32>,
    /// Events in order, without those that could not be read.
    pub events: Vec<WireEvent<'a>>,
    /// Events with a tag that this decoder does not know.
    pub unknown_tags: u64,
    /// Events that were refused, by `DecodeError::index`.
    pub(crate) refused: [u64; 7],
}

/// One event of an engine.
#[derive(Debug, Clone, PartialEq)]
pub enum WireEvent<'a> {
    /// `BlockStored`.
    Stored(WireStored<'a>),
    /// `BlockRemoved`.
    Removed {
        /// Engine hashes.
        block_hashes: Vec<u64>,
        /// Where and in which cache group.
        place: WirePlace<'a>,
    },
    /// `AllBlocksCleared`.
    Cleared,
}

/// Fields of `BlockStored`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WireStored<'a> {
    /// Engine hashes, in order.
    pub block_hashes: Vec<u64>,
    /// Engine hash of the block before.
    pub parent: Option<u64>,
    /// Tokens of all blocks; one more where the engine drafts.
    pub token_ids: Vec<u32>,
    /// Tokens per block.
    pub block_size: u64,
    /// Adapter.
    pub lora_name: Option<&'a str>,
    /// Salt, when the event names it outside `extra_keys`.
    pub cache_salt: Option<&'a str>,
    /// What the engine mixed into its own hashes.
    pub extra_keys: ExtraKeys<'a>,
    /// Where and in which cache group.
    pub place: WirePlace<'a>,
}

/// Per-block keys of `BlockStored`, by meaning.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExtraKeys<'a> {
    /// Bare texts of the first block: adapter, salt, or an old multimodal digest.
    pub first_block_texts: Vec<&'a str>,
    /// (block, hash) of multimodal objects, ascending by block.
    pub multimodal: Vec<(u32, u64)>,
}

/// Fields that say which part of the engine's cache an event concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WirePlace<'a> {
    /// `GPU`, `CPU`, …
    pub medium: Option<&'a str>,
    /// Cache group of a hybrid model.
    pub group_idx: Option<u64>,
    /// Kind of attention of the group.
    pub spec_kind: Option<&'a str>,
    /// Window of a sliding-window group.
    pub sliding_window: Option<u64>,
    /// `LOCAL`, `REMOTE`, …
    pub locality: Option<&'a str>,
}
