//! What ranks are working on, and what a request would add: one query for all candidates.

use super::active::{ActiveSequences, Slot, kept_hashes};
use super::path_node::WHOLE;
use crate::index::WorkerRank;

/// Load of one rank now.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WorkerLoad {
    /// Prompt tokens not computed yet.
    pub prefill_tokens: u64,
    /// Distinct blocks in use, by weight.
    pub decode_blocks: f64,
    /// Requests not finished.
    pub active_requests: u32,
}

/// Loads of several ranks if a request were added to each; entry `i` of every list belongs to candidate `i`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PotentialLoads {
    /// Prompt tokens not computed yet, without the request's own.
    pub prefill_tokens: Vec<u64>,
    /// Distinct blocks in use, with the request's own.
    pub decode_blocks: Vec<f64>,
    /// Requests not finished, without this one.
    pub active_requests: Vec<u32>,
}

impl ActiveSequences {
    /// Load of one rank; zero for an unknown one.
    #[must_use]
    pub fn load(&self, rank: WorkerRank) -> WorkerLoad {
        self.slot_of(rank).map_or_else(WorkerLoad::default, |slot| {
            let slot = &self.slots[slot as usize];
            WorkerLoad {
                prefill_tokens: slot.prefill_tokens,
                decode_blocks: blocks(slot.weight),
                active_requests: slot.requests,
            }
        })
    }

    /// Loads of `candidates` with a request of these sequence hashes added. An unknown rank has no load yet.
    #[must_use]
    pub fn potential_loads(
        &self,
        sequence_hashes: &[u64],
        private_blocks: u32,
        candidates: &[WorkerRank],
    ) -> PotentialLoads {
        let kept = kept_hashes(sequence_hashes, self.stride());
        let mut live = vec![0; self.slots.len()];
        self.live.depths(&kept, &mut live);

        let stride = self.stride() as u64;
        let idle = Slot::default();
        let mut loads = PotentialLoads::with_capacity(candidates.len());
        for rank in candidates {
            let (now, shared) = match self.slot_of(*rank) {
                Some(slot) => (&self.slots[slot as usize], live[slot as usize]),
                None => (&idle, 0),
            };
            let added = (kept.len() as u64 - u64::from(shared)) * stride;
            let weight = now.weight + (added + u64::from(private_blocks)) * WHOLE;
            loads.prefill_tokens.push(now.prefill_tokens);
            loads.decode_blocks.push(blocks(weight));
            loads.active_requests.push(now.requests);
        }
        loads
    }
}

impl PotentialLoads {
    fn with_capacity(ranks: usize) -> Self {
        Self {
            prefill_tokens: Vec::with_capacity(ranks),
            decode_blocks: Vec::with_capacity(ranks),
            active_requests: Vec::with_capacity(ranks),
        }
    }
}

/// Blocks of a weight. A rank has far fewer than 2^36 blocks, so nothing is lost.
#[allow(clippy::cast_precision_loss)]
fn blocks(weight: u64) -> f64 {
    weight as f64 / WHOLE as f64
}
