//! Writing decisions down, and handing them out.

use super::attempt::Attempt;
use super::decisions::{
    DecisionContext, DecisionFacts, DrainedDecisions, NewDecision, RecordedDecision, RequestNames,
    RowLists, sequence_of,
};
use super::placement::Placement;
use crate::selection::Selection;

impl Placement {
    /// A recorded decision by its id.
    #[must_use]
    pub fn decision(&self, id: &str) -> Option<RecordedDecision> {
        let sequence = sequence_of(self.context.router_id, id)?;
        self.ring.get(sequence)
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

    /// Records a decision if it is to be; returns its sequence.
    pub(super) fn record(&mut self, attempt: &Attempt<'_>, selection: &Selection) -> Option<u64> {
        let request = attempt.request;
        if !request.record || !self.ring.is_on() {
            return None;
        }
        let sequence = self.ring.push(&NewDecision {
            facts: DecisionFacts {
                unix_ms: request.unix_ms,
                mode: request.mode,
                isl_tokens: request.prompt_tokens,
                settings: *attempt.cost,
                seed: attempt.seed,
                index_version: self.knowledge.feed.counters().version,
                chosen: selection.index,
                reason: selection.reason,
                queued_ms: request.queued_ms,
                predicted_cached_tokens: selection.cached_tokens,
                expected_output_tokens: request.expected_output_tokens,
                preferred: request.preferred,
                pinned: request.pinned,
            },
            names: RequestNames {
                request_id: request.id,
                trace_id: request.trace_id,
                policy_class: request.policy_class,
            },
            block_hashes: attempt.local,
            table: &self.fleet.table,
            lists: RowLists {
                candidates: attempt.view.candidates(),
                costs: &selection.costs,
                sources: &self.sources,
                has_taint_factors: !request.preferred_taints.is_empty(),
            },
        });
        if !request.book {
            self.ring.end(sequence, None);
        }
        Some(sequence)
    }
}
