//! What comes of requests and decisions.
use napi::bindgen_prelude::{BigInt, Float64Array};
use napi_derive::napi;

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
