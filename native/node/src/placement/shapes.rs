//! Values of a placement as JavaScript gives and gets them.
use std::collections::HashMap;

use napi::bindgen_prelude::{
    BigInt, BigUint64Array, BigUint64ArraySlice, Float64Array, Uint8Array, Uint32Array,
    Uint32ArraySlice,
};
use napi_derive::napi;

/// Weights of the cost; see `CostSettings`.
#[napi(object)]
pub struct NativeCostSettings {
    /// How load and overlap become one number.
    #[napi(ts_type = "'linear' | 'lmetric'")]
    pub policy: String,
    /// Blocks saved per device block of overlap.
    pub overlap_score_credit: f64,
    /// How fast that credit falls with a rank's prefill backlog above the least loaded one's.
    pub overlap_score_credit_decay: f64,
    /// Weight of prefill against decode.
    pub prefill_load_scale: f64,
    /// Blocks saved per block found in host memory.
    pub host_cache_hit_weight: f64,
    /// Blocks saved per block found on disk.
    pub disk_cache_hit_weight: f64,
    /// Blocks saved per block found in a shared cache.
    pub shared_cache_multiplier: f64,
    /// Cost of each request a rank already has.
    pub decode_active_request_weight: f64,
    /// Cost of each cached block that the request's new blocks would displace.
    pub displacement_weight: f64,
    /// Softmax temperature; 0 takes the lowest cost.
    pub temperature: f64,
    /// Whether prefill tokens count.
    pub track_prefill_tokens: bool,
}

/// Settings of a placement; see `PlacementSettings`.
#[napi(object)]
#[allow(clippy::struct_excessive_bools)] // independent switches
pub struct NativePlacementOptions {
    /// Tokens per block.
    pub block_size: u32,
    /// Endpoint that is routed for.
    pub endpoint: String,
    /// Instance id of this router.
    pub router_id: BigInt,
    /// Learn from the workers' events.
    pub use_kv_events: bool,
    /// Most bytes of the index; no limit when undefined.
    #[napi(ts_type = "number | undefined")]
    pub index_budget_bytes: Option<f64>,
    /// How long a routed prompt counts as held by a worker without events.
    pub ttl_ms: f64,
    /// Holdings of that kind over which the oldest go.
    pub max_tree_size: f64,
    /// Share of them that is left then.
    pub prune_target_ratio: f64,
    /// How long a routed prompt counts as held before its worker says so; not at all when undefined.
    #[napi(ts_type = "number | undefined")]
    pub predicted_ttl_ms: Option<f64>,
    /// Count the blocks of running requests.
    pub track_active_blocks: bool,
    /// Count the blocks that output fills.
    pub track_output_blocks: bool,
    /// Running requests share blocks of equal content.
    pub assume_kv_reuse: bool,
    /// Every how manyth block of a running request is kept.
    pub active_sequence_stride: u32,
    /// A booking that nothing was heard of for so long is freed.
    pub booking_expiry_ms: f64,
    /// Weights.
    pub cost: NativeCostSettings,
    /// Decides every draw, u64.
    pub seed: BigInt,
    /// Most bytes of recorded decisions; 0 records none.
    pub decision_ring_bytes: f64,
}

/// A worker as it registers itself.
#[napi(object)]
pub struct NativeWorkerFacts {
    /// Instance id.
    pub worker_id: BigInt,
    /// First data-parallel rank.
    pub dp_start: u32,
    /// Number of ranks.
    pub dp_size: u32,
    /// Blocks that each rank can hold; 0 when unknown.
    pub total_kv_blocks: f64,
    /// Most tokens in one pass; 0 when unknown.
    pub max_batched_tokens: f64,
    /// Publishes KV events.
    pub kv_events: bool,
    /// Marks that requests may require or prefer.
    pub taints: Vec<String>,
}

/// A taint that makes a worker cost less.
#[napi(object)]
pub struct NativePreferredTaint {
    /// Name.
    pub taint: String,
    /// Weight; negative: more.
    pub weight: f64,
}

/// Settings of the cost for one request.
#[napi(object)]
pub struct NativeOverrides {
    /// Blocks saved per device block of overlap.
    #[napi(ts_type = "number | undefined")]
    pub overlap_score_credit: Option<f64>,
    /// Weight of prefill against decode.
    #[napi(ts_type = "number | undefined")]
    pub prefill_load_scale: Option<f64>,
    /// Deprecated name of the prefill load scale.
    #[napi(ts_type = "number | undefined")]
    pub overlap_score_weight: Option<f64>,
    /// Softmax temperature.
    #[napi(ts_type = "number | undefined")]
    pub temperature: Option<f64>,
    /// Share blocks with other running requests.
    #[napi(ts_type = "boolean | undefined")]
    pub assume_kv_reuse: Option<bool>,
    /// Count prefill tokens.
    #[napi(ts_type = "boolean | undefined")]
    pub track_prefill_tokens: Option<bool>,
    /// Cost of each cached block that would be displaced.
    #[napi(ts_type = "number | undefined")]
    pub displacement_weight: Option<f64>,
}

/// One request to place.
#[napi(object, object_to_js = false)]
pub struct NativeSelectRequest<'a> {
    /// Names the booking.
    pub request_id: String,
    /// Trace that the decision belongs to.
    #[napi(ts_type = "string | undefined")]
    pub trace_id: Option<String>,
    /// What decides.
    #[napi(ts_type = "'kv' | 'round-robin' | 'random' | 'least-loaded' | 'power-of-two'")]
    pub mode: String,
    /// Local hashes of the prompt's complete blocks.
    #[napi(ts_type = "BigUint64Array | undefined")]
    pub block_hashes: Option<BigUint64ArraySlice<'a>>,
    /// The prompt, when it is not hashed yet.
    #[napi(ts_type = "Uint32Array | undefined")]
    pub token_ids: Option<Uint32ArraySlice<'a>>,
    /// Adapter, with `tokenIds`.
    #[napi(ts_type = "string | undefined")]
    pub lora_name: Option<String>,
    /// Cache salt, with `tokenIds`.
    #[napi(ts_type = "string | undefined")]
    pub salt: Option<String>,
    /// Length of the prompt.
    pub prompt_tokens: f64,
    /// A steady clock.
    pub now_ms: f64,
    /// Time of day.
    pub unix_ms: f64,
    /// Book the request on the choice.
    pub book: bool,
    /// Record the decision. @default true
    #[napi(ts_type = "boolean | undefined")]
    pub record: Option<bool>,
    /// Workers that may not be chosen.
    #[napi(ts_type = "BigUint64Array | undefined")]
    pub excluded_workers: Option<BigUint64ArraySlice<'a>>,
    /// The only workers that may be chosen.
    #[napi(ts_type = "BigUint64Array | undefined")]
    pub allowed_workers: Option<BigUint64ArraySlice<'a>>,
    /// The only worker that may be chosen.
    #[napi(ts_type = "bigint | undefined")]
    pub pinned_worker: Option<BigInt>,
    /// Its rank; any when undefined.
    #[napi(ts_type = "number | undefined")]
    pub pinned_rank: Option<u32>,
    /// Chosen if it may be.
    #[napi(ts_type = "bigint | undefined")]
    pub preferred_worker: Option<BigInt>,
    /// Its rank; the best when undefined.
    #[napi(ts_type = "number | undefined")]
    pub preferred_rank: Option<u32>,
    /// Taints that the worker must have.
    #[napi(ts_type = "string[] | undefined")]
    pub required_taints: Option<Vec<String>>,
    /// Taints that make a worker cost less.
    #[napi(ts_type = "NativePreferredTaint[] | undefined")]
    pub preferred_taints: Option<Vec<NativePreferredTaint>>,
    /// Settings of this request.
    #[napi(ts_type = "NativeOverrides | undefined")]
    pub overrides: Option<NativeOverrides>,
    /// Expected length of the answer.
    #[napi(ts_type = "number | undefined")]
    pub expected_output_tokens: Option<u32>,
    /// Time it waited before.
    #[napi(ts_type = "number | undefined")]
    pub queued_ms: Option<f64>,
    /// Queue class.
    #[napi(ts_type = "string | undefined")]
    pub policy_class: Option<String>,
}

/// A choice, or why there is none; the numbers mean nothing then.
#[napi(object)]
pub struct NativeSelection {
    /// Why nothing was chosen.
    #[napi(
        ts_type = "'no_endpoints' | 'all_overloaded' | 'pinned_unavailable' | 'pinned_overloaded' | 'invalid_override'"
    )]
    pub failure: Option<String>,
    /// The same in a sentence.
    pub message: Option<String>,
    /// Instance id.
    pub worker_id: BigInt,
    /// Rank.
    pub dp_rank: u32,
    /// Why this one.
    pub reason: String,
    /// Blocks of the prompt that it holds, by tier weight, rounded down.
    pub overlap_blocks: u32,
    /// The same in tokens.
    pub cached_tokens: f64,
    /// Blocks of the prompt.
    pub required_blocks: f64,
    /// Prompt tokens that it must compute.
    pub prefill_tokens: f64,
    /// Blocks in use there with this request.
    pub potential_decode_blocks: f64,
    /// Names the recorded decision; empty when it is not recorded.
    pub decision_id: String,
    /// Nanoseconds of hashing the prompt's blocks; undefined when they came hashed.
    pub block_hashing_ns: Option<f64>,
    /// Nanoseconds of chaining the block hashes.
    pub sequence_hashing_ns: f64,
    /// Nanoseconds of searching the index; undefined when it was not asked.
    pub matching_ns: Option<f64>,
}

/// A prompt to ask about.
#[napi(object, object_to_js = false)]
pub struct NativePromptQuery<'a> {
    /// Local hashes of its complete blocks.
    #[napi(ts_type = "BigUint64Array | undefined")]
    pub block_hashes: Option<BigUint64ArraySlice<'a>>,
    /// The prompt, when it is not hashed yet.
    #[napi(ts_type = "Uint32Array | undefined")]
    pub token_ids: Option<Uint32ArraySlice<'a>>,
    /// Adapter, with `tokenIds`.
    #[napi(ts_type = "string | undefined")]
    pub lora_name: Option<String>,
    /// Cache salt, with `tokenIds`.
    #[napi(ts_type = "string | undefined")]
    pub salt: Option<String>,
    /// Length of the prompt; only loads need it.
    #[napi(ts_type = "number | undefined")]
    pub prompt_tokens: Option<f64>,
}

/// How much of a prompt each rank holds.
#[napi(object)]
pub struct NativeOverlap {
    /// Instance ids.
    pub worker_ids: BigUint64Array,
    /// Ranks.
    pub dp_ranks: Uint32Array,
    /// Device, host and disk blocks of each rank, one after the other.
    pub blocks: Uint32Array,
}

/// Loads of all ranks.
#[napi(object)]
pub struct NativeLoads {
    /// Instance ids.
    pub worker_ids: BigUint64Array,
    /// Ranks.
    pub dp_ranks: Uint32Array,
    /// Prompt tokens not computed yet.
    pub prefill_tokens: Float64Array,
    /// Distinct blocks in use.
    pub decode_blocks: Float64Array,
    /// Requests not finished.
    pub active_requests: Uint32Array,
    /// Blocks that the rank can hold; 0 when unknown.
    pub total_kv_blocks: Float64Array,
    /// Most tokens in one pass; 0 when unknown.
    pub max_batched_tokens: Float64Array,
    /// 1 for ranks over their busy threshold.
    pub overloaded: Uint8Array,
}

/// What became of a request.
#[napi(object)]
pub struct NativeOutcome {
    /// completed, cancelled or failed.
    pub kind: String,
    /// Prompt tokens that the engine says it had in cache.
    #[napi(ts_type = "number | undefined")]
    pub cached_tokens: Option<u32>,
    /// Tokens of the answer.
    #[napi(ts_type = "number | undefined")]
    pub output_tokens: Option<u32>,
    /// From the choice to the first token.
    #[napi(ts_type = "number | undefined")]
    pub ttft_ms: Option<f64>,
    /// Mean time between two tokens.
    #[napi(ts_type = "number | undefined")]
    pub itl_ms: Option<f64>,
    /// Code of the failure.
    #[napi(ts_type = "string | undefined")]
    pub error_code: Option<String>,
}

/// A booking that has ended.
#[napi(object)]
pub struct NativeFreed {
    /// Where it was.
    pub worker_id: BigInt,
    /// Its rank.
    pub dp_rank: u32,
    /// Prompt tokens that were taken to be cached there.
    pub predicted_cached_tokens: f64,
}

/// A booking of another router.
#[napi(object, object_to_js = false)]
pub struct NativeRemoteBooking<'a> {
    /// Unique over all routers.
    pub id: String,
    /// Where it runs.
    pub worker_id: BigInt,
    /// Its rank.
    pub dp_rank: u32,
    /// Local hashes of the prompt.
    pub block_hashes: BigUint64ArraySlice<'a>,
    /// Length of the prompt.
    #[napi(ts_type = "number | undefined")]
    pub prompt_tokens: Option<f64>,
    /// Prompt tokens to compute.
    pub prefill_tokens: f64,
    /// A steady clock.
    pub now_ms: f64,
    /// Take the prompt as held there soon.
    pub predict: bool,
}

/// Decisions to write down.
#[napi(object)]
pub struct NativeDrainedDecisions {
    /// One JSON object a line.
    pub lines: String,
    /// Number of lines.
    pub count: u32,
    /// Decisions lost since the last drain.
    pub dropped: f64,
}

/// Settings to take a decision again with; absent ones are the recorded ones.
#[napi(object)]
pub struct NativeRescoreSettings {
    /// All weights at once.
    #[napi(ts_type = "NativeCostSettings | undefined")]
    pub cost: Option<NativeCostSettings>,
    /// Another mode.
    #[napi(
        ts_type = "'kv' | 'round-robin' | 'random' | 'least-loaded' | 'power-of-two' | undefined"
    )]
    pub mode: Option<String>,
}

/// A decision taken again.
#[napi(object)]
pub struct NativeRescored {
    /// Position of the choice among the candidates.
    pub chosen: u32,
    /// Why.
    pub reason: String,
    /// Cost of each candidate.
    pub costs: Float64Array,
}

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
    /// Batches and events that could not be used.
    pub refused: f64,
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
    /// Batches and events that could not be used.
    pub refused: f64,
    /// Events by `type:status`, for example `stored:ok`.
    pub events_by_status: HashMap<String, f64>,
}
