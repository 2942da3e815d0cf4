//! Messages between workers and routers, as protobuf.

mod convert;
pub mod decision;
mod events;
mod hashes;
pub mod index_dump;
mod json;

pub use events::{
    KvBlocksRemoved, KvBlocksStored, KvCacheCleared, KvEvent, KvEventBatch, KvEventData,
    KvQueryInvalidRange, KvQueryResult, KvQueryTooNew, KvSnapshotChunk, WorkerKvQueryRequest,
    WorkerKvQueryResponse,
};
pub use hashes::{hashes_from_bytes, hashes_to_bytes};
