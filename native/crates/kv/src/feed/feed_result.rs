use super::cursor::RecoveryWanted;
use super::refusal::Refusal;

/// What came of a batch or of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FeedResult {
    /// Ranks to ask for.
    pub recoveries: Vec<RecoveryWanted>,
    /// Events applied.
    pub applied: u64,
    /// Events seen before, or that mean nothing now.
    pub stale: u64,
    /// Batches and events that were not used.
    pub refused: u64,
    /// Why the first of them was not.
    pub refused_for: Option<Refusal>,
}
