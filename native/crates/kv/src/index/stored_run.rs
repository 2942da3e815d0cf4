//! Content of a rank as pieces of prompts.

use super::types::{CacheTier, StoredBlock};

/// Consecutive blocks of one rank in one tier. Runs come parents first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRun {
    /// Where the blocks are.
    pub tier: CacheTier,
    /// Engine hash of the block before the first one, when the rank holds it in this tier.
    pub parent: Option<u64>,
    /// Engine hash of that block in another tier, when the rank holds it only there. Snapshots leave it out: what comes first
    /// in them is not what was stored first, so only `ancestors` say where the blocks go.
    pub outer_parent: Option<u64>,
    /// Local hashes of all blocks before the first one, when the rank does not hold its parent in this tier.
    pub ancestors: Vec<u64>,
    /// The blocks.
    pub blocks: Vec<StoredBlock>,
}

impl StoredRun {
    /// Engine hash of the block before the first one, whatever its tier.
    #[must_use]
    pub fn named_parent(&self) -> Option<u64> {
        self.parent.or(self.outer_parent)
    }

    /// Whether the rank holds no block before the first one although the prompt has some.
    #[must_use]
    pub fn is_orphan(&self) -> bool {
        self.outer_parent.is_none() && !self.ancestors.is_empty()
    }
}
