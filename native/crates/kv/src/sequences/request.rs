//! One request as its rank sees it.

use crate::index::WorkerRank;

/// A request that a rank takes on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NewRequest<'a> {
    /// Unique among active requests.
    pub id: &'a str,
    /// Where it runs.
    pub rank: WorkerRank,
    /// Sequence hashes of its complete prompt blocks, in order.
    pub sequence_hashes: &'a [u64],
    /// Blocks that no other request can share.
    pub private_blocks: u32,
    /// Prompt tokens that the rank must compute: `max(ISL − cached tokens, 0)`; 0 when prefill is not tracked.
    pub prefill_tokens: u64,
    /// The caller's clock.
    pub now_ms: u64,
}

/// What must be undone when the request ends.
#[derive(Debug)]
pub(crate) struct ActiveRequest {
    pub(crate) slot: u32,
    /// Node that its prompt ends at.
    pub(crate) end: u32,
    pub(crate) private_blocks: u64,
    /// Weight of each private block.
    pub(crate) private_weight: u64,
    pub(crate) prefill_tokens: u64,
    pub(crate) touched_ms: u64,
}

impl ActiveRequest {
    pub(crate) fn private_total(&self) -> u64 {
        self.private_blocks * self.private_weight
    }
}
