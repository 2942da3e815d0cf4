//! What is kept of a decision: its inputs. Costs follow from them bit for bit, so they are worked out again on demand.

use std::sync::Arc;

use super::rows::{CandidateRow, RankTable, RowLists};
use crate::selection::{CostSettings, Pin, SelectionMode, SelectionReason};

/// What a decision consists of besides its lists and texts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct DecisionFacts {
    /// Unix milliseconds.
    pub(crate) unix_ms: f64,
    /// What decided.
    pub(crate) mode: SelectionMode,
    /// Prompt tokens.
    pub(crate) isl_tokens: u64,
    /// Weights, the request's own included.
    pub(crate) settings: CostSettings,
    /// State of the random source before the choice; for round-robin the turn.
    pub(crate) seed: u64,
    /// Event batches applied by then.
    pub(crate) index_version: u64,
    /// Position of the choice among the candidates.
    pub(crate) chosen: usize,
    /// Why.
    pub(crate) reason: SelectionReason,
    /// Time in the queue before.
    pub(crate) queued_ms: f64,
    /// Prompt tokens that needed no prefill, as far as was known.
    pub(crate) predicted_cached_tokens: u64,
    /// Expected length of the answer.
    pub(crate) expected_output_tokens: Option<u32>,
    /// Wished for.
    pub(crate) preferred: Option<Pin>,
    /// Demanded.
    pub(crate) pinned: Option<Pin>,
}

/// Names of a decision's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestNames<T> {
    /// Request that was placed.
    pub(crate) request_id: T,
    /// Its trace; empty for none.
    pub(crate) trace_id: T,
    /// Its queue class; empty for none.
    pub(crate) policy_class: T,
}

/// A decision that was just made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewDecision<'a> {
    pub(crate) facts: DecisionFacts,
    pub(crate) names: RequestNames<&'a str>,
    /// Local hashes of the prompt's blocks.
    pub(crate) block_hashes: &'a [u64],
    /// Everyone who was considered.
    pub(crate) table: &'a Arc<RankTable>,
    /// What was known of them.
    pub(crate) lists: RowLists<'a>,
}

/// A decision with what became of it.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedDecision {
    /// Counts from 1 per router.
    pub(crate) sequence: u64,
    pub(crate) facts: DecisionFacts,
    pub(crate) names: RequestNames<String>,
    /// Local hashes of the prompt's blocks.
    pub(crate) block_hashes: Vec<u64>,
    /// Everyone who was considered.
    pub(crate) candidates: Vec<CandidateRow>,
    /// None while the request runs, or when nobody said.
    pub(crate) outcome: Option<RequestOutcome>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutcomeKind {
    /// With its whole answer.
    Completed,
    /// Its client left.
    Cancelled,
    /// With an error.
    Failed,
}

impl OutcomeKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Completed, Self::Cancelled, Self::Failed];

    /// Stable name for decision records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
        }
    }

    /// The kind of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

/// What became of a request; absent values are unknown.
#[derive(Debug, Clone, PartialEq)]
pub struct RequestOutcome {
    /// How it ended.
    pub kind: OutcomeKind,
    /// Prompt tokens that the engine says it had in cache.
    pub cached_tokens: Option<u32>,
    /// Tokens of the answer.
    pub output_tokens: Option<u32>,
    /// From the choice to the first token.
    pub ttft_ms: Option<f64>,
    /// Mean time between two tokens.
    pub itl_ms: Option<f64>,
    /// Code of the failure.
    pub error_code: Option<Box<str>>,
}

impl RequestOutcome {
    /// An end of which nothing else is known.
    #[must_use]
    pub fn of(kind: OutcomeKind) -> Self {
        Self {
            kind,
            cached_tokens: None,
            output_tokens: None,
            ttft_ms: None,
            itl_ms: None,
            error_code: None,
        }
    }

    /// Cached tokens as the engine reported them; only an answer that was complete says something about the cache.
    pub(crate) fn engine_reported(&self) -> Option<u32> {
        self.cached_tokens
            .filter(|_| self.kind == OutcomeKind::Completed)
    }
}
