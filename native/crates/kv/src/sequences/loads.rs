//! What ranks are working on, and what a request would add: one query for all candidates.

use super::active::ActiveSequences;
use super::live_blocks::WHOLE;
use super::worker_set::WorkerSet;
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
        let kept: Vec<u64> = self.kept_hashes(sequence_hashes).collect();
        let slots: Vec<Option<u32>> = candidates.iter().map(|rank| self.slot_of(*rank)).collect();
        let mut asked = WorkerSet::new(self.slots.len());
        slots.iter().flatten().for_each(|slot| asked.insert(*slot));
        let mut live = vec![0; self.slots.len()];
        self.live.depths(&kept, asked, &mut |slot, depth| {
            live[slot as usize] = depth as u64;
        });

        let stride = self.stride() as u64;
        let mut loads = PotentialLoads::default();
        for slot in slots {
            let shared = slot.map_or(0, |slot| live[slot as usize]);
            let added = (kept.len() as u64 - shared) * stride + u64::from(private_blocks);
            let now = slot.map(|slot| &self.slots[slot as usize]);
            let weight = now.map_or(0, |now| now.weight) + added * WHOLE;
            loads
                .prefill_tokens
                .push(now.map_or(0, |now| now.prefill_tokens));
            loads.decode_blocks.push(blocks(weight));
            loads
                .active_requests
                .push(now.map_or(0, |now| now.requests));
        }
        loads
    }
}

/// Blocks of a weight. A rank has far fewer than 2^36 blocks, so nothing is lost.
#[allow(clippy::cast_precision_loss)]
fn blocks(weight: u64) -> f64 {
    weight as f64 / WHOLE as f64
}
