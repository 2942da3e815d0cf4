//! Who holds which blocks: what the workers say, what was routed to those that say nothing, and what was routed to the
//! others a moment ago.

use super::fleet::Fleet;
use super::overlaps::Overlaps;
use super::settings::PlacementSettings;
use super::source::Source;
use crate::feed::{EventFeed, FeedResult, ParsedRecovery, RecoveryProgress};
use crate::index::{
    ApproximateIndex, ApproximateOptions, CacheTier, ExactIndex, KvIndex, WorkerRank,
};

/// Blocks of ranks that are gone whose memory one call gives back.
const SWEPT_AT_ONCE: usize = 2048;

#[derive(Debug)]
pub(super) struct Knowledge {
    pub(super) exact: ExactIndex,
    pub(super) feed: EventFeed,
    approximate: ApproximateIndex,
    predicted: Option<ApproximateIndex>,
}

impl Knowledge {
    pub(super) fn new(settings: &PlacementSettings) -> Self {
        let predicted = |ttl_ms| {
            ApproximateIndex::new(ApproximateOptions {
                ttl_ms,
                ..settings.approximate
            })
        };
        Self {
            exact: ExactIndex::new(settings.index),
            feed: EventFeed::new(settings.block_size),
            approximate: ApproximateIndex::new(settings.approximate),
            predicted: settings.predicted_ttl_ms.map(predicted),
        }
    }

    /// Fills the overlaps of every rank with a prompt of these sequence hashes, as of a time.
    pub(super) fn overlaps(
        &self,
        fleet: &Fleet,
        sources: &[Source],
        (sequence_hashes, now_ms): (&[u64], u64),
        overlaps: &mut Overlaps,
    ) {
        overlaps.reset(fleet.ranks.len());
        self.exact
            .find_matches(sequence_hashes, false, &mut overlaps.matches);
        overlaps.take_confirmed(fleet, sources);
        if sources.iter().any(|source| *source != Source::Events) {
            self.approximate
                .find_fresh(sequence_hashes, now_ms, &mut overlaps.matches);
            overlaps.take_longer(fleet, |at| sources[at] != Source::Events);
        }
        if let Some(predicted) = &self.predicted {
            predicted.find_fresh(sequence_hashes, now_ms, &mut overlaps.matches);
            overlaps.take_longer(fleet, |_| true);
        }
    }

    /// A prompt was routed to a rank.
    pub(super) fn routed(&mut self, rank: WorkerRank, source: Source, local: &[u64], now_ms: u64) {
        match (source, &mut self.predicted) {
            (Source::Events, None) => {}
            (Source::Events, Some(predicted)) => predicted.record_routed(rank, local, now_ms),
            (Source::Both | Source::Routing, _) => {
                self.approximate.record_routed(rank, local, now_ms);
            }
        }
    }

    pub(super) fn offer(&mut self, payload: &[u8], now_ms: u64) -> FeedResult {
        self.feed.offer(&mut self.exact, payload, now_ms)
    }

    pub(super) fn begin_recovery(
        &mut self,
        rank: WorkerRank,
        answer: ParsedRecovery,
        now_ms: u64,
    ) -> RecoveryProgress {
        self.feed
            .begin_recovery(&mut self.exact, rank, answer, now_ms)
    }

    pub(super) fn step_recovery(
        &mut self,
        progress: &mut RecoveryProgress,
        max_blocks: usize,
        now_ms: u64,
    ) -> Option<FeedResult> {
        self.feed
            .step_recovery(&mut self.exact, progress, max_blocks, now_ms)
    }

    /// Drops guesses that are too old, and some of the content of ranks that are gone.
    pub(super) fn expire(&mut self, now_ms: u64) {
        self.exact.sweep(SWEPT_AT_ONCE);
        self.approximate.expire(now_ms);
        if let Some(predicted) = &mut self.predicted {
            predicted.expire(now_ms);
        }
    }

    /// The rank says nothing itself any more.
    pub(super) fn silence(&mut self, rank: WorkerRank) {
        self.feed.remove_rank(rank);
        self.exact.retire_rank(rank);
    }

    pub(super) fn remove_rank(&mut self, rank: WorkerRank) {
        self.approximate.remove_rank(rank);
        if let Some(predicted) = &mut self.predicted {
            predicted.remove_rank(rank);
        }
        self.silence(rank);
    }

    /// Blocks in a rank's device memory, as far as is known.
    pub(super) fn cached_blocks(&self, rank: WorkerRank, source: Source) -> u64 {
        let held = match source {
            Source::Events | Source::Both => self.exact.held(rank, CacheTier::Device),
            Source::Routing => self.approximate.held(rank),
        };
        held as u64
    }

    pub(super) fn bytes(&self) -> usize {
        let guesses = self
            .predicted
            .as_ref()
            .map_or(0, |index| index.stats().bytes);
        self.feed.bytes() + self.exact.stats().bytes + self.approximate.stats().bytes + guesses
    }
}
