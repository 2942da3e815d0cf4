//! `dynamo.router.v1.Decision` and its parts: protobuf, and the JSON of the same names with u64 as decimal strings, bytes
//! as base64 and default values left out.

use prost::Message;
use serde::Serialize;

use super::json::{base64, decimal, decimal_if_any, is_default};

/// Why a request went where it went.
#[derive(Clone, PartialEq, Message, Serialize)]
#[allow(clippy::struct_field_names)] // named by the protocol
pub struct Decision {
    /// Unique per router process.
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "is_default")]
    pub decision_id: String,
    /// Request that was placed.
    #[prost(string, tag = "2")]
    #[serde(skip_serializing_if = "is_default")]
    pub request_id: String,
    /// Its trace.
    #[prost(string, tag = "3")]
    #[serde(skip_serializing_if = "is_default")]
    pub trace_id: String,
    /// Endpoint that was routed for.
    #[prost(string, tag = "4")]
    #[serde(skip_serializing_if = "is_default")]
    pub endpoint: String,
    /// Router that chose.
    #[prost(uint64, tag = "5")]
    #[serde(serialize_with = "decimal", skip_serializing_if = "is_default")]
    pub router_id: u64,
    /// Unix milliseconds of the choice.
    #[prost(double, tag = "6")]
    #[serde(skip_serializing_if = "is_default")]
    pub timestamp_ms: f64,
    /// What decided.
    #[prost(string, tag = "7")]
    #[serde(skip_serializing_if = "is_default")]
    pub mode: String,
    /// Prompt tokens.
    #[prost(uint32, tag = "8")]
    #[serde(skip_serializing_if = "is_default")]
    pub isl_tokens: u32,
    /// Tokens per block.
    #[prost(uint32, tag = "9")]
    #[serde(skip_serializing_if = "is_default")]
    pub block_size: u32,
    /// Local hashes, little-endian.
    #[prost(bytes = "vec", tag = "10")]
    #[serde(serialize_with = "base64", skip_serializing_if = "is_default")]
    pub block_hashes_le: Vec<u8>,
    /// Weights.
    #[prost(message, optional, tag = "11")]
    #[serde(skip_serializing_if = "is_default")]
    pub settings: Option<DecisionSettings>,
    /// State of the random source before the choice.
    #[prost(fixed64, tag = "12")]
    #[serde(serialize_with = "decimal", skip_serializing_if = "is_default")]
    pub seed: u64,
    /// Event batches that the index had applied.
    #[prost(uint64, tag = "13")]
    #[serde(serialize_with = "decimal", skip_serializing_if = "is_default")]
    pub index_version: u64,
    /// Everyone who was considered.
    #[prost(message, repeated, tag = "14")]
    #[serde(skip_serializing_if = "is_default")]
    pub candidates: Vec<DecisionCandidate>,
    /// Position of the choice among them.
    #[prost(uint32, tag = "15")]
    #[serde(skip_serializing_if = "is_default")]
    pub chosen: u32,
    /// Why.
    #[prost(string, tag = "16")]
    #[serde(skip_serializing_if = "is_default")]
    pub reason: String,
    /// Time in the queue before.
    #[prost(double, tag = "17")]
    #[serde(skip_serializing_if = "is_default")]
    pub queued_ms: f64,
    /// Queue class.
    #[prost(string, tag = "18")]
    #[serde(skip_serializing_if = "is_default")]
    pub policy_class: String,
    /// Prompt tokens that needed no prefill, as far as was known.
    #[prost(uint32, tag = "19")]
    #[serde(skip_serializing_if = "is_default")]
    pub predicted_cached_tokens: u32,
    /// Expected length of the answer.
    #[prost(uint32, optional, tag = "20")]
    #[serde(skip_serializing_if = "is_default")]
    pub expected_output_tokens: Option<u32>,
    /// What became of the request.
    #[prost(message, optional, tag = "21")]
    #[serde(skip_serializing_if = "is_default")]
    pub outcome: Option<Outcome>,
    /// Worker wished for.
    #[prost(uint64, optional, tag = "22")]
    #[serde(serialize_with = "decimal_if_any", skip_serializing_if = "is_default")]
    pub preferred_worker_id: Option<u64>,
    /// Worker demanded.
    #[prost(uint64, optional, tag = "23")]
    #[serde(serialize_with = "decimal_if_any", skip_serializing_if = "is_default")]
    pub pinned_worker_id: Option<u64>,
    /// Rank of the worker wished for.
    #[prost(uint32, optional, tag = "24")]
    #[serde(skip_serializing_if = "is_default")]
    pub preferred_dp_rank: Option<u32>,
    /// Rank of the worker demanded.
    #[prost(uint32, optional, tag = "25")]
    #[serde(skip_serializing_if = "is_default")]
    pub pinned_dp_rank: Option<u32>,
}

/// Weights that a choice was made with.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct DecisionSettings {
    /// linear | lmetric
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "is_default")]
    pub policy: String,
    /// See `CostSettings`.
    #[prost(double, tag = "2")]
    #[serde(skip_serializing_if = "is_default")]
    pub overlap_score_credit: f64,
    /// See `CostSettings`.
    #[prost(double, tag = "3")]
    #[serde(skip_serializing_if = "is_default")]
    pub overlap_score_credit_decay: f64,
    /// See `CostSettings`.
    #[prost(double, tag = "4")]
    #[serde(skip_serializing_if = "is_default")]
    pub prefill_load_scale: f64,
    /// See `CostSettings`.
    #[prost(double, tag = "5")]
    #[serde(skip_serializing_if = "is_default")]
    pub host_cache_hit_weight: f64,
    /// See `CostSettings`.
    #[prost(double, tag = "6")]
    #[serde(skip_serializing_if = "is_default")]
    pub disk_cache_hit_weight: f64,
    /// See `CostSettings`.
    #[prost(double, tag = "7")]
    #[serde(skip_serializing_if = "is_default")]
    pub shared_cache_multiplier: f64,
    /// See `CostSettings`.
    #[prost(double, tag = "8")]
    #[serde(skip_serializing_if = "is_default")]
    pub decode_active_request_weight: f64,
    /// See `CostSettings`.
    #[prost(double, tag = "9")]
    #[serde(skip_serializing_if = "is_default")]
    pub displacement_weight: f64,
    /// See `CostSettings`.
    #[prost(double, tag = "10")]
    #[serde(skip_serializing_if = "is_default")]
    pub temperature: f64,
    /// See `CostSettings`.
    #[prost(bool, tag = "11")]
    #[serde(skip_serializing_if = "is_default")]
    pub track_prefill_tokens: bool,
}

/// One candidate as the choice saw it.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct DecisionCandidate {
    /// Instance id.
    #[prost(uint64, tag = "1")]
    #[serde(serialize_with = "decimal", skip_serializing_if = "is_default")]
    pub worker_id: u64,
    /// Its rank.
    #[prost(uint32, tag = "2")]
    #[serde(skip_serializing_if = "is_default")]
    pub dp_rank: u32,
    /// Blocks of the prompt's beginning on the device.
    #[prost(uint32, tag = "3")]
    #[serde(skip_serializing_if = "is_default")]
    pub device_blocks: u32,
    /// Further ones in host memory.
    #[prost(uint32, tag = "4")]
    #[serde(skip_serializing_if = "is_default")]
    pub host_blocks: u32,
    /// Further ones on disk.
    #[prost(uint32, tag = "5")]
    #[serde(skip_serializing_if = "is_default")]
    pub disk_blocks: u32,
    /// Prompt tokens not computed yet.
    #[prost(uint64, tag = "6")]
    #[serde(serialize_with = "decimal", skip_serializing_if = "is_default")]
    pub active_prefill_tokens: u64,
    /// Blocks in use with this request.
    #[prost(double, tag = "7")]
    #[serde(skip_serializing_if = "is_default")]
    pub potential_decode_blocks: f64,
    /// Requests not finished.
    #[prost(uint32, tag = "8")]
    #[serde(skip_serializing_if = "is_default")]
    pub active_requests: u32,
    /// Blocks cached on the device.
    #[prost(uint64, tag = "9")]
    #[serde(serialize_with = "decimal", skip_serializing_if = "is_default")]
    pub cached_blocks: u64,
    /// Blocks it can hold.
    #[prost(uint64, tag = "10")]
    #[serde(serialize_with = "decimal", skip_serializing_if = "is_default")]
    pub total_kv_blocks: u64,
    /// Its content was guessed.
    #[prost(bool, tag = "11")]
    #[serde(skip_serializing_if = "is_default")]
    pub approximate: bool,
    /// Blocks that caches save.
    #[prost(double, tag = "12")]
    #[serde(skip_serializing_if = "is_default")]
    pub credit_blocks: f64,
    /// Prompt blocks to compute after that.
    #[prost(double, tag = "13")]
    #[serde(skip_serializing_if = "is_default")]
    pub adjusted_prefill_blocks: f64,
    /// Cached blocks that would be displaced.
    #[prost(double, tag = "14")]
    #[serde(skip_serializing_if = "is_default")]
    pub displacement_blocks: f64,
    /// The sum.
    #[prost(double, tag = "15")]
    #[serde(skip_serializing_if = "is_default")]
    pub cost: f64,
    /// How likely the choice was.
    #[prost(double, tag = "16")]
    #[serde(skip_serializing_if = "is_default")]
    pub probability: f64,
    /// Why it could not be chosen.
    #[prost(string, tag = "17")]
    #[serde(skip_serializing_if = "is_default")]
    pub rejection: String,
    /// Factor of preferred taints.
    #[prost(double, tag = "18")]
    #[serde(skip_serializing_if = "is_default")]
    pub taint_factor: f64,
}

/// `dynamo.router.v1.RequestOutcome`.
#[derive(Clone, PartialEq, Message, Serialize)]
pub struct Outcome {
    /// completed | cancelled | failed
    #[prost(string, tag = "1")]
    #[serde(skip_serializing_if = "is_default")]
    pub kind: String,
    /// Prompt tokens that the engine says it had in cache.
    #[prost(uint32, optional, tag = "2")]
    #[serde(skip_serializing_if = "is_default")]
    pub cached_tokens: Option<u32>,
    /// Tokens of the answer.
    #[prost(uint32, optional, tag = "3")]
    #[serde(skip_serializing_if = "is_default")]
    pub output_tokens: Option<u32>,
    /// From the choice to the first token.
    #[prost(double, optional, tag = "4")]
    #[serde(skip_serializing_if = "is_default")]
    pub ttft_ms: Option<f64>,
    /// Mean time between two tokens.
    #[prost(double, optional, tag = "5")]
    #[serde(skip_serializing_if = "is_default")]
    pub itl_ms: Option<f64>,
    /// Code of the failure.
    #[prost(string, tag = "6")]
    #[serde(skip_serializing_if = "is_default")]
    pub error_code: String,
}
