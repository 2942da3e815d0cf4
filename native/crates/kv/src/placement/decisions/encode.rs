//! Records as `dynamo.router.v1.Decision`: protobuf for an answer, a line of JSON for a log.

use prost::Message;

use super::id::decision_id;
use super::record::{RecordedDecision, RequestOutcome};
use super::rescore::costs_of;
use super::rows::CandidateRow;
use crate::selection::{CandidateCost, CostSettings};
use crate::wire::decision::{Decision, DecisionCandidate, DecisionSettings, Outcome};
use crate::wire::hashes_to_bytes;

/// What all decisions of a placement have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionContext {
    /// Endpoint that is routed for.
    pub endpoint: String,
    /// Router that chooses.
    pub router_id: u64,
    /// Tokens per block.
    pub block_size: u32,
}

/// A decision as protobuf.
#[must_use]
pub fn encode_message(context: &DecisionContext, decision: &RecordedDecision) -> Vec<u8> {
    message(context, decision).encode_to_vec()
}

/// Adds a decision as one line of JSON.
pub fn encode_line(context: &DecisionContext, decision: &RecordedDecision, lines: &mut Vec<u8>) {
    let before = lines.len();
    // Writing numbers and strings into memory does not fail; half a line must not stay if it did.
    if serde_json::to_writer(&mut *lines, &message(context, decision)).is_err() {
        lines.truncate(before);
        return;
    }
    lines.push(b'\n');
}

fn message(context: &DecisionContext, decision: &RecordedDecision) -> Decision {
    let RecordedDecision { facts, names, .. } = decision;
    let costs = costs_of(decision, context.block_size);
    let rows = decision.candidates.iter().enumerate();
    Decision {
        decision_id: decision_id(context.router_id, decision.sequence),
        request_id: names.request_id.clone(),
        trace_id: names.trace_id.clone(),
        endpoint: context.endpoint.clone(),
        router_id: context.router_id,
        timestamp_ms: facts.unix_ms,
        mode: facts.mode.as_str().to_owned(),
        isl_tokens: narrow(facts.isl_tokens),
        block_size: context.block_size,
        block_hashes_le: hashes_to_bytes(decision.block_hashes.iter().copied()),
        settings: Some(settings(&facts.settings)),
        seed: facts.seed,
        index_version: facts.index_version,
        candidates: rows
            .map(|(at, row)| candidate(row, costs.get(at).copied().unwrap_or_default()))
            .collect(),
        chosen: narrow(facts.chosen as u64),
        reason: facts.reason.as_str().to_owned(),
        queued_ms: facts.queued_ms,
        policy_class: names.policy_class.clone(),
        predicted_cached_tokens: narrow(facts.predicted_cached_tokens),
        expected_output_tokens: facts.expected_output_tokens,
        outcome: decision.outcome.as_ref().map(outcome),
        preferred_worker_id: facts.preferred.map(|pin| pin.worker_id),
        pinned_worker_id: facts.pinned.map(|pin| pin.worker_id),
        preferred_dp_rank: facts.preferred.and_then(|pin| pin.dp_rank),
        pinned_dp_rank: facts.pinned.and_then(|pin| pin.dp_rank),
    }
}

fn settings(settings: &CostSettings) -> DecisionSettings {
    DecisionSettings {
        policy: settings.policy.as_str().to_owned(),
        overlap_score_credit: settings.overlap_score_credit,
        overlap_score_credit_decay: settings.overlap_score_credit_decay,
        prefill_load_scale: settings.prefill_load_scale,
        host_cache_hit_weight: settings.host_cache_hit_weight,
        disk_cache_hit_weight: settings.disk_cache_hit_weight,
        shared_cache_multiplier: settings.shared_cache_multiplier,
        decode_active_request_weight: settings.decode_active_request_weight,
        displacement_weight: settings.displacement_weight,
        temperature: settings.temperature,
        track_prefill_tokens: settings.track_prefill_tokens,
    }
}

fn candidate(row: &CandidateRow, cost: CandidateCost) -> DecisionCandidate {
    DecisionCandidate {
        worker_id: row.rank.worker_id,
        dp_rank: row.rank.dp_rank,
        device_blocks: row.device_blocks,
        host_blocks: row.host_blocks,
        disk_blocks: row.disk_blocks,
        active_prefill_tokens: row.active_prefill_tokens,
        potential_decode_blocks: row.potential_decode_blocks,
        active_requests: row.active_requests,
        cached_blocks: row.cached_blocks,
        total_kv_blocks: row.total_kv_blocks,
        approximate: row.approximate,
        credit_blocks: cost.credit_blocks,
        adjusted_prefill_blocks: cost.prefill_blocks,
        displacement_blocks: cost.displaced_blocks,
        cost: cost.cost,
        probability: cost.probability,
        rejection: row.rejection.map_or("", |why| why.as_str()).to_owned(),
        taint_factor: row.taint_factor,
    }
}

fn outcome(outcome: &RequestOutcome) -> Outcome {
    Outcome {
        kind: outcome.kind.as_str().to_owned(),
        cached_tokens: outcome.cached_tokens,
        output_tokens: outcome.output_tokens,
        ttft_ms: outcome.ttft_ms,
        itl_ms: outcome.itl_ms,
        error_code: outcome.error_code.as_deref().unwrap_or_default().to_owned(),
    }
}

fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
