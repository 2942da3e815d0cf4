//! Messages of `dynamo/events/v1/events.proto` that concern KV events and their recovery, field by field.
//!
//! Written by hand so that building needs no protoc; a test in `native/node/test` holds them to the generated TypeScript.

use prost::{Message, Oneof};

/// `KvEventBatch`: changes of one worker's cache, in order.
#[derive(Clone, PartialEq, Message)]
pub struct KvEventBatch {
    /// Instance id of the worker.
    #[prost(uint64, tag = "1")]
    pub worker_id: u64,
    /// New per start of the worker's publisher.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// Tokens per block.
    #[prost(uint32, tag = "3")]
    pub block_size: u32,
    /// The changes.
    #[prost(message, repeated, tag = "4")]
    pub events: Vec<KvEvent>,
}

/// `KvEvent`: one change.
#[derive(Clone, PartialEq, Message)]
pub struct KvEvent {
    /// Dense per (worker, epoch, rank), from 1.
    #[prost(uint64, tag = "1")]
    pub event_id: u64,
    /// Data-parallel rank.
    #[prost(uint32, tag = "2")]
    pub dp_rank: u32,
    /// `CacheTier` by number; 0 means the device.
    #[prost(int32, tag = "3")]
    pub tier: i32,
    /// The change.
    #[prost(oneof = "KvEventData", tags = "4, 5, 6")]
    pub data: Option<KvEventData>,
}

/// `KvEvent.data`.
#[derive(Clone, PartialEq, Oneof)]
pub enum KvEventData {
    /// Blocks can be reused from now on.
    #[prost(message, tag = "4")]
    Stored(KvBlocksStored),
    /// Blocks were given up.
    #[prost(message, tag = "5")]
    Removed(KvBlocksRemoved),
    /// The rank's whole cache was dropped.
    #[prost(message, tag = "6")]
    Cleared(KvCacheCleared),
}

/// `KvBlocksStored`.
#[derive(Clone, PartialEq, Message)]
pub struct KvBlocksStored {
    /// Engine hash of the block before the first one.
    #[prost(fixed64, optional, tag = "1")]
    pub parent_hash: Option<u64>,
    /// Engine hashes.
    #[prost(bytes = "vec", tag = "2")]
    pub block_hashes_le: Vec<u8>,
    /// Local hashes of the same blocks.
    #[prost(bytes = "vec", tag = "3")]
    pub tokens_hashes_le: Vec<u8>,
}

/// `KvBlocksRemoved`.
#[derive(Clone, PartialEq, Message)]
pub struct KvBlocksRemoved {
    /// Engine hashes.
    #[prost(bytes = "vec", tag = "1")]
    pub block_hashes_le: Vec<u8>,
}

/// `KvCacheCleared`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct KvCacheCleared {}

/// `WorkerKvQueryRequest`: asks a worker for what was missed.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct WorkerKvQueryRequest {
    /// The worker that is asked.
    #[prost(uint64, tag = "1")]
    pub worker_id: u64,
    /// The rank that is asked for.
    #[prost(uint32, tag = "2")]
    pub dp_rank: u32,
    /// First event wanted; absent asks for everything that the rank holds now.
    #[prost(uint64, optional, tag = "3")]
    pub start_event_id: Option<u64>,
    /// Only checked against the start.
    #[prost(uint64, optional, tag = "4")]
    pub end_event_id: Option<u64>,
    /// Epoch of the events that the asker knows; 0 when none.
    #[prost(uint64, tag = "5")]
    pub epoch: u64,
}

/// `WorkerKvQueryResponse`: one item of the answer.
#[derive(Clone, PartialEq, Message)]
pub struct WorkerKvQueryResponse {
    /// The worker that answers.
    #[prost(uint64, tag = "1")]
    pub worker_id: u64,
    /// The rank it answers for.
    #[prost(uint32, tag = "2")]
    pub dp_rank: u32,
    /// Epoch of its events.
    #[prost(uint64, tag = "3")]
    pub epoch: u64,
    /// Last event that the answer covers.
    #[prost(uint64, tag = "4")]
    pub last_event_id: u64,
    /// The answer.
    #[prost(oneof = "KvQueryResult", tags = "5, 6, 7, 8, 9")]
    pub result: Option<KvQueryResult>,
}

/// `WorkerKvQueryResponse.result`.
#[derive(Clone, PartialEq, Oneof)]
pub enum KvQueryResult {
    /// The events from the start on.
    #[prost(message, tag = "5")]
    Events(KvEventBatch),
    /// Part of everything that the rank holds.
    #[prost(message, tag = "6")]
    Snapshot(KvSnapshotChunk),
    /// The range begins after the newest event.
    #[prost(message, tag = "7")]
    TooNew(KvQueryTooNew),
    /// The range ends before it begins.
    #[prost(message, tag = "8")]
    InvalidRange(KvQueryInvalidRange),
    /// The worker cannot answer now.
    #[prost(string, tag = "9")]
    Error(String),
}

/// `KvSnapshotChunk`.
#[derive(Clone, PartialEq, Message)]
pub struct KvSnapshotChunk {
    /// Position of the part, from 0.
    #[prost(uint32, tag = "1")]
    pub index: u32,
    /// How many parts there are.
    #[prost(uint32, tag = "2")]
    pub count: u32,
    /// The part.
    #[prost(bytes = "vec", tag = "3")]
    pub data: Vec<u8>,
}

/// `KvQueryTooNew`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct KvQueryTooNew {
    /// Newest event there is.
    #[prost(uint64, tag = "1")]
    pub newest_event_id: u64,
}

/// `KvQueryInvalidRange`.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct KvQueryInvalidRange {}
