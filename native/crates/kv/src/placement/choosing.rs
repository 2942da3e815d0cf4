//! One decision from a prompt to a booking: hash, match, weigh, choose, record, book.

use std::time::Duration;

use super::attempt::{Attempt, Footprint};
use super::bookings::Booking;
use super::decisions::decision_id;
use super::occupancy::ascending;
use super::placement::Placement;
use super::request::{PlaceRequest, Placed};
use super::scratch::{View, chain};
use super::taints::WantedTaints;
use super::timing::{StepTimes, timed};
use crate::selection::{
    Candidates, CostSettings, Eligibility, SeededRandom, SelectError, SelectRequest, Selection,
    SelectionMode, select,
};
use crate::sequences::NewRequest;

impl Placement {
    /// Chooses a rank and, if asked to, books the request on it.
    ///
    /// # Errors
    /// When nobody may be chosen, or a setting of the request cannot be used; a former booking is given back all the
    /// same.
    pub fn select(&mut self, request: &PlaceRequest<'_>) -> Result<Placed, SelectError> {
        self.now_ms = self.now_ms.max(request.now_ms);
        if request.book {
            self.free(request.id, None);
        }
        let cost = request.overrides.apply(self.settings.cost);
        let cost = cost.map_err(SelectError::InvalidSetting)?;
        let mut hashes = std::mem::take(&mut self.hashes);
        let mut sequence = std::mem::take(&mut self.sequence);
        let mut view = std::mem::take(&mut self.view);
        let (local, block_hashing) = request
            .prompt
            .local_hashes(self.settings.block_size, &mut hashes);
        let ((), sequence_hashing) = timed(|| chain(local, &mut sequence));
        let placed = self.select_hashed(request, &cost, (local, &sequence), &mut view);
        (self.hashes, self.sequence, self.view) = (hashes, sequence, view);
        placed.map(|placed| Placed {
            times: StepTimes {
                block_hashing,
                sequence_hashing,
                ..placed.times
            },
            ..placed
        })
    }

    fn select_hashed(
        &mut self,
        request: &PlaceRequest<'_>,
        cost: &CostSettings,
        (local, sequence): (&[u64], &[u64]),
        view: &mut View,
    ) -> Result<Placed, SelectError> {
        let footprint = self.footprint(request, sequence);
        let matching = self.look(request.mode, sequence, footprint, view);
        let attempt = Attempt {
            request,
            cost,
            local,
            footprint,
            view,
            seed: self.seed(request.mode),
        };
        let selection = self.choose(&attempt)?;
        let decision = self.record(&attempt, &selection);
        if request.book {
            self.book(&attempt, &selection, decision);
        }
        Ok(Placed {
            rank: selection.rank,
            reason: selection.reason,
            overlap_blocks: whole(selection.effective_overlap_blocks),
            cached_tokens: selection.cached_tokens,
            required_blocks: selection.required_blocks,
            prefill_tokens: attempt.prefill_tokens(&selection),
            potential_decode_blocks: selection.potential_decode_blocks,
            decision_id: decision
                .map(|sequence| decision_id(self.context.router_id, sequence))
                .unwrap_or_default(),
            times: StepTimes {
                matching,
                ..StepTimes::default()
            },
        })
    }

    /// Fills the view with what every candidate holds of the prompt and what it would have to do; returns how long the
    /// index took, if it was asked.
    fn look(
        &self,
        mode: SelectionMode,
        sequence: &[u64],
        footprint: Footprint<'_>,
        view: &mut View,
    ) -> Option<Duration> {
        let ranks = &self.fleet.ranks;
        let mut matching = None;
        view.cached_blocks.clear();
        if mode == SelectionMode::Kv {
            let ((), took) = timed(|| {
                let overlaps = &mut view.overlaps;
                self.knowledge.overlaps(
                    &self.fleet,
                    &self.sources,
                    (sequence, self.now_ms),
                    overlaps,
                );
            });
            matching = Some(took);
            let cached = ranks.iter().zip(&self.sources);
            view.cached_blocks
                .extend(cached.map(|(rank, source)| self.knowledge.cached_blocks(*rank, *source)));
        } else {
            view.overlaps.reset(ranks.len());
        }
        view.loads = self
            .sequences
            .potential_loads(footprint.shared, footprint.private, ranks);
        matching
    }

    fn choose(&mut self, attempt: &Attempt<'_>) -> Result<Selection, SelectError> {
        let Attempt { request, view, .. } = attempt;
        let taints = WantedTaints::of(&self.fleet, request);
        let lists = taints.lists(&self.fleet);
        let candidates = Candidates {
            ranks: &self.fleet.ranks,
            total_kv_blocks: &self.fleet.total_kv_blocks,
            overloaded: &self.fleet.overloaded,
            taints: &lists,
            ..view.candidates()
        };
        let allowed = request.allowed_workers.map(ascending);
        let excluded = ascending(request.excluded_workers);
        let question = SelectRequest {
            isl_tokens: request.prompt_tokens,
            block_size: u64::from(self.settings.block_size),
            eligibility: Eligibility {
                allowed_workers: allowed.as_deref(),
                excluded_workers: &excluded,
                pinned: request.pinned,
                dp_ranks: None,
                required_taints: &taints.required,
            },
            preferred: request.preferred,
            preferred_taints: &taints.preferred,
            mode: request.mode,
            turn: self.turn,
        };
        if request.mode != SelectionMode::RoundRobin {
            return select(&question, &candidates, attempt.cost, &mut self.random);
        }
        // The turn is all that such a decision depends on; what ties there are, it decides too.
        let mut random = SeededRandom::new(self.turn);
        let selection = select(&question, &candidates, attempt.cost, &mut random)?;
        self.turn = self.turn.wrapping_add(1);
        Ok(selection)
    }

    fn book(&mut self, attempt: &Attempt<'_>, selection: &Selection, decision: Option<u64>) {
        let request = attempt.request;
        let block_size = u64::from(self.settings.block_size);
        // A whole prompt is never reported as cached: an engine computes at least its last token.
        let reportable = request.prompt_tokens.saturating_sub(1) / block_size * block_size;
        let vouched = u64::from(attempt.view.overlaps.confirmed[selection.index]) * block_size;
        let added = self.sequences.add(&NewRequest {
            id: request.id,
            rank: selection.rank,
            sequence_hashes: attempt.footprint.shared,
            private_blocks: attempt.footprint.private,
            prefill_tokens: attempt.prefill_tokens(selection),
            now_ms: request.now_ms,
        });
        // The former booking of the id was freed above.
        debug_assert!(added.is_ok());
        self.bookings.insert(
            request.id,
            Booking {
                rank: selection.rank,
                predicted_cached_tokens: selection.cached_tokens,
                vouched_tokens: vouched.min(reportable),
                decision,
                expected_output_tokens: request.expected_output_tokens,
                output_blocks: 0,
            },
        );
        if request.mode == SelectionMode::Kv {
            let source = self.sources[selection.index];
            self.knowledge
                .routed(selection.rank, source, attempt.local, request.now_ms);
        }
    }
}

/// A number of blocks, rounded down.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // not negative, and the cast saturates
fn whole(blocks: f64) -> u32 {
    blocks as u32
}
