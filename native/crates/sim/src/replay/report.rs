use crate::scheduler::RankTotals;

/// What one request got.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplayedRequest {
    /// Worker by number; none when nobody could take it.
    pub worker: Option<u32>,
    /// Prompt tokens that the router expected to find cached.
    pub predicted_tokens: u32,
    /// Prompt tokens that the worker found cached.
    pub cached_tokens: u32,
    /// Tokens generated.
    pub output_tokens: u32,
    /// From arrival to the first token; none when there was none.
    pub first_token_ns: Option<u64>,
    /// From arrival to the last token.
    pub last_token_ns: u64,
}

/// What a fleet made of a trace.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ReplayReport {
    /// In order of the trace.
    pub requests: Vec<ReplayedRequest>,
    /// Per worker.
    pub workers: Vec<RankTotals>,
    /// Prompt tokens that one cache without bounds would have held: no placement can reach more.
    pub ideal_cached_tokens: u64,
    /// Virtual time of the last end.
    pub duration_ns: u64,
}
