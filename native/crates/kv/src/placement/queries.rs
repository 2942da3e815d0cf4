//! Questions that change nothing: overlaps and loads of all ranks.

use super::overlaps::Overlaps;
use super::placement::Placement;
use super::request::Prompt;
use super::scratch::chain;
use crate::index::WorkerRank;

/// How much of a prompt each rank holds; entry `i` of every list belongs to rank `i`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FleetOverlap {
    /// The ranks.
    pub ranks: Vec<WorkerRank>,
    /// Blocks in device memory.
    pub device: Vec<u32>,
    /// Further blocks in host memory.
    pub host: Vec<u32>,
    /// Further blocks on disk.
    pub disk: Vec<u32>,
}

/// Loads of all ranks; entry `i` of every list belongs to rank `i`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct FleetLoads {
    /// The ranks.
    pub ranks: Vec<WorkerRank>,
    /// Prompt tokens not computed yet.
    pub prefill_tokens: Vec<u64>,
    /// Distinct blocks in use.
    pub decode_blocks: Vec<f64>,
    /// Requests not finished.
    pub active_requests: Vec<u32>,
    /// Blocks that the rank can hold; 0 when unknown.
    pub total_kv_blocks: Vec<u64>,
    /// Most tokens in one pass; 0 when unknown.
    pub max_batched_tokens: Vec<u64>,
    /// Over its busy threshold.
    pub overloaded: Vec<bool>,
}

impl Placement {
    /// How much of a prompt each rank holds, as a decision would see it.
    pub fn overlap(&mut self, prompt: Prompt<'_>) -> FleetOverlap {
        self.with_overlaps(prompt, |placement, overlaps| FleetOverlap {
            ranks: placement.fleet.ranks.clone(),
            device: overlaps.device.clone(),
            host: overlaps.host.clone(),
            disk: overlaps.disk.clone(),
        })
    }

    /// Loads now.
    #[must_use]
    pub fn loads(&self) -> FleetLoads {
        self.loads_with(&[], 0)
    }

    /// Loads with a request added to each rank: its prefill beyond what the rank holds, its blocks beyond those in use.
    pub fn potential_loads(&mut self, prompt: Prompt<'_>, prompt_tokens: u64) -> FleetLoads {
        let overlap = self.overlap(prompt);
        let blocks = prompt_tokens.div_ceil(u64::from(self.settings.block_size));
        let sequence = std::mem::take(&mut self.sequence);
        let private = blocks.saturating_sub(sequence.len() as u64);
        let mut loads = self.loads_with(&sequence, u32::try_from(private).unwrap_or(u32::MAX));
        self.sequence = sequence;
        for (at, tokens) in loads.prefill_tokens.iter_mut().enumerate() {
            *tokens += prompt_tokens.saturating_sub(self.cached_tokens(&overlap, at));
        }
        loads
    }

    /// Calls `read` with what each rank holds of a prompt.
    pub(super) fn with_overlaps<T>(
        &mut self,
        prompt: Prompt<'_>,
        read: impl FnOnce(&Self, &Overlaps) -> T,
    ) -> T {
        let mut sequence = std::mem::take(&mut self.sequence);
        let mut hashes = std::mem::take(&mut self.hashes);
        let (local, _) = prompt.local_hashes(self.settings.block_size, &mut hashes);
        chain(local, &mut sequence);
        self.hashes = hashes;
        let mut overlaps = std::mem::take(&mut self.view.overlaps);
        self.knowledge.overlaps(
            &self.fleet,
            &self.sources,
            (&sequence, self.now_ms),
            &mut overlaps,
        );
        let answer = read(self, &overlaps);
        (self.sequence, self.view.overlaps) = (sequence, overlaps);
        answer
    }

    /// Tokens that a rank holds, each tier by its weight, as a decision counts them.
    fn cached_tokens(&self, overlap: &FleetOverlap, at: usize) -> u64 {
        let cost = &self.settings.cost;
        let blocks = f64::from(overlap.device[at])
            + cost.host_cache_hit_weight * f64::from(overlap.host[at])
            + cost.disk_cache_hit_weight * f64::from(overlap.disk[at]);
        // Not negative, and the cast saturates.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let tokens = (blocks * f64::from(self.settings.block_size)) as u64;
        tokens
    }

    fn loads_with(&self, shared: &[u64], private: u32) -> FleetLoads {
        let ranks = &self.fleet.ranks;
        let loads = self.sequences.potential_loads(shared, private, ranks);
        FleetLoads {
            ranks: ranks.clone(),
            prefill_tokens: loads.prefill_tokens,
            decode_blocks: loads.decode_blocks,
            active_requests: loads.active_requests,
            total_kv_blocks: self.fleet.total_kv_blocks.clone(),
            max_batched_tokens: self.fleet.max_batched_tokens.clone(),
            overloaded: self.fleet.overloaded.clone(),
        }
    }
}
