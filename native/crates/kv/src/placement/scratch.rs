//! Memory that every decision needs and none keeps.

use super::overlaps::Overlaps;
use crate::hashing::next_sequence_hash;
use crate::selection::Candidates;
use crate::sequences::PotentialLoads;

/// What the candidates look like to one prompt.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) overlaps: Overlaps,
    pub(super) loads: PotentialLoads,
    pub(super) cached_blocks: Vec<u64>,
}

impl View {
    /// The lists as a choice reads them, without what the fleet knows of itself.
    pub(super) fn candidates(&self) -> Candidates<'_> {
        Candidates {
            device_overlap_blocks: &self.overlaps.device,
            host_overlap_blocks: &self.overlaps.host,
            disk_overlap_blocks: &self.overlaps.disk,
            active_prefill_tokens: &self.loads.prefill_tokens,
            potential_decode_blocks: &self.loads.decode_blocks,
            active_requests: &self.loads.active_requests,
            cached_blocks: &self.cached_blocks,
            ..Candidates::default()
        }
    }
}

/// Makes the chain of local hashes.
pub(super) fn chain(local: &[u64], sequence: &mut Vec<u64>) {
    sequence.clear();
    let mut parent = None;
    sequence.extend(local.iter().map(|&hash| {
        let next = next_sequence_hash(parent, hash);
        parent = Some(next);
        next
    }));
}
