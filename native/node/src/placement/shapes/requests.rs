//! What is asked, and what is told of requests under way.
use napi::bindgen_prelude::{BigInt, BigUint64ArraySlice, Uint32ArraySlice};
use napi_derive::napi;

use super::NativeOverrides;

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

/// A taint that makes a worker cost less.
#[napi(object)]
pub struct NativePreferredTaint {
    /// Name.
    pub taint: String,
    /// Weight; negative: more.
    pub weight: f64,
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
