//! One engine publisher's frames, from raw bytes to cache events with dense ids.
//!
//! Guarantees: a frame is applied whole or not at all; ids are dense per rank; bytes of any kind give an error and a
//! count, never a panic. Does not fetch what was lost: on a gap the caller asks the publisher's replay socket.

use std::collections::BTreeMap;

use super::cache_event::{CacheEvent, CacheEventData};
use super::coalescer::Coalescer;
use super::convert::{BlockFormat, Converter, RankCache};
use super::counters::EventCounters;
use super::decode::decode_batch;
use super::decode_error::DecodeError;
use super::sequence_tracker::{FramePlace, SequenceTracker};
use super::wire::WireBatch;
use crate::index::{CacheTier, WorkerRank};

/// Ranks behind one publisher; data-parallel engines have one publisher per rank, so this is generous.
const MAX_RANKS: usize = 1024;
/// Four times what a prompt of a million tokens takes; what a frame of any size costs stays bounded.
const MAX_FRAME_BYTES: usize = 32 << 20;

/// Settings of an [`EngineEventStream`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOptions {
    /// Whose events these are; batches that name a rank themselves override it.
    pub rank: WorkerRank,
    /// How blocks are cut and hashed.
    pub format: BlockFormat,
    /// Blocks per emitted event; 0 emits every event by itself.
    pub max_batch_blocks: usize,
    /// Blocks per rank whose copies are counted.
    pub max_held_blocks: usize,
}

impl StreamOptions {
    /// Plain blocks of `block_size` tokens, joined to events of 128 blocks, copies counted for 16 M blocks.
    #[must_use]
    pub fn new(rank: WorkerRank, block_size: usize) -> Self {
        Self {
            rank,
            format: BlockFormat {
                block_size,
                is_eagle: false,
                image_token: None,
            },
            max_batch_blocks: 128,
            max_held_blocks: 1 << 24,
        }
    }
}

/// Decoder, converter and bookkeeping of one publisher.
#[derive(Debug)]
pub struct EngineEventStream {
    options: StreamOptions,
    converter: Converter,
    tracker: SequenceTracker,
    ranks: BTreeMap<u32, RankStream>,
    counters: EventCounters,
}

#[derive(Debug)]
struct RankStream {
    cache: RankCache,
    coalescer: Coalescer,
    next_event_id: u64,
}

impl EngineEventStream {
    /// A stream that has seen nothing.
    #[must_use]
    pub fn new(options: StreamOptions) -> Self {
        Self {
            options,
            converter: Converter::new(options.format),
            tracker: SequenceTracker::default(),
            ranks: BTreeMap::new(),
            counters: EventCounters::default(),
        }
    }

    /// Takes one frame, live or replayed, and appends what it changes to `out`.
    ///
    /// On [`FramePlace::Gap`] nothing was applied: replay from `missing_from` through this function and offer the frame
    /// again, or give the missing ones up with [`Self::skip_to`] first. On [`FramePlace::Restarted`] `out` begins with a
    /// `Cleared` for every known rank.
    ///
    /// # Errors
    /// When the payload cannot be read. Its number counts as seen if it was the next one, so that the stream goes on.
    pub fn accept(
        &mut self,
        sequence: u64,
        payload: &[u8],
        out: &mut Vec<CacheEvent>,
    ) -> Result<FramePlace, DecodeError> {
        let batch = match self.decode(payload) {
            Ok(batch) => batch,
            Err(error) => return Err(self.refuse(sequence, error)),
        };
        let place = self.tracker.place(sequence, batch.timestamp);
        match place {
            FramePlace::Gap { .. } => {
                self.counters.gaps += 1;
                return Ok(place);
            }
            FramePlace::Stale => {
                self.counters.stale_batches += 1;
                return Ok(place);
            }
            FramePlace::Restarted => {
                self.counters.restarts += 1;
                self.clear(out);
            }
            FramePlace::First | FramePlace::Next => {}
        }
        self.tracker.advance(sequence, batch.timestamp);
        self.apply(batch, out);
        Ok(place)
    }

    /// Gives up the missing frames before `next`; returns how many.
    pub fn skip_to(&mut self, next: u64) -> u64 {
        let lost = self.tracker.skip_to(next);
        self.counters.lost_batches += lost;
        lost
    }

    /// Emits what waits for a continuation. Call it when no frame came for the batching time.
    pub fn flush(&mut self, out: &mut Vec<CacheEvent>) {
        for (&dp_rank, stream) in &mut self.ranks {
            let rank = WorkerRank::new(self.options.rank.worker_id, dp_rank);
            let counters = &mut self.counters;
            let next_event_id = &mut stream.next_event_id;
            stream.coalescer.flush(|tier, data| {
                out.push(numbered(rank, tier, data, next_event_id, counters));
            });
        }
    }

    /// Forgets every rank's blocks and tells so; ids go on.
    pub fn clear(&mut self, out: &mut Vec<CacheEvent>) {
        let ranks: Vec<u32> = self.ranks.keys().copied().collect();
        for dp_rank in ranks {
            self.clear_rank(dp_rank, out);
        }
    }

    /// Forgets one rank's blocks and tells so, if the stream knows the rank.
    pub fn clear_rank(&mut self, dp_rank: u32, out: &mut Vec<CacheEvent>) {
        let Some(stream) = self.ranks.get_mut(&dp_rank) else {
            return;
        };
        stream.cache = RankCache::new(self.options.max_held_blocks);
        stream.coalescer.discard();
        out.push(numbered(
            WorkerRank::new(self.options.rank.worker_id, dp_rank),
            CacheTier::Device,
            CacheEventData::Cleared,
            &mut stream.next_event_id,
            &mut self.counters,
        ));
    }

    /// Number of the last frame taken.
    #[must_use]
    pub fn last_sequence(&self) -> Option<u64> {
        self.tracker.last()
    }

    /// Id of the last event given out for a rank; 0 before the first.
    #[must_use]
    pub fn last_event_id(&self, dp_rank: u32) -> u64 {
        self.ranks
            .get(&dp_rank)
            .map_or(0, |stream| stream.next_event_id - 1)
    }

    /// Blocks whose copies are counted, over all ranks.
    #[must_use]
    pub fn held_blocks(&self) -> usize {
        self.ranks
            .values()
            .map(|stream| stream.cache.held.len())
            .sum()
    }

    /// Counts since the stream began.
    #[must_use]
    pub fn counters(&self) -> &EventCounters {
        &self.counters
    }

    fn decode<'a>(&self, payload: &'a [u8]) -> Result<WireBatch<'a>, DecodeError> {
        if payload.len() > MAX_FRAME_BYTES {
            return Err(DecodeError::TooLarge);
        }
        let batch = decode_batch(payload)?;
        let dp_rank = batch.dp_rank.unwrap_or(self.options.rank.dp_rank);
        if self.ranks.len() >= MAX_RANKS && !self.ranks.contains_key(&dp_rank) {
            return Err(DecodeError::TooManyRanks);
        }
        Ok(batch)
    }

    fn refuse(&mut self, sequence: u64, error: DecodeError) -> DecodeError {
        self.counters.refused[error.index()] += 1;
        let clock = self.tracker.clock();
        if self.tracker.place(sequence, clock) == FramePlace::Next {
            self.tracker.advance(sequence, clock);
        }
        error
    }

    fn apply(&mut self, batch: WireBatch<'_>, out: &mut Vec<CacheEvent>) {
        let counters = &mut self.counters;
        counters.batches += 1;
        counters.unknown_tags += batch.unknown_tags;
        for (total, count) in counters.refused.iter_mut().zip(batch.refused) {
            *total += count;
        }
        let dp_rank = batch.dp_rank.unwrap_or(self.options.rank.dp_rank);
        let rank = WorkerRank::new(self.options.rank.worker_id, dp_rank);
        let options = &self.options;
        let stream = self.ranks.entry(dp_rank).or_insert_with(|| RankStream {
            cache: RankCache::new(options.max_held_blocks),
            coalescer: Coalescer::new(options.max_batch_blocks),
            next_event_id: 1,
        });
        let next_event_id = &mut stream.next_event_id;
        for event in batch.events {
            if let Some((tier, data)) = self.converter.convert(event, &mut stream.cache, counters) {
                stream.coalescer.push(tier, data, |tier, data| {
                    out.push(numbered(rank, tier, data, next_event_id, counters));
                });
            }
        }
    }
}

fn numbered(
    rank: WorkerRank,
    tier: CacheTier,
    data: CacheEventData,
    next_event_id: &mut u64,
    counters: &mut EventCounters,
) -> CacheEvent {
    let event_id = *next_event_id;
    *next_event_id += 1;
    counters.emitted += 1;
    CacheEvent {
        rank,
        event_id,
        tier,
        data,
    }
}
