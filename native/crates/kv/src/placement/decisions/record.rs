//! What is kept of a decision: its inputs. Costs follow from them bit for bit, so they are worked out again on demand.

use crate::index::WorkerRank;
use crate::selection::{CostSettings, Pin, Rejection, SelectionMode, SelectionReason};

/// One candidate as the choice saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CandidateRow {
    /// The rank.
    pub rank: WorkerRank,
    /// Blocks of the prompt's beginning in device memory.
    pub device_blocks: u32,
    /// Further ones in host memory.
    pub host_blocks: u32,
    /// Further ones on disk.
    pub disk_blocks: u32,
    /// Requests not finished.
    pub active_requests: u32,
    /// Prompt tokens not computed yet.
    pub active_prefill_tokens: u64,
    /// Blocks in use with this request.
    pub potential_decode_blocks: f64,
    /// Blocks cached on the device.
    pub cached_blocks: u64,
    /// Blocks it can hold.
    pub total_kv_blocks: u64,
    /// Factor of preferred taints.
    pub taint_factor: f64,
    /// Its content was guessed from routing.
    pub approximate: bool,
    /// Why it could not be chosen.
    pub rejection: Option<Rejection>,
}

/// One decision.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionRecord {
    /// Counts from 1 per router.
    pub sequence: u64,
    /// Request that was placed.
    pub request_id: Box<str>,
    /// Its trace; empty for none.
    pub trace_id: Box<str>,
    /// Unix milliseconds.
    pub unix_ms: f64,
    /// What decided.
    pub mode: SelectionMode,
    /// Prompt tokens.
    pub isl_tokens: u64,
    /// Local hashes of the prompt's blocks.
    pub block_hashes: Box<[u64]>,
    /// Weights, the request's own included.
    pub settings: CostSettings,
    /// State of the random source before the choice; for round-robin the turn.
    pub seed: u64,
    /// Event batches applied by then.
    pub index_version: u64,
    /// Everyone who was considered.
    pub candidates: Box<[CandidateRow]>,
    /// Position of the choice among them.
    pub chosen: usize,
    /// Why.
    pub reason: SelectionReason,
    /// Time in the queue before.
    pub queued_ms: f64,
    /// Queue class.
    pub policy_class: Box<str>,
    /// Prompt tokens that needed no prefill, as far as was known.
    pub predicted_cached_tokens: u64,
    /// Expected length of the answer.
    pub expected_output_tokens: Option<u32>,
    /// Wished for.
    pub preferred: Option<Pin>,
    /// Demanded.
    pub pinned: Option<Pin>,
}

impl DecisionRecord {
    /// Memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.request_id.len()
            + self.trace_id.len()
            + self.policy_class.len()
            + size_of_val(&*self.block_hashes)
            + size_of_val(&*self.candidates)
    }
}

/// What became of a request; absent values are unknown.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RequestOutcome {
    /// completed | cancelled | failed
    pub kind: String,
    /// Prompt tokens that the engine says it had in cache.
    pub cached_tokens: Option<u32>,
    /// Tokens of the answer.
    pub output_tokens: Option<u32>,
    /// From the choice to the first token.
    pub ttft_ms: Option<f64>,
    /// Mean time between two tokens.
    pub itl_ms: Option<f64>,
    /// Code of the failure.
    pub error_code: Option<String>,
}

impl RequestOutcome {
    /// Cached tokens as the engine reported them; only an answer that was complete says something about the cache.
    pub(crate) fn engine_reported(&self) -> Option<u32> {
        self.cached_tokens.filter(|_| self.kind == "completed")
    }
}
