//! What became of the events that were offered.

use crate::events::CacheEventData;
use crate::index::ApplyStatus;

const TYPES: [&str; 3] = ["stored", "removed", "cleared"];

/// Counts since the feed began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedCounters {
    applied: [[u64; ApplyStatus::ALL.len()]; TYPES.len()],
    /// Events seen before, or of a start of the publisher that is over.
    pub stale: u64,
    /// Batches and events that could not be used.
    pub refused: u64,
    /// Batches taken: grows whenever the index may have changed.
    pub version: u64,
}

impl FeedCounters {
    /// Applied events as (type, status, count); the first two are the labels of `kv_cache_events_applied`.
    pub fn applied(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        TYPES.iter().zip(&self.applied).flat_map(|(&kind, counts)| {
            let status = ApplyStatus::ALL.iter().zip(counts);
            status.map(move |(status, &count)| (kind, status.as_str(), count))
        })
    }

    pub(super) fn note(&mut self, data: &CacheEventData, status: ApplyStatus) {
        let kind = match data {
            CacheEventData::Stored { .. } => 0,
            CacheEventData::Removed { .. } => 1,
            CacheEventData::Cleared => 2,
        };
        self.applied[kind][status as usize] += 1;
    }
}
