//! What is known of each candidate, as lists: entry `i` of every list belongs to rank `i`.

use super::rejection::Rejection;
use crate::index::WorkerRank;

/// Candidates of one decision. A list other than `ranks` may be empty: zero, or none, for everyone.
#[derive(Debug, Clone, Copy, Default)]
pub struct Candidates<'a> {
    /// The ranks.
    pub ranks: &'a [WorkerRank],
    /// Blocks of the prompt's beginning in device memory.
    pub device_overlap_blocks: &'a [u32],
    /// Further blocks that host memory adds to them.
    pub host_overlap_blocks: &'a [u32],
    /// Further blocks that the disk adds to these.
    pub disk_overlap_blocks: &'a [u32],
    /// Blocks in the shared cache beyond the device's prefix.
    pub shared_overlap_blocks: &'a [u32],
    /// Prompt tokens not computed yet, without this request's.
    pub active_prefill_tokens: &'a [u64],
    /// Distinct blocks in use if this request were added.
    pub potential_decode_blocks: &'a [f64],
    /// Requests not finished.
    pub active_requests: &'a [u32],
    /// Blocks cached on the device now.
    pub cached_blocks: &'a [u64],
    /// Blocks the device can hold; 0 when unknown, which displaces nothing.
    pub total_kv_blocks: &'a [u64],
    /// Whether the rank is over its busy threshold.
    pub overloaded: &'a [bool],
    /// Numbers of the rank's taints, ascending.
    pub taints: &'a [&'a [u32]],
    /// Factor of the request's preferred taints, for a recorded decision; worked out from `taints` when empty.
    pub taint_factors: &'a [f64],
    /// Why each may not be chosen, for a recorded decision; worked out from the request when empty.
    pub rejections: &'a [Option<Rejection>],
}

impl Candidates<'_> {
    /// Whether every list has one entry per rank or none.
    pub(crate) fn is_consistent(&self) -> bool {
        let lengths = [
            self.device_overlap_blocks.len(),
            self.host_overlap_blocks.len(),
            self.disk_overlap_blocks.len(),
            self.shared_overlap_blocks.len(),
            self.active_prefill_tokens.len(),
            self.potential_decode_blocks.len(),
            self.active_requests.len(),
            self.cached_blocks.len(),
            self.total_kv_blocks.len(),
            self.overloaded.len(),
            self.taints.len(),
            self.taint_factors.len(),
            self.rejections.len(),
        ];
        lengths
            .iter()
            .all(|length| *length == 0 || *length == self.ranks.len())
    }

    pub(crate) fn taints_of(&self, index: usize) -> &[u32] {
        at(self.taints, index)
    }
}

/// Entry of a list that may be empty.
pub(crate) fn at<T: Copy + Default>(list: &[T], index: usize) -> T {
    list.get(index).copied().unwrap_or_default()
}
