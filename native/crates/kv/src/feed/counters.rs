//! What became of the events that were offered.

use super::feed_result::FeedResult;
use super::refusal::Refusal;
use crate::events::CacheEventData;
use crate::index::ApplyStatus;

const TYPES: [&str; 3] = ["stored", "removed", "cleared"];

/// Counts since the feed began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FeedCounters {
    applied: [[u64; ApplyStatus::ALL.len()]; TYPES.len()],
    /// Events seen before, or of a start of the publisher that is over.
    pub stale: u64,
    refused: [u64; Refusal::ALL.len()],
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

    /// Batches and events that were not used, as (reason, count).
    pub fn refused(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let reasons = Refusal::ALL.iter().zip(&self.refused);
        reasons.map(|(reason, &count)| (reason.as_str(), count))
    }

    pub(super) fn refuse(&mut self, reason: Refusal, result: &mut FeedResult) {
        self.refused[reason as usize] += 1;
        result.refused += 1;
        result.refused_for.get_or_insert(reason);
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
