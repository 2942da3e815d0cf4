//! Writing decisions down, and handing them out.

use super::attempt::Attempt;
use super::decisions::{
    DecisionContext, DecisionRecord, DrainedDecisions, RecordedDecision, RowLists, Rows,
    sequence_of,
};
use super::knowledge::Source;
use super::placement::Placement;
use super::request::PlaceRequest;
use crate::selection::Selection;

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
            block_hashes: Vec::new(),
            settings: *attempt.cost,
            seed: attempt.seed,
            index_version: self.knowledge.feed.counters().version,
            candidates: self.rows(attempt, selection),
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

    /// Keeps a decision with the prompt's hashes.
    pub(super) fn keep(&mut self, record: DecisionRecord, hashes: Vec<u64>, is_booked: bool) {
        let sequence = record.sequence;
        self.ring.push(DecisionRecord {
            block_hashes: hashes,
            ..record
        });
        if !is_booked {
            self.ring.end(sequence, None);
        }
    }

    fn rows(&self, attempt: &Attempt<'_>, selection: &Selection) -> Rows {
        let view = attempt.view;
        let lists = RowLists {
            device_blocks: &view.overlaps.device,
            host_blocks: &view.overlaps.host,
            disk_blocks: &view.overlaps.disk,
            active_requests: &view.loads.active_requests,
            active_prefill_tokens: &view.loads.prefill_tokens,
            potential_decode_blocks: &view.loads.decode_blocks,
            cached_blocks: &view.cached_blocks,
            costs: &selection.costs,
            has_taint_factors: !attempt.request.preferred_taints.is_empty(),
        };
        let sources = self.sources.iter();
        let approximate = sources.map(|source| *source != Source::Events);
        Rows::new(&self.fleet.table, &lists, approximate)
    }
}
