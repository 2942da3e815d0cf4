//! An exact index with a short memory of what was just routed beside it, so that siblings of a request go to the worker
//! that is about to hold their prefix, before its first event.

use super::KvIndex;
use super::approximate::{ApproximateIndex, ApproximateOptions};
use super::exact::ExactIndex;
use super::matches::Matches;
use super::types::{ApplyStatus, CacheChange, CacheTier, IndexStats, RankStats, WorkerRank};

/// Exact index plus predictions; a rank's match is the longer of both. Predictions are never dumped.
#[derive(Debug)]
pub struct PredictiveIndex {
    /// What the engines said.
    pub confirmed: ExactIndex,
    predicted: ApproximateIndex,
}

impl PredictiveIndex {
    /// Predictions over an exact index; `options.ttl_ms` is best a few seconds.
    #[must_use]
    pub fn new(confirmed: ExactIndex, options: ApproximateOptions) -> Self {
        Self {
            confirmed,
            predicted: ApproximateIndex::new(options),
        }
    }

    /// Sizes of the predictions alone.
    #[must_use]
    pub fn predicted_stats(&self) -> IndexStats {
        self.predicted.stats()
    }
}

impl KvIndex for PredictiveIndex {
    fn apply(
        &mut self,
        rank: WorkerRank,
        tier: CacheTier,
        change: &CacheChange<'_>,
    ) -> ApplyStatus {
        self.predicted.apply(rank, tier, change);
        self.confirmed.apply(rank, tier, change)
    }

    /// Searches both to the end of what they know: an early exit of one says nothing about the other.
    fn find_matches(&self, sequence_hashes: &[u64], early_exit: bool, matches: &mut Matches) {
        let mut predicted = Matches::default();
        self.predicted
            .find_matches(sequence_hashes, false, &mut predicted);
        let exit = early_exit && predicted.rows().is_empty();
        self.confirmed.find_matches(sequence_hashes, exit, matches);
        if !predicted.rows().is_empty() {
            matches.merge_max(&mut predicted);
        }
    }

    fn record_routed(&mut self, rank: WorkerRank, local_hashes: &[u64], now_ms: u64) {
        self.predicted.record_routed(rank, local_hashes, now_ms);
    }

    fn expire(&mut self, now_ms: u64) -> usize {
        self.predicted.expire(now_ms)
    }

    fn remove_rank(&mut self, rank: WorkerRank) {
        self.predicted.remove_rank(rank);
        self.confirmed.remove_rank(rank);
    }

    fn ranks(&self) -> Vec<WorkerRank> {
        let mut ranks = self.confirmed.ranks();
        ranks.extend(self.predicted.ranks());
        ranks.sort_unstable();
        ranks.dedup();
        ranks
    }

    fn rank_stats(&self, rank: WorkerRank) -> Option<RankStats> {
        self.confirmed.rank_stats(rank)
    }

    fn stats(&self) -> IndexStats {
        let stats = self.confirmed.stats();
        IndexStats {
            bytes: stats.bytes + self.predicted.stats().bytes,
            ..stats
        }
    }
}
