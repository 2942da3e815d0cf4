//! Events into the index, and what follows from them: which ranks are believed, and whom to ask for what is missing.

use prost::Message;

use super::placement::Placement;
use super::source::Source;
use super::trust::Answer;
use crate::feed::{FeedResult, FeedState, ParsedRecovery, RecoveryProgress, RecoveryWanted};
use crate::index::WorkerRank;

/// Blocks that one step of [`Placement::finish_recovery`] handles.
const STEP_BLOCKS: usize = 4096;

/// As much of a `KvEventBatch` as tells whose it is.
#[derive(Clone, PartialEq, Message)]
struct BatchOwner {
    #[prost(uint64, tag = "1")]
    worker_id: u64,
}

impl Placement {
    /// Takes one encoded `KvEventBatch`; bytes of any kind are a count, never a failure.
    pub fn apply_events(&mut self, payload: &[u8], now_ms: u64) -> FeedResult {
        self.now_ms = self.now_ms.max(now_ms);
        if !self.settings.use_kv_events {
            return FeedResult {
                refused: 1,
                ..FeedResult::default()
            };
        }
        let result = self.knowledge.offer(payload, now_ms);
        if let Ok(owner) = BatchOwner::decode(payload) {
            self.refresh_worker(owner.worker_id);
        }
        result
    }

    /// Ranks whose worker must be asked although no event says so: new ones, those that could not answer before, and
    /// those that are not believed. Each is named once and then waits for the answer or a failure.
    pub fn recoveries_due(&mut self, now_ms: u64) -> Vec<RecoveryWanted> {
        self.now_ms = self.now_ms.max(now_ms);
        for rank in self.trust.restorations_due(now_ms) {
            self.knowledge.feed.restore_needed(rank);
        }
        let due = self.knowledge.feed.recoveries_due(now_ms);
        for wanted in &due {
            self.refresh_rank(wanted.rank);
        }
        due
    }

    /// Begins to apply a worker's answer. Call [`Self::step_recovery`] until it has a result.
    pub fn begin_recovery(
        &mut self,
        rank: WorkerRank,
        answer: ParsedRecovery,
        now_ms: u64,
    ) -> RecoveryProgress {
        self.now_ms = self.now_ms.max(now_ms);
        let progress = self.knowledge.begin_recovery(rank, answer, now_ms);
        self.refresh_rank(rank);
        progress
    }

    /// Does about `max_blocks` blocks' work of a recovery; the result when that was the last.
    pub fn step_recovery(
        &mut self,
        rank: WorkerRank,
        progress: &mut RecoveryProgress,
        (max_blocks, now_ms): (usize, u64),
    ) -> Option<FeedResult> {
        let result = self.knowledge.step_recovery(progress, max_blocks, now_ms);
        if result.is_some() {
            self.refresh_rank(rank);
        }
        result
    }

    /// Applies a worker's answer, the encoded `WorkerKvQueryResponse` items, in one go.
    pub fn finish_recovery(
        &mut self,
        rank: WorkerRank,
        items: &[Vec<u8>],
        now_ms: u64,
    ) -> FeedResult {
        let answer = ParsedRecovery::parse(rank, items);
        let mut progress = self.begin_recovery(rank, answer, now_ms);
        loop {
            let step = (STEP_BLOCKS, now_ms);
            if let Some(result) = self.step_recovery(rank, &mut progress, step) {
                return result;
            }
        }
    }

    /// The worker did not answer: its content stays, but is not believed.
    pub fn fail_recovery(&mut self, rank: WorkerRank, now_ms: u64) -> FeedResult {
        self.now_ms = self.now_ms.max(now_ms);
        let result = self.knowledge.feed.fail_recovery(rank, now_ms);
        self.refresh_rank(rank);
        result
    }

    /// Events of a rank may have been lost unseen. Ask [`Self::recoveries_due`] next.
    pub fn restore_needed(&mut self, rank: WorkerRank) {
        self.knowledge.feed.restore_needed(rank);
        self.refresh_rank(rank);
    }

    /// Compares what a decision promised with what the engine says it had.
    pub(super) fn compare(&mut self, rank: WorkerRank, promise: (u64, u64), reported: u64) {
        if self.fleet.position(rank).is_none() {
            return;
        }
        let (predicted, vouched) = promise;
        self.trust.count(rank, predicted, reported);
        let Some(feed) = self.knowledge.feed.health(rank) else {
            return;
        };
        let answer = Answer {
            promised: vouched,
            reported,
            now_ms: self.now_ms,
        };
        if vouched > 0 && self.trust.judge(rank, answer, &feed) {
            self.refresh_rank(rank);
        }
    }

    /// Works out again what every rank's overlap is taken from.
    pub(super) fn refresh_sources(&mut self) {
        self.sources.clear();
        self.sources.resize(self.fleet.ranks.len(), Source::Routing);
        for rank in self.fleet.ranks.clone() {
            self.refresh_rank(rank);
        }
    }

    fn refresh_worker(&mut self, worker_id: u64) {
        for rank in self.fleet.ranks_of(worker_id).to_vec() {
            self.refresh_rank(rank);
        }
    }

    fn refresh_rank(&mut self, rank: WorkerRank) {
        let Some(at) = self.fleet.position(rank) else {
            return;
        };
        self.sources[at] = match self.knowledge.feed.health(rank) {
            None => Source::Routing,
            Some(feed) => {
                self.trust.observe(rank, &feed, self.now_ms);
                match feed.state {
                    _ if self.trust.is_doubted(rank) => Source::Routing,
                    FeedState::Live => Source::Events,
                    FeedState::Waiting | FeedState::Recovering => Source::Both,
                    FeedState::Demoted => Source::Routing,
                }
            }
        };
    }
}
