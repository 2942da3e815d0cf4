//! One request on its way through a decision.

use super::placement::Placement;
use super::request::PlaceRequest;
use super::scratch::View;
use crate::selection::{CostSettings, Selection, SelectionMode};

/// Everything that choosing, booking and recording look at.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    pub(super) request: &'a PlaceRequest<'a>,
    /// Weights with the request's own over the router's.
    pub(super) cost: &'a CostSettings,
    /// Local hashes of the prompt.
    pub(super) local: &'a [u64],
    pub(super) footprint: Footprint<'a>,
    pub(super) view: &'a View,
    /// State of the random source before the choice; for round-robin the turn.
    pub(super) seed: u64,
}

impl Attempt<'_> {
    /// Prompt tokens that the choice must compute.
    pub(super) fn prefill_tokens(&self, selection: &Selection) -> u64 {
        if self.cost.track_prefill_tokens {
            self.request
                .prompt_tokens
                .saturating_sub(selection.cached_tokens)
        } else {
            0
        }
    }
}

/// Blocks that a request uses while it runs.
#[derive(Clone, Copy)]
pub(super) struct Footprint<'a> {
    /// Sequence hashes of those that it can share.
    pub(super) shared: &'a [u64],
    /// Those it has alone: the partial last one, and all of them when nothing is shared.
    pub(super) private: u32,
}

impl Placement {
    pub(super) fn footprint<'a>(
        &self,
        request: &PlaceRequest<'_>,
        sequence: &'a [u64],
    ) -> Footprint<'a> {
        if !self.settings.track_active_blocks {
            return Footprint {
                shared: &[],
                private: 0,
            };
        }
        let reuse = request.overrides.assume_kv_reuse;
        let is_shared = reuse.unwrap_or(self.settings.assume_kv_reuse);
        let shared = if is_shared { sequence } else { &[] };
        let blocks = request
            .prompt_tokens
            .div_ceil(u64::from(self.settings.block_size));
        let private = blocks.saturating_sub(shared.len() as u64);
        Footprint {
            shared,
            private: u32::try_from(private).unwrap_or(u32::MAX),
        }
    }

    /// State that the choice will depend on besides the candidates.
    pub(super) fn seed(&self, mode: SelectionMode) -> u64 {
        match mode {
            SelectionMode::RoundRobin => self.turn,
            _ => self.random.state(),
        }
    }
}
