//! Everything between the engine and the numbered events: one stream per source, one log per rank.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::options::PublisherOptions;
use super::outbox::Outbox;
use super::rank_log::{Range, RankLog};
use crate::events::{
    CacheEvent, CacheEventData, DecodeError, EngineEventStream, EventCounters, FramePlace,
    StreamOptions,
};
use crate::index::{CacheTier, IndexStats, WorkerRank};
use crate::wire::{KvEvent, KvEventBatch};

/// Sources and ranks of one worker; generous.
const MAX_RANKS: usize = 1024;
/// Blocks of one rank whose copies are counted.
const MAX_HELD_BLOCKS: usize = 1 << 22;

#[derive(Debug)]
pub(super) struct Intake {
    options: PublisherOptions,
    streams: BTreeMap<u32, EngineEventStream>,
    logs: BTreeMap<u32, RankLog>,
    outbox: Outbox,
    /// Events that the index has not seen yet.
    backlog: Vec<Arc<CacheEvent>>,
    /// What the index said when it was last free.
    pub(super) index_stats: IndexStats,
    ignored_ranks: u64,
}

impl Intake {
    pub(super) fn new(options: PublisherOptions) -> Self {
        let header = KvEventBatch {
            worker_id: options.worker_id,
            epoch: options.epoch,
            block_size: u32::try_from(options.format.block_size).unwrap_or(u32::MAX),
            events: Vec::new(),
        };
        Self {
            options,
            streams: BTreeMap::new(),
            logs: BTreeMap::new(),
            outbox: Outbox::new(&header),
            backlog: Vec::new(),
            index_stats: IndexStats::default(),
            ignored_ranks: 0,
        }
    }

    pub(super) fn accept_frame(
        &mut self,
        source: u32,
        sequence: u64,
        payload: &[u8],
    ) -> Result<FramePlace, DecodeError> {
        let mut out = Vec::new();
        let stream = self.stream(source).ok_or(DecodeError::TooManyRanks)?;
        let before = stream.counters().refused_total();
        let place = stream.accept(sequence, payload, &mut out);
        if stream.counters().refused_total() > before {
            // What the refused part removed is still in the index: only an empty one is right for certain.
            stream.clear(&mut out);
        }
        self.take(out);
        place
    }

    pub(super) fn skip_to(&mut self, source: u32, next: u64) -> u64 {
        let mut out = Vec::new();
        let Some(stream) = self.stream(source) else {
            return 0;
        };
        if stream.skip_to(next) > 0 {
            stream.clear(&mut out);
        }
        let expected = stream
            .last_sequence()
            .map_or(0, |last| last.saturating_add(1));
        self.take(out);
        expected
    }

    /// Takes a change that comes from no stream.
    pub(super) fn push(&mut self, dp_rank: u32, tier: CacheTier, data: CacheEventData) {
        self.with_log(dp_rank, |log, emit| log.push(tier, data, emit));
    }

    /// Drops one rank's content, or every rank's.
    pub(super) fn clear(&mut self, dp_rank: Option<u32>) {
        let mut out = Vec::new();
        for stream in self.streams.values_mut() {
            match dp_rank {
                Some(dp_rank) => stream.clear_rank(dp_rank, &mut out),
                None => stream.clear(&mut out),
            }
        }
        self.take(out);
        let known: Vec<u32> = self.logs.keys().copied().collect();
        for known in known {
            if dp_rank.is_none_or(|dp_rank| dp_rank == known) {
                self.push(known, CacheTier::Device, CacheEventData::Cleared);
            }
        }
    }

    /// Numbers everything that waits for a continuation.
    pub(super) fn settle(&mut self) {
        let mut out = Vec::new();
        for stream in self.streams.values_mut() {
            stream.flush(&mut out);
        }
        self.take(out);
        let known: Vec<u32> = self.logs.keys().copied().collect();
        for dp_rank in known {
            self.with_log(dp_rank, |log, emit| log.settle(emit));
        }
    }

    /// Tells an event that changes nothing, of every known rank, or of the first one when none is.
    pub(super) fn beat(&mut self) {
        self.settle();
        let mut known: Vec<u32> = self.logs.keys().copied().collect();
        if known.is_empty() {
            known.push(self.options.dp_start);
        }
        for dp_rank in known {
            self.with_log(dp_rank, |log, emit| log.beat(emit));
        }
    }

    pub(super) fn take_batch(&mut self) -> Option<Vec<u8>> {
        self.outbox.take()
    }

    pub(super) fn take_backlog(&mut self) -> Vec<Arc<CacheEvent>> {
        std::mem::take(&mut self.backlog)
    }

    pub(super) fn backlog_len(&self) -> usize {
        self.backlog.len()
    }

    pub(super) fn range(&self, dp_rank: u32, start: u64) -> Range {
        self.logs
            .get(&dp_rank)
            .map_or(Range::TooNew, |log| log.range(start))
    }

    /// Last event of a rank; 0 before the first.
    pub(super) fn last_event_id(&self, dp_rank: u32) -> u64 {
        self.logs.get(&dp_rank).map_or(0, RankLog::last_event_id)
    }

    pub(super) fn last_event_ids(&self) -> Vec<(u32, u64)> {
        let ids = |(&dp_rank, log): (&u32, &RankLog)| (dp_rank, log.last_event_id());
        self.logs.iter().map(ids).collect()
    }

    pub(super) fn counters(&self) -> EventCounters {
        let mut sum = EventCounters::default();
        for stream in self.streams.values() {
            sum.add(stream.counters());
        }
        sum
    }

    pub(super) fn dropped_batches(&self) -> u64 {
        self.outbox.dropped()
    }

    pub(super) fn ignored_ranks(&self) -> u64 {
        self.ignored_ranks
    }

    /// Bytes outside the index, roughly: a counted block takes a table slot of 40 bytes.
    pub(super) fn bytes(&self) -> usize {
        let held: usize = self.streams.values().map(|s| s.held_blocks() * 40).sum();
        let logs: usize = self.logs.values().map(RankLog::bytes).sum();
        held + logs + self.outbox.bytes() + self.backlog.capacity() * 8
    }

    fn stream(&mut self, source: u32) -> Option<&mut EngineEventStream> {
        if self.streams.len() >= MAX_RANKS && !self.streams.contains_key(&source) {
            return None;
        }
        let options = &self.options;
        Some(self.streams.entry(source).or_insert_with(|| {
            EngineEventStream::new(StreamOptions {
                rank: WorkerRank::new(options.worker_id, source),
                format: options.format,
                max_batch_blocks: options.max_batch_blocks,
                max_held_blocks: MAX_HELD_BLOCKS,
            })
        }))
    }

    /// Numbers a stream's events anew: several sources may speak of one rank.
    fn take(&mut self, events: Vec<CacheEvent>) {
        for CacheEvent {
            rank, tier, data, ..
        } in events
        {
            self.with_log(rank.dp_rank, |log, emit| log.push_joined(tier, data, emit));
        }
    }

    fn with_log(
        &mut self,
        dp_rank: u32,
        work: impl FnOnce(&mut RankLog, &mut dyn FnMut(Arc<CacheEvent>)),
    ) {
        if self.logs.len() >= MAX_RANKS && !self.logs.contains_key(&dp_rank) {
            self.ignored_ranks += 1;
            return;
        }
        let options = &self.options;
        let log = self.logs.entry(dp_rank).or_insert_with(|| {
            let rank = WorkerRank::new(options.worker_id, dp_rank);
            RankLog::new(rank, options.ring_events, options.max_batch_blocks)
        });
        let (outbox, backlog) = (&mut self.outbox, &mut self.backlog);
        work(log, &mut |event| {
            outbox.push(&KvEvent::from_cache_event(&event));
            backlog.push(event);
        });
    }
}
