//! What comes of events, and the health of the index.
use std::collections::HashMap;

use napi::bindgen_prelude::{BigInt, BigUint64Array, Float64Array, Uint32Array};
use napi_derive::napi;

/// A rank whose worker must be asked for what is missing.
#[napi(object)]
pub struct NativeRecovery {
    /// Instance id.
    pub worker_id: BigInt,
    /// Rank.
    pub dp_rank: u32,
    /// Epoch for the query; 0 when everything is wanted.
    pub epoch: BigInt,
    /// First event wanted; undefined for everything.
    pub start_event_id: Option<BigInt>,
}

/// What came of events or of an answer.
#[napi(object)]
pub struct NativeFeedResult {
    /// Ranks to ask for.
    pub recoveries: Vec<NativeRecovery>,
    /// Events applied.
    pub applied: f64,
    /// Events seen before.
    pub stale: f64,
    /// Batches and events that were not used.
    pub refused: f64,
    /// Why the first of them was not.
    pub refused_for: Option<String>,
}

/// Health of the index; entry `i` of every list belongs to rank `i`.
#[napi(object)]
pub struct NativeIndexHealth {
    /// Instance ids.
    pub worker_ids: BigUint64Array,
    /// Ranks.
    pub dp_ranks: Uint32Array,
    /// waiting, live, recovering, demoted or silent.
    pub states: Vec<String>,
    /// Starts of the publishers; 0 when unknown.
    pub epochs: BigUint64Array,
    /// Last events in the index.
    pub last_event_ids: BigUint64Array,
    /// Blocks of all tiers.
    pub blocks: Float64Array,
    /// Memory of the rank's own tables.
    pub bytes: Float64Array,
    /// Times that events were missing.
    pub gaps: Float64Array,
    /// Answers that were applied.
    pub resyncs: Float64Array,
    /// How long the rank's part has not been up to date.
    pub staleness_ms: Float64Array,
    /// Cached tokens that decisions promised, of answers whose engine reported any number.
    pub predicted_cached_tokens: Float64Array,
    /// Cached tokens that the engine reported for them.
    pub reported_cached_tokens: Float64Array,
    /// The index as a whole.
    pub totals: NativeIndexTotals,
}

/// The index as a whole.
#[napi(object)]
pub struct NativeIndexTotals {
    /// Distinct blocks.
    pub blocks: f64,
    /// Memory.
    pub bytes: f64,
    /// (block, rank, tier) holdings.
    pub entries: f64,
    /// Holdings dropped to keep the budget.
    pub evicted: f64,
    /// Event batches applied.
    pub version: f64,
    /// Events seen before.
    pub stale: f64,
    /// Batches and events that were not used, by reason.
    pub refused_by_reason: HashMap<String, f64>,
    /// Events by `type:status`, for example `stored:ok`.
    pub events_by_status: HashMap<String, f64>,
}
