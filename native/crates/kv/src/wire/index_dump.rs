//! `dynamo.router.v1.QueryIndexResponse`: what the index holds, per rank.

use prost::Message;

/// Answer to an index query.
#[derive(Clone, PartialEq, Message)]
pub struct QueryIndexResponse {
    /// Ranks.
    #[prost(message, repeated, tag = "1")]
    pub ranks: Vec<IndexRank>,
    /// Distinct blocks.
    #[prost(uint64, tag = "2")]
    pub blocks: u64,
    /// Memory.
    #[prost(uint64, tag = "3")]
    pub bytes: u64,
}

/// One rank's part of the index and its health.
#[derive(Clone, PartialEq, Message)]
pub struct IndexRank {
    /// Instance id.
    #[prost(uint64, tag = "1")]
    pub worker_id: u64,
    /// Rank.
    #[prost(uint32, tag = "2")]
    pub dp_rank: u32,
    /// waiting | live | recovering | demoted | silent
    #[prost(string, tag = "3")]
    pub state: String,
    /// Epoch of its publisher.
    #[prost(uint64, tag = "4")]
    pub epoch: u64,
    /// Last event applied.
    #[prost(uint64, tag = "5")]
    pub last_event_id: u64,
    /// Blocks held.
    #[prost(uint64, tag = "6")]
    pub blocks: u64,
    /// Memory.
    #[prost(uint64, tag = "7")]
    pub bytes: u64,
    /// Gaps seen.
    #[prost(uint64, tag = "8")]
    pub gaps: u64,
    /// Recoveries finished.
    #[prost(uint64, tag = "9")]
    pub resyncs: u64,
    /// Since something was heard.
    #[prost(double, tag = "10")]
    pub staleness_seconds: f64,
    /// What decisions promised.
    #[prost(uint64, tag = "11")]
    pub predicted_cached_tokens: u64,
    /// What the engine said.
    #[prost(uint64, tag = "12")]
    pub reported_cached_tokens: u64,
    /// Content.
    #[prost(message, repeated, tag = "13")]
    pub runs: Vec<IndexRun>,
}

/// Consecutive blocks of one rank in one tier.
#[derive(Clone, PartialEq, Message)]
pub struct IndexRun {
    /// device | host | disk | external
    #[prost(string, tag = "1")]
    pub tier: String,
    /// Engine hash of the block before the first one.
    #[prost(fixed64, optional, tag = "2")]
    pub parent_hash: Option<u64>,
    /// Engine hashes, little-endian.
    #[prost(bytes = "vec", tag = "3")]
    pub block_hashes_le: Vec<u8>,
    /// Local hashes, little-endian.
    #[prost(bytes = "vec", tag = "4")]
    pub tokens_hashes_le: Vec<u8>,
}
