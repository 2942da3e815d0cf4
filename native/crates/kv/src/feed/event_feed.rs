//! All ranks' streams of one endpoint.

use std::collections::BTreeMap;

use prost::Message;

use super::counters::FeedCounters;
use super::cursor::{Cursor, FeedState, RankFeed, RecoveryWanted};
use super::feed_result::FeedResult;
use super::refusal::Refusal;
use crate::events::{CacheEvent, CacheEventData};
use crate::index::{ExactIndex, KvIndex, WorkerRank};
use crate::wire::KvEventBatch;

/// Twice what a publisher of ours sends at once; applying it takes some milliseconds. What is larger counts as lost, and
/// is asked for like anything lost: answers are applied in steps.
const MAX_BATCH_BYTES: usize = 256 << 10;
/// Blocks of dropped content that are taken apart with every batch.
const SWEPT_PER_BATCH: usize = 256;

/// Cursors over one index. Every rank is in one of the states of [`FeedState`]; what the index holds of a live rank is
/// what its worker held after the event at the cursor.
#[derive(Debug)]
pub struct EventFeed {
    block_size: u32,
    pub(super) ranks: BTreeMap<WorkerRank, Cursor>,
    pub(super) counters: FeedCounters,
}

impl EventFeed {
    /// A feed without ranks.
    #[must_use]
    pub fn new(block_size: u32) -> Self {
        Self {
            block_size,
            ranks: BTreeMap::new(),
            counters: FeedCounters::default(),
        }
    }

    /// Makes a rank known; events of others are refused. Idempotent.
    pub fn add_rank(&mut self, rank: WorkerRank) {
        self.ranks.entry(rank).or_insert_with(Cursor::new);
    }

    /// Forgets a rank's cursor and what was buffered; its content is the caller's to remove.
    pub fn remove_rank(&mut self, rank: WorkerRank) {
        self.ranks.remove(&rank);
    }

    /// Trusts nothing of a rank any more: events may have been lost unseen, or what it holds has proved wrong. The content
    /// stays until everything has come again. Ask [`Self::recoveries_due`] next.
    pub fn restore_needed(&mut self, rank: WorkerRank) {
        if let Some(cursor) = self.ranks.get_mut(&rank) {
            cursor.distrust();
        }
    }

    /// Takes one encoded `KvEventBatch`. Bytes of any kind are a count, never a panic.
    pub fn offer(&mut self, index: &mut ExactIndex, payload: &[u8], now_ms: u64) -> FeedResult {
        let mut result = FeedResult::default();
        match self.read(payload) {
            Ok(batch) => {
                self.counters.version += 1;
                self.take_batch(index, &batch, now_ms, &mut result);
            }
            Err(reason) => self.counters.refuse(reason, &mut result),
        }
        self.counters.stale += result.stale;
        index.sweep(SWEPT_PER_BATCH);
        result
    }

    /// Ranks to ask for although no event says so: new ones, and those whose worker may be asked again.
    pub fn recoveries_due(&mut self, now_ms: u64) -> Vec<RecoveryWanted> {
        let due = |(&rank, cursor): (&WorkerRank, &mut Cursor)| {
            let wanted = cursor.is_due(now_ms).then(|| cursor.ask(now_ms))??;
            Some(wanted.of(rank))
        };
        self.ranks.iter_mut().filter_map(due).collect()
    }

    /// The worker did not answer: the rank's content and cursor stay, and it is asked again after a while.
    pub fn fail_recovery(&mut self, rank: WorkerRank, now_ms: u64) -> FeedResult {
        if let Some(cursor) = self.ranks.get_mut(&rank)
            && cursor.state != FeedState::Live
        {
            cursor.demote(now_ms);
        }
        FeedResult::default()
    }

    /// State of a rank.
    #[must_use]
    pub fn state(&self, rank: WorkerRank) -> Option<FeedState> {
        self.ranks.get(&rank).map(|cursor| cursor.state)
    }

    /// Health of a rank.
    #[must_use]
    pub fn health(&self, rank: WorkerRank) -> Option<RankFeed> {
        self.ranks.get(&rank).map(Cursor::health)
    }

    /// What became of the events so far.
    #[must_use]
    pub fn counters(&self) -> &FeedCounters {
        &self.counters
    }

    /// Bytes of what waits in buffers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let buffers = self.ranks.values().map(|cursor| cursor.buffer.bytes());
        buffers.sum::<usize>() + self.ranks.len() * size_of::<Cursor>()
    }

    /// The batch of a known worker.
    fn read(&self, payload: &[u8]) -> Result<KvEventBatch, Refusal> {
        if payload.len() > MAX_BATCH_BYTES {
            return Err(Refusal::TooLarge);
        }
        let batch = KvEventBatch::decode(payload).map_err(|_| Refusal::Unreadable)?;
        let mut ranks = self.ranks.range(ranks_of(batch.worker_id));
        if ranks.next().is_none() {
            Err(Refusal::UnknownWorker)
        } else if batch.block_size != self.block_size {
            Err(Refusal::BlockSize)
        } else if batch.epoch == 0 {
            Err(Refusal::Impossible)
        } else {
            Ok(batch)
        }
    }

    fn take_batch(
        &mut self,
        index: &mut ExactIndex,
        batch: &KvEventBatch,
        now_ms: u64,
        result: &mut FeedResult,
    ) {
        let mut applier = Applier {
            index,
            counters: &mut self.counters,
            result,
            now_ms,
        };
        // A publisher that has started anew says so with any rank's event, and means all of them.
        for (&rank, cursor) in self.ranks.range_mut(ranks_of(batch.worker_id)) {
            cursor.note_batch(batch.epoch);
            if cursor.is_restart(batch.epoch) {
                applier.restart(rank, cursor, batch.epoch);
            }
        }
        for event in &batch.events {
            let Some(event) = event.to_cache_event(batch.worker_id) else {
                applier.refuse(Refusal::Impossible);
                continue;
            };
            match self.ranks.get_mut(&event.rank) {
                Some(cursor) => applier.take(cursor, batch.epoch, event),
                None => applier.refuse(Refusal::UnknownRank),
            }
        }
    }
}

/// Applies events to the index and notes what came of it.
pub(super) struct Applier<'a> {
    pub(super) index: &'a mut ExactIndex,
    pub(super) counters: &'a mut FeedCounters,
    pub(super) result: &'a mut FeedResult,
    pub(super) now_ms: u64,
}

impl Applier<'_> {
    fn refuse(&mut self, reason: Refusal) {
        self.counters.refuse(reason, self.result);
    }

    /// Takes one live event.
    fn take(&mut self, cursor: &mut Cursor, epoch: u64, event: CacheEvent) {
        if cursor.is_past(epoch) {
            self.result.stale += 1;
            return;
        }
        cursor.last_event_ms = self.now_ms;
        let begins = cursor.is_untouched() && event.event_id == 1;
        let clears = event.data == CacheEventData::Cleared
            && (cursor.epoch != epoch || event.event_id > cursor.last);
        match cursor.state {
            FeedState::Live => self.advance(cursor, epoch, event),
            _ if begins || clears => self.begin_anew(cursor, epoch, &event),
            FeedState::Recovering => cursor.buffer.push(epoch, event),
            FeedState::Waiting => {
                let rank = event.rank;
                cursor.buffer.push(epoch, event);
                self.ask(rank, cursor);
            }
            FeedState::Demoted => self.result.stale += 1,
        }
    }

    /// Takes the next event of a live rank, or finds that some are missing before it.
    fn advance(&mut self, cursor: &mut Cursor, epoch: u64, event: CacheEvent) {
        if event.event_id <= cursor.last {
            self.result.stale += 1;
            return;
        }
        let is_next = event.event_id == cursor.last + 1;
        cursor.gaps += u64::from(!is_next);
        if is_next || event.data == CacheEventData::Cleared {
            self.apply(&event);
            cursor.last = event.event_id;
        } else {
            let rank = event.rank;
            cursor.buffer.push(epoch, event);
            self.ask(rank, cursor);
        }
    }

    /// Takes an event before which there is nothing, whatever is missing; a recovery that runs has lost its sense.
    fn begin_anew(&mut self, cursor: &mut Cursor, epoch: u64, event: &CacheEvent) {
        let mut buffered = std::mem::take(&mut cursor.buffer);
        cursor.settle(epoch, event.event_id);
        cursor.generation += 1;
        cursor.go_live();
        self.apply(event);
        while buffered.epoch() == epoch
            && let Some(event) = buffered.pop()
        {
            self.take(cursor, epoch, event);
        }
    }

    /// Empties a rank whose publisher has started anew, and asks for everything.
    pub(super) fn restart(&mut self, rank: WorkerRank, cursor: &mut Cursor, epoch: u64) {
        self.index.retire_rank(rank);
        cursor.restart(epoch);
        self.ask(rank, cursor);
    }

    pub(super) fn ask(&mut self, rank: WorkerRank, cursor: &mut Cursor) {
        if let Some(wanted) = cursor.ask(self.now_ms) {
            self.result.recoveries.push(wanted.of(rank));
        }
    }

    pub(super) fn apply(&mut self, event: &CacheEvent) {
        let status = self.index.apply(event.rank, event.tier, &event.change());
        self.counters.note(&event.data, status);
        self.result.applied += 1;
    }
}

fn ranks_of(worker_id: u64) -> std::ops::RangeInclusive<WorkerRank> {
    WorkerRank::new(worker_id, 0)..=WorkerRank::new(worker_id, u32::MAX)
}
