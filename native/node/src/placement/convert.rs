//! JavaScript's values as the core's, and back.
use std::time::Duration;

use dynamo_kv::{
    ApproximateOptions, CostSettings, ExactOptions, OutcomeKind, Overrides, Pin, PlaceRequest,
    Placed, PlacementSettings, Prompt, RequestOutcome, SelectError, SelectionMode, SelectionPolicy,
    SequenceOptions, WorkerFacts,
};
use napi::bindgen_prelude::BigInt;

use super::shapes::{
    NativeCostSettings, NativeOutcome, NativeOverrides, NativePlacementOptions, NativePromptQuery,
    NativeSelectRequest, NativeSelection, NativeWorkerFacts,
};
use crate::error::NativeError;

/// A u64 id.
pub fn id_of(value: &BigInt) -> u64 {
    value.get_u64().1
}

/// A number without fraction; what is negative or no number is 0.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the cast saturates
pub fn whole(value: f64) -> u64 {
    value as u64
}

/// A number of tokens. Sums of them must not overflow, whatever a caller gives.
pub fn tokens(value: f64) -> u64 {
    whole(value).min(u64::from(u32::MAX))
}

/// Exact up to 2^53.
#[allow(clippy::cast_precision_loss)]
pub fn float(value: u64) -> f64 {
    value as f64
}

/// A count of things in memory.
pub fn counts(value: usize) -> f64 {
    float(value as u64)
}

fn size(value: f64) -> usize {
    usize::try_from(whole(value)).unwrap_or(usize::MAX)
}

pub fn placement_settings(
    options: NativePlacementOptions,
) -> Result<PlacementSettings, NativeError> {
    Ok(PlacementSettings {
        block_size: options.block_size,
        endpoint: options.endpoint,
        router_id: id_of(&options.router_id),
        use_kv_events: options.use_kv_events,
        index: ExactOptions {
            budget_bytes: options.index_budget_bytes.map(size),
        },
        approximate: ApproximateOptions {
            ttl_ms: whole(options.ttl_ms),
            max_entries: size(options.max_tree_size),
            prune_target_ratio: options.prune_target_ratio,
        },
        predicted_ttl_ms: options.predicted_ttl_ms.map(whole),
        track_active_blocks: options.track_active_blocks,
        track_output_blocks: options.track_output_blocks,
        assume_kv_reuse: options.assume_kv_reuse,
        sequences: SequenceOptions {
            stride: options.active_sequence_stride as usize,
            expiry_ms: whole(options.booking_expiry_ms),
        },
        cost: cost_settings(&options.cost)?,
        seed: id_of(&options.seed),
        decision_ring_bytes: size(options.decision_ring_bytes),
    })
}

pub fn cost_settings(cost: &NativeCostSettings) -> Result<CostSettings, NativeError> {
    let policy = SelectionPolicy::parse(&cost.policy).ok_or_else(|| {
        let other = &cost.policy;
        let message = format!("the selection policy {other} is unknown: use linear or lmetric");
        NativeError::new("config.invalid", message)
    })?;
    Ok(CostSettings {
        policy,
        overlap_score_credit: cost.overlap_score_credit,
        overlap_score_credit_decay: cost.overlap_score_credit_decay,
        prefill_load_scale: cost.prefill_load_scale,
        host_cache_hit_weight: cost.host_cache_hit_weight,
        disk_cache_hit_weight: cost.disk_cache_hit_weight,
        shared_cache_multiplier: cost.shared_cache_multiplier,
        decode_active_request_weight: cost.decode_active_request_weight,
        displacement_weight: cost.displacement_weight,
        temperature: cost.temperature,
        track_prefill_tokens: cost.track_prefill_tokens,
    })
}

pub fn worker_facts(worker: NativeWorkerFacts) -> WorkerFacts {
    WorkerFacts {
        worker_id: id_of(&worker.worker_id),
        dp_start: worker.dp_start,
        dp_size: worker.dp_size,
        total_kv_blocks: whole(worker.total_kv_blocks),
        max_batched_tokens: whole(worker.max_batched_tokens),
        kv_events: worker.kv_events,
        taints: worker.taints,
    }
}

pub fn mode_of(name: &str) -> Result<SelectionMode, NativeError> {
    SelectionMode::parse(name).ok_or_else(|| {
        NativeError::new(
            "request.invalid",
            format!("the router mode {name} is unknown"),
        )
    })
}

/// Calls `use_it` with the request as the core takes it: it borrows from JavaScript's arrays.
pub fn select_request<T>(
    request: &NativeSelectRequest<'_>,
    use_it: impl FnOnce(&PlaceRequest<'_>) -> Result<T, NativeError>,
) -> Result<T, NativeError> {
    let pin = |worker: &Option<BigInt>, dp_rank| {
        worker.as_ref().map(|worker| Pin {
            worker_id: id_of(worker),
            dp_rank,
        })
    };
    let preferred_taints: Vec<(String, f64)> = request
        .preferred_taints
        .iter()
        .flatten()
        .map(|preferred| (preferred.taint.clone(), preferred.weight))
        .collect();
    use_it(&PlaceRequest {
        id: &request.request_id,
        trace_id: text(request.trace_id.as_ref()),
        mode: mode_of(&request.mode)?,
        prompt: prompt_of(
            request.block_hashes.as_deref(),
            request.token_ids.as_deref(),
            (&request.lora_name, &request.salt),
        ),
        prompt_tokens: tokens(request.prompt_tokens),
        now_ms: whole(request.now_ms),
        unix_ms: request.unix_ms,
        book: request.book,
        record: request.record.unwrap_or(true),
        excluded_workers: request.excluded_workers.as_deref().unwrap_or(&[]),
        allowed_workers: request.allowed_workers.as_deref(),
        pinned: pin(&request.pinned_worker, request.pinned_rank),
        preferred: pin(&request.preferred_worker, request.preferred_rank),
        required_taints: request.required_taints.as_deref().unwrap_or(&[]),
        preferred_taints: &preferred_taints,
        overrides: request
            .overrides
            .as_ref()
            .map(overrides)
            .unwrap_or_default(),
        expected_output_tokens: request.expected_output_tokens,
        queued_ms: request.queued_ms.unwrap_or(0.0),
        policy_class: text(request.policy_class.as_ref()),
    })
}

pub fn prompt<'a>(query: &'a NativePromptQuery<'_>) -> Prompt<'a> {
    prompt_of(
        query.block_hashes.as_deref(),
        query.token_ids.as_deref(),
        (&query.lora_name, &query.salt),
    )
}

/// The hashes when there are any, else the tokens.
fn prompt_of<'a>(
    hashes: Option<&'a [u64]>,
    ids: Option<&'a [u32]>,
    (lora_name, salt): (&'a Option<String>, &'a Option<String>),
) -> Prompt<'a> {
    match (hashes, ids) {
        (Some(hashes), _) => Prompt::Hashes(hashes),
        (None, Some(ids)) => Prompt::Tokens {
            ids,
            lora_name: text(lora_name.as_ref()),
            salt: text(salt.as_ref()),
        },
        (None, None) => Prompt::Hashes(&[]),
    }
}

fn text(value: Option<&String>) -> &str {
    value.map_or("", String::as_str)
}

fn overrides(overrides: &NativeOverrides) -> Overrides {
    Overrides {
        overlap_score_credit: overrides.overlap_score_credit,
        prefill_load_scale: overrides.prefill_load_scale,
        overlap_score_weight: overrides.overlap_score_weight,
        temperature: overrides.temperature,
        displacement_weight: overrides.displacement_weight,
        assume_kv_reuse: overrides.assume_kv_reuse,
        track_prefill_tokens: overrides.track_prefill_tokens,
    }
}

pub fn selection(placed: Result<Placed, SelectError>) -> NativeSelection {
    match placed {
        Ok(placed) => NativeSelection {
            failure: None,
            message: None,
            worker_id: placed.rank.worker_id.into(),
            dp_rank: placed.rank.dp_rank,
            reason: placed.reason.as_str().to_owned(),
            overlap_blocks: placed.overlap_blocks,
            cached_tokens: float(placed.cached_tokens),
            required_blocks: float(placed.required_blocks),
            prefill_tokens: float(placed.prefill_tokens),
            potential_decode_blocks: placed.potential_decode_blocks,
            decision_id: placed.decision_id,
            block_hashing_ns: placed.times.block_hashing.map(nanoseconds),
            sequence_hashing_ns: nanoseconds(placed.times.sequence_hashing),
            matching_ns: placed.times.matching.map(nanoseconds),
        },
        Err(error) => NativeSelection {
            failure: Some(error.as_str().to_owned()),
            message: Some(error.to_string()),
            worker_id: 0_u64.into(),
            dp_rank: 0,
            reason: String::new(),
            overlap_blocks: 0,
            cached_tokens: 0.0,
            required_blocks: 0.0,
            prefill_tokens: 0.0,
            potential_decode_blocks: 0.0,
            decision_id: String::new(),
            block_hashing_ns: None,
            sequence_hashing_ns: 0.0,
            matching_ns: None,
        },
    }
}

fn nanoseconds(time: Duration) -> f64 {
    float(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

pub fn outcome(outcome: NativeOutcome) -> Result<RequestOutcome, NativeError> {
    let kind = OutcomeKind::parse(&outcome.kind).ok_or_else(|| {
        let other = &outcome.kind;
        let message = format!("the outcome {other} is unknown: use completed, cancelled or failed");
        NativeError::new("request.invalid", message)
    })?;
    Ok(RequestOutcome {
        kind,
        cached_tokens: outcome.cached_tokens,
        output_tokens: outcome.output_tokens,
        ttft_ms: outcome.ttft_ms,
        itl_ms: outcome.itl_ms,
        error_code: outcome.error_code.map(String::into_boxed_str),
    })
}
