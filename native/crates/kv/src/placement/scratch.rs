//! Memory that every decision needs and none keeps.

use super::overlaps::Overlaps;
use crate::hashing::next_sequence_hash;
use crate::sequences::PotentialLoads;

/// What the candidates look like to one prompt.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) overlaps: Overlaps,
    pub(super) loads: PotentialLoads,
    pub(super) cached_blocks: Vec<u64>,
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
