//! The cost of one placement in blocks of work; lower is better (RP 4.3).

use super::candidates::{Candidates, at};
use super::mode::SelectionMode;
use super::rejection::Rejection;
use super::settings::{CostSettings, SelectionPolicy};

/// What a candidate's cost is made of. Only `rejection` means anything when there is one.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct CandidateCost {
    /// Why it may not be chosen.
    pub rejection: Option<Rejection>,
    /// Prompt blocks to compute, its backlog included, nothing cached.
    pub raw_prefill_blocks: f64,
    /// Factor of the device overlap's credit.
    pub credit_decay: f64,
    /// Blocks that caches save.
    pub credit_blocks: f64,
    /// Prompt blocks to compute after that.
    pub prefill_blocks: f64,
    /// Blocks in use with this request.
    pub decode_blocks: f64,
    /// Cost of the requests it already has.
    pub active_request_cost: f64,
    /// Cached blocks that would be displaced, now or as the cache fills up.
    pub displaced_blocks: f64,
    /// Factor of preferred taints; 1 without any.
    pub taint_factor: f64,
    /// The sum.
    pub cost: f64,
    /// Cached blocks, each tier by its weight.
    pub effective_overlap_blocks: f64,
    /// How likely the choice was.
    pub probability: f64,
}

/// What all candidates' costs have in common.
#[derive(Debug)]
pub(crate) struct CostModel<'a> {
    pub(crate) settings: &'a CostSettings,
    pub(crate) isl_tokens: u64,
    pub(crate) block_size: u64,
    /// Smallest prefill backlog among those that may be chosen.
    pub(crate) least_prefill_tokens: u64,
    /// (taint, weight) that the request prefers.
    pub(crate) preferred_taints: &'a [(u32, f64)],
}

impl CostModel<'_> {
    /// The request's blocks, a partial one included.
    pub(crate) fn request_blocks(&self) -> u64 {
        self.isl_tokens.div_ceil(self.block_size)
    }

    /// The cost by which a mode compares.
    pub(crate) fn cost_in(
        &self,
        mode: SelectionMode,
        candidates: &Candidates<'_>,
        index: usize,
    ) -> CandidateCost {
        match mode {
            SelectionMode::Kv => self.cost(candidates, index),
            SelectionMode::LeastLoaded | SelectionMode::PowerOfTwo => CandidateCost {
                cost: f64::from(at(candidates.active_requests, index)),
                taint_factor: 1.0,
                ..CandidateCost::default()
            },
            SelectionMode::RoundRobin | SelectionMode::Random => CandidateCost {
                taint_factor: 1.0,
                ..CandidateCost::default()
            },
        }
    }

    fn cost(&self, candidates: &Candidates<'_>, index: usize) -> CandidateCost {
        let settings = self.settings;
        let device = f64::from(at(candidates.device_overlap_blocks, index));
        let lower_tiers = settings.host_cache_hit_weight
            * f64::from(at(candidates.host_overlap_blocks, index))
            + settings.disk_cache_hit_weight * f64::from(at(candidates.disk_overlap_blocks, index))
            + settings.shared_cache_multiplier
                * f64::from(at(candidates.shared_overlap_blocks, index));
        let backlog = at(candidates.active_prefill_tokens, index);
        let raw_prefill_blocks = if settings.track_prefill_tokens {
            float(backlog.saturating_add(self.isl_tokens)) / float(self.block_size)
        } else {
            0.0
        };
        let credit_decay = self.decay(backlog);
        let credit_blocks = settings.overlap_score_credit * credit_decay * device + lower_tiers;
        let mut cost = CandidateCost {
            raw_prefill_blocks,
            credit_decay,
            credit_blocks,
            prefill_blocks: (raw_prefill_blocks - credit_blocks).max(0.0),
            decode_blocks: at(candidates.potential_decode_blocks, index),
            active_request_cost: settings.decode_active_request_weight
                * f64::from(at(candidates.active_requests, index)),
            displaced_blocks: self.displaced_blocks(candidates, index),
            taint_factor: self.taint_factor(candidates, index),
            effective_overlap_blocks: device + lower_tiers,
            ..CandidateCost::default()
        };
        cost.cost = finite(self.total(&cost));
        cost
    }

    fn total(&self, cost: &CandidateCost) -> f64 {
        let settings = self.settings;
        let work = if settings.policy == SelectionPolicy::Lmetric {
            cost.prefill_blocks * (cost.decode_blocks + 1.0)
        } else if !settings.track_prefill_tokens && settings.overlap_score_credit > 0.0 {
            // A decode rank computes no prompt; what it has cached need not be transferred.
            (cost.decode_blocks - cost.credit_blocks).max(0.0) + cost.active_request_cost
        } else {
            settings.prefill_load_scale * cost.prefill_blocks
                + cost.decode_blocks
                + cost.active_request_cost
        };
        (work + settings.displacement_weight * cost.displaced_blocks) * cost.taint_factor
    }

    fn decay(&self, backlog: u64) -> f64 {
        let settings = self.settings;
        let blocks = self.request_blocks();
        if !settings.track_prefill_tokens || blocks == 0 {
            return 1.0;
        }
        let excess = float(backlog.saturating_sub(self.least_prefill_tokens))
            / float(self.block_size)
            / float(blocks);
        1.0 / (1.0 + settings.overlap_score_credit_decay * excess)
    }

    /// Cached blocks that the request's new blocks push out, sooner or later. A block that goes into a full cache pushes
    /// one out. One that goes into room takes it from a block to come: it counts as the square of the share of the cache
    /// that is filled then, which is next to nothing in an empty cache.
    fn displaced_blocks(&self, candidates: &Candidates<'_>, index: usize) -> f64 {
        let total = at(candidates.total_kv_blocks, index);
        if total == 0 {
            return 0.0;
        }
        let device = u64::from(at(candidates.device_overlap_blocks, index));
        let new = self.request_blocks().saturating_sub(device);
        let cached = at(candidates.cached_blocks, index).min(total);
        let into_room = new.min(total - cached);
        let filled = |blocks: u64| float(blocks) / float(total);
        // The sum of the squares, block by block, as an integral.
        let room_taken =
            float(total) * (filled(cached + into_room).powi(3) - filled(cached).powi(3)) / 3.0;
        float(new - into_room) + room_taken
    }

    /// Between 1/e and e.
    fn taint_factor(&self, candidates: &Candidates<'_>, index: usize) -> f64 {
        if let Some(factor) = candidates.taint_factors.get(index) {
            return *factor;
        }
        if self.preferred_taints.is_empty() {
            return 1.0;
        }
        let taints = candidates.taints_of(index);
        let matching = self
            .preferred_taints
            .iter()
            .filter(|(taint, _)| taints.contains(taint));
        let weight: f64 = matching.map(|(_, weight)| weight).sum();
        if weight == 0.0 {
            1.0
        } else {
            (-weight.tanh()).exp()
        }
    }
}

/// Counts of tokens and blocks are far below 2^53.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

/// A cost that can be compared: what overflowed is worst.
fn finite(cost: f64) -> f64 {
    if cost.is_finite() { cost } else { f64::MAX }
}
