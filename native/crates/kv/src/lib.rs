//! Block hashing for KV-cache routing. Pure: no I/O, no threads.
mod hashing;
mod index;

pub use hashing::{BlockSeed, local_block_hashes, next_sequence_hash, sequence_hashes};
pub use index::{
    ApplyStatus, ApproximateIndex, ApproximateOptions, CacheChange, CacheTier, ExactIndex,
    ExactOptions, IndexStats, KvIndex, Match, Matches, PredictiveIndex, RankStats, SnapshotError,
    StoredBlock, StoredRun, WorkerRank,
};
