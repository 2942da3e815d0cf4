//! Settings of a placement, and of one decision.
use napi::bindgen_prelude::BigInt;
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
