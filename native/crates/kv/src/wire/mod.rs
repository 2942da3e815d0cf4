//! Messages between workers and routers, as protobuf.

mod convert;
mod events;
mod hashes;

pub use events::{
    KvBlocksRemoved, KvBlocksStored, KvCacheCleared, KvEvent, KvEventBatch, KvEventData,
    KvQueryInvalidRange, KvQueryResult, KvQueryTooNew, KvSnapshotChunk, WorkerKvQueryRequest,
    WorkerKvQueryResponse,
};
pub use hashes::{hashes_from_bytes, hashes_to_bytes};
