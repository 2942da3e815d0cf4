//! What is kept of a decision: its inputs. Costs follow from them bit for bit, so they are worked out again on demand.

use super::rows::Rows;
use crate::index::WorkerRank;
use crate::selection::{CostSettings, Pin, Rejection, SelectionMode, SelectionReason};

/// One candidate as the choice saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CandidateRow {
    /// The rank.
    pub(crate) rank: WorkerRank,
    /// Blocks of the prompt's beginning in device memory.
    pub(crate) device_blocks: u32,
    /// Further ones in host memory.
    pub(crate) host_blocks: u32,
    /// Further ones on disk.
    pub(crate) disk_blocks: u32,
    /// Requests not finished.
    pub(crate) active_requests: u32,
    /// Prompt tokens not computed yet.
    pub(crate) active_prefill_tokens: u64,
    /// Blocks in use with this request.
    pub(crate) potential_decode_blocks: f64,
    /// Blocks cached on the device.
    pub(crate) cached_blocks: u64,
    /// Blocks it can hold.
    pub(crate) total_kv_blocks: u64,
    /// Factor of preferred taints.
    pub(crate) taint_factor: f64,
    /// Its content was guessed from routing.
    pub(crate) approximate: bool,
    /// Why it could not be chosen.
    pub(crate) rejection: Option<Rejection>,
}

/// One decision.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct DecisionRecord {
    /// Counts from 1 per router.
    pub(crate) sequence: u64,
    /// Request that was placed.
    pub(crate) request_id: Box<str>,
    /// Its trace; empty for none.
    pub(crate) trace_id: Box<str>,
    /// Unix milliseconds.
    pub(crate) unix_ms: f64,
    /// What decided.
    pub(crate) mode: SelectionMode,
    /// Prompt tokens.
    pub(crate) isl_tokens: u64,
    /// Local hashes of the prompt's blocks.
    pub(crate) block_hashes: Vec<u64>,
    /// Weights, the request's own included.
    pub(crate) settings: CostSettings,
    /// State of the random source before the choice; for round-robin the turn.
    pub(crate) seed: u64,
    /// Event batches applied by then.
    pub(crate) index_version: u64,
    /// Everyone who was considered.
    pub(crate) candidates: Rows,
    /// Position of the choice among them.
    pub(crate) chosen: usize,
    /// Why.
    pub(crate) reason: SelectionReason,
    /// Time in the queue before.
    pub(crate) queued_ms: f64,
    /// Queue class.
    pub(crate) policy_class: Box<str>,
    /// Prompt tokens that needed no prefill, as far as was known.
    pub(crate) predicted_cached_tokens: u64,
    /// Expected length of the answer.
    pub(crate) expected_output_tokens: Option<u32>,
    /// Wished for.
    pub(crate) preferred: Option<Pin>,
    /// Demanded.
    pub(crate) pinned: Option<Pin>,
}

impl DecisionRecord {
    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>()
            + self.request_id.len()
            + self.trace_id.len()
            + self.policy_class.len()
            + self.block_hashes.capacity() * 8
            + self.candidates.bytes()
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
