//! Workers, and what each of their ranks has and has to do.
use napi::bindgen_prelude::{
    BigInt, BigUint64Array, BigUint64ArraySlice, Float64Array, Uint8Array, Uint32Array,
    Uint32ArraySlice,
};
use napi_derive::napi;

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

// Copied into JavaScript's memory: lists this short cost less than memory of ours that it would have to give back.
/// How much of a prompt each rank holds.
#[napi(object, object_from_js = false)]
pub struct NativeOverlap<'env> {
    /// Instance ids.
    #[napi(ts_type = "BigUint64Array")]
    pub worker_ids: BigUint64ArraySlice<'env>,
    /// Ranks.
    #[napi(ts_type = "Uint32Array")]
    pub dp_ranks: Uint32ArraySlice<'env>,
    /// Device, host and disk blocks of each rank, one after the other.
    #[napi(ts_type = "Uint32Array")]
    pub blocks: Uint32ArraySlice<'env>,
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
