//! Writing decisions down, and handing them out.

use std::borrow::Cow;

use super::attempt::Attempt;
use super::decisions::{
    CandidateRow, DecisionContext, DecisionRecord, DrainedDecisions, RecordedDecision, Rows,
    sequence_of,
};
use super::knowledge::Source;
use super::placement::Placement;
use super::request::PlaceRequest;
use crate::selection::{CandidateCost, Selection};

impl Placement {
    /// A recorded decision by its id.
    #[must_use]
    pub fn decision(&self, id: &str) -> Option<RecordedDecision> {
        let sequence = sequence_of(self.context.router_id, id)?;
        self.ring.get(sequence).cloned()
    }

    /// The newest decisions, newest first.
    #[must_use]
    pub fn recent_decisions(&self, limit: usize) -> Vec<RecordedDecision> {
        self.ring.recent(limit)
    }

    /// Up to `limit` decisions whose request has ended since they were last asked for.
    pub fn drain_decisions(&mut self, limit: usize) -> DrainedDecisions {
        self.ring.drain(limit)
    }

    /// What all its decisions have in common.
    #[must_use]
    pub fn decision_context(&self) -> &DecisionContext {
        &self.context
    }

    pub(super) fn is_recorded(&self, request: &PlaceRequest<'_>) -> bool {
        request.record && self.ring.is_on()
    }

    /// A decision without the prompt's hashes, which are in use until it is kept.
    pub(super) fn record(
        &self,
        sequence: u64,
        attempt: &Attempt<'_>,
        selection: &Selection,
    ) -> DecisionRecord {
        let request = attempt.request;
        DecisionRecord {
            sequence,
            request_id: request.id.into(),
            trace_id: request.trace_id.into(),
            unix_ms: request.unix_ms,
            mode: request.mode,
            isl_tokens: request.prompt_tokens,
            block_hashes: Box::default(),
            settings: *attempt.cost,
            seed: attempt.seed,
            index_version: self.knowledge.feed.counters().version,
            candidates: Rows::new(&self.fleet.table, |at| {
                self.row(attempt, at, &selection.costs[at])
            }),
            chosen: selection.index,
            reason: selection.reason,
            queued_ms: request.queued_ms,
            policy_class: request.policy_class.into(),
            predicted_cached_tokens: selection.cached_tokens,
            expected_output_tokens: request.expected_output_tokens,
            preferred: request.preferred,
            pinned: request.pinned,
        }
    }

    /// Keeps a decision, and hashes that were made for it without a copy.
    pub(super) fn keep(&mut self, record: DecisionRecord, hashes: Cow<'_, [u64]>, is_booked: bool) {
        let sequence = record.sequence;
        self.ring.push(DecisionRecord {
            block_hashes: hashes.into_owned().into_boxed_slice(),
            ..record
        });
        if !is_booked {
            self.ring.end(sequence, None);
        }
    }

    fn row(&self, attempt: &Attempt<'_>, at: usize, cost: &CandidateCost) -> CandidateRow {
        let view = attempt.view;
        CandidateRow {
            rank: self.fleet.ranks[at],
            device_blocks: view.overlaps.device[at],
            host_blocks: view.overlaps.host[at],
            disk_blocks: view.overlaps.disk[at],
            active_requests: view.loads.active_requests[at],
            active_prefill_tokens: view.loads.prefill_tokens[at],
            potential_decode_blocks: view.loads.decode_blocks[at],
            cached_blocks: view.cached_blocks.get(at).copied().unwrap_or(0),
            total_kv_blocks: self.fleet.total_kv_blocks[at],
            taint_factor: cost.taint_factor,
            approximate: self.sources[at] != Source::Events,
            rejection: cost.rejection,
        }
    }
}
