//! Which worker holds which blocks, and how much of a prompt each one has.
//!
//! Blocks live in a radix tree whose edges are compressed: a run of blocks that always follow each other is one segment,
//! and per segment each rank has, in nearly every case, one number: how many of its blocks it holds. Sequence hashes are
//! chained, so two paths that agree at one position agree before it: a segment is compared by its last hash, and a
//! 64-block prompt costs as many hash probes as it has segments.
//!
//! A segment that was split stays split while anyone holds it, so a document that prompts have left at every block is in
//! the end as many segments as blocks, and a lookup of it a probe per block: some tens of microseconds for a thousand.

mod approximate;
mod arena;
mod dump;
mod eviction;
mod exact;
mod hash_table;
mod holders;
mod lookup;
mod matches;
mod predictive;
mod ranks;
mod reading;
mod retired;
mod segment;
mod sharded_map;
mod snapshot;
mod staging;
mod stored_run;
mod types;
mod writer;

pub use approximate::{ApproximateIndex, ApproximateOptions};
pub use exact::{ExactIndex, ExactOptions};
pub use matches::{Match, Matches};
pub use predictive::PredictiveIndex;
pub use reading::RankReading;
pub(crate) use sharded_map::ShardedMap;
pub use snapshot::SnapshotError;
pub(crate) use snapshot::parse as parse_snapshot;
pub use staging::{StagedRank, StagingRoom};
pub use stored_run::StoredRun;
pub use types::{
    ApplyStatus, CacheChange, CacheTier, IndexStats, RankStats, StoredBlock, WorkerRank,
};

/// An index of cached prefixes. Lookups need `&self` only, so they run beside each other under a read lock.
pub trait KvIndex: Send + Sync {
    /// Takes one event of a rank; `tier` is where the blocks are and means nothing for [`CacheChange::Cleared`].
    fn apply(&mut self, rank: WorkerRank, tier: CacheTier, change: &CacheChange<'_>)
    -> ApplyStatus;

    /// Fills `matches` with every rank that holds the first block of the prompt. With `early_exit` the search stops as
    /// soon as one rank is left, whose count is then a lower bound.
    fn find_matches(&self, sequence_hashes: &[u64], early_exit: bool, matches: &mut Matches);

    /// Notes that the blocks (local hashes) were sent to a rank; indexes that learn from events alone do nothing.
    fn record_routed(&mut self, rank: WorkerRank, local_hashes: &[u64], now_ms: u64);

    /// Drops what was noted too long ago, as much as takes some milliseconds; returns how many holdings.
    fn expire(&mut self, now_ms: u64) -> usize;

    /// Forgets one rank. Nobody finds it any more; its memory comes back with the calls that follow.
    fn remove_rank(&mut self, rank: WorkerRank);

    /// Forgets every rank of a worker.
    fn remove_worker(&mut self, worker_id: u64) {
        for rank in self.ranks() {
            if rank.worker_id == worker_id {
                self.remove_rank(rank);
            }
        }
    }

    /// Every known rank, ascending.
    fn ranks(&self) -> Vec<WorkerRank>;

    /// Sizes of one rank's part; none when it is unknown.
    fn rank_stats(&self, rank: WorkerRank) -> Option<RankStats>;

    /// Sizes of the whole.
    fn stats(&self) -> IndexStats;
}
