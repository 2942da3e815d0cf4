//! What is asked of a selection, and the reasons it can give.

use super::eligibility::{Eligibility, Pin};
use super::mode::SelectionMode;

/// What a request asks for.
#[derive(Debug, Clone, Copy, Default)]
pub struct SelectRequest<'a> {
    /// Prompt tokens.
    pub isl_tokens: u64,
    /// Tokens per block.
    pub block_size: u64,
    /// Who may be chosen.
    pub eligibility: Eligibility<'a>,
    /// Chosen whatever the others cost if it may be chosen, as session affinity wants.
    pub preferred: Option<Pin>,
    /// (taint, weight): a rank that has the taint costs less, or more for a negative weight.
    pub preferred_taints: &'a [(u32, f64)],
    /// What decides among those that may be chosen.
    pub mode: SelectionMode,
    /// Which turn it is, for round-robin.
    pub turn: u64,
}

/// Why the chosen rank was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectionReason {
    /// The request pinned it.
    Pinned,
    /// The request preferred it.
    Preferred,
    /// It was the only one that may be chosen.
    Only,
    /// It had the lowest cost.
    LowestCost,
    /// It was drawn among several of the lowest cost.
    Tie,
    /// It was drawn by temperature.
    Sampled,
    /// Its turn had come.
    RoundRobin,
    /// It was drawn among all.
    Random,
    /// It had the fewest requests.
    LeastLoaded,
    /// It had fewer requests than the other one of two drawn.
    PowerOfTwo,
}

impl SelectionReason {
    /// Stable name for decision records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Preferred => "preferred",
            Self::Only => "only",
            Self::LowestCost => "lowest_cost",
            Self::Tie => "tie",
            Self::Sampled => "sampled",
            Self::RoundRobin => "round_robin",
            Self::Random => "random",
            Self::LeastLoaded => "least_loaded",
            Self::PowerOfTwo => "power_of_two",
        }
    }
}
