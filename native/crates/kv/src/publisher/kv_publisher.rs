//! The publisher as its owners use it: any thread may call it, and a snapshot that takes long does not hold up frames.
//!
//! Guarantees: ids are dense per rank; an answer covers everything accepted before it, and nothing of what follows;
//! whatever cannot be read or was lost empties the rank instead of leaving it wrong.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use prost::Message;

use super::answer::Answer;
use super::intake::Intake;
use super::mocker_records::{MockerRecordsError, read_records};
use super::options::{InvalidOption, PublisherOptions};
use super::rank_log::Range;
use crate::events::{CacheEvent, CacheEventData, DecodeError, EventCounters, FramePlace};
use crate::index::{CacheTier, ExactIndex, ExactOptions, IndexStats, KvIndex, WorkerRank};
use crate::wire::WorkerKvQueryRequest;

/// Events that may wait for the index while a snapshot is made of it; then frames wait too.
const MAX_BACKLOG: usize = 1 << 16;

/// A worker's publisher.
#[derive(Debug)]
pub struct KvPublisher {
    options: PublisherOptions,
    /// Held for microseconds. Whoever holds it may only try for the index.
    intake: Mutex<Intake>,
    /// Held as long as a snapshot takes. Whoever holds it may wait for the intake.
    index: Mutex<ExactIndex>,
}

/// Counts and sizes of a publisher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublisherStats {
    /// What happened to the engine's frames, over all sources.
    pub counters: EventCounters,
    /// Sizes of the worker's own index.
    pub index: IndexStats,
    /// Bytes of everything, the index included.
    pub bytes: usize,
    /// (rank, last event id) of every rank that has told anything.
    pub last_event_ids: Vec<(u32, u64)>,
    /// Batches thrown away because nobody took them.
    pub dropped_batches: u64,
    /// Changes of ranks beyond the possible number.
    pub ignored_ranks: u64,
}

impl KvPublisher {
    /// A publisher that has seen nothing.
    ///
    /// # Errors
    /// When a setting cannot be.
    pub fn new(options: PublisherOptions) -> Result<Self, InvalidOption> {
        options.check()?;
        Ok(Self {
            options,
            intake: Mutex::new(Intake::new(options)),
            index: Mutex::new(ExactIndex::new(ExactOptions {
                budget_bytes: Some(options.index_budget_bytes),
            })),
        })
    }

    /// Takes one frame of the socket of rank `source`; what the places mean says [`crate::EngineEventStream::accept`].
    ///
    /// # Errors
    /// When the frame cannot be read. The source's ranks are empty then: what the frame removed is not known. The same
    /// happens, without an error, for a frame with a damaged event in it.
    pub fn accept_frame(
        &self,
        source: u32,
        sequence: u64,
        payload: &[u8],
    ) -> Result<FramePlace, DecodeError> {
        self.change(|intake| intake.accept_frame(source, sequence, payload))
    }

    /// Gives up the frames of `source` before `next`; if any were missing, its ranks are empty then. Returns the next
    /// frame expected.
    pub fn skip_to(&self, source: u32, next: u64) -> u64 {
        self.change(|intake| intake.skip_to(source, next))
    }

    /// Takes a simulated engine's records.
    ///
    /// # Errors
    /// When they cannot be read; every rank is empty then.
    pub fn accept_mocker_records(&self, records: &[u8]) -> Result<(), MockerRecordsError> {
        let records = read_records(records);
        let dp_start = self.options.dp_start;
        self.change(|intake| match records {
            Ok(records) => {
                for (rank, data) in records {
                    let dp_rank = dp_start.saturating_add(u32::from(rank));
                    intake.push(dp_rank, CacheTier::Device, data);
                }
                Ok(())
            }
            Err(error) => {
                intake.clear(None);
                Err(error)
            }
        })
    }

    /// Takes one change that is in no engine's format.
    pub fn accept_change(&self, dp_rank: u32, tier: CacheTier, data: CacheEventData) {
        self.change(|intake| intake.push(dp_rank, tier, data));
    }

    /// The cache of one rank, or of all, was dropped.
    pub fn clear(&self, dp_rank: Option<u32>) {
        self.change(|intake| intake.clear(dp_rank));
    }

    /// Adds an event that changes nothing to every rank that has told anything, or to the first rank. A lost event, and a
    /// new start, are noticed by the next event; call this when none has come for a while, so that an idle worker's are
    /// not missed for ever.
    pub fn beat(&self) {
        self.change(Intake::beat);
    }

    /// The oldest encoded `KvEventBatch` that was not taken yet, of at most 128 KiB; none when everything was.
    pub fn flush(&self) -> Option<Vec<u8>> {
        self.change(|intake| {
            intake.settle();
            intake.take_batch()
        })
    }

    /// Answers an encoded `WorkerKvQueryRequest` with encoded `WorkerKvQueryResponse` items. Takes as long as a snapshot
    /// takes: tens of milliseconds for a hundred thousand blocks.
    #[must_use]
    pub fn query(&self, request: &[u8]) -> Vec<Vec<u8>> {
        let Ok(request) = WorkerKvQueryRequest::decode(request) else {
            let request = WorkerKvQueryRequest::default();
            return self.answer(&request, 0).error("the request cannot be read");
        };
        self.recent(&request)
            .unwrap_or_else(|| self.snapshot(&request))
    }

    /// Counts and sizes; those of the index may be old while a snapshot is made.
    #[must_use]
    pub fn stats(&self) -> PublisherStats {
        let mut intake = self.intake();
        if let Some(mut index) = try_lock(&self.index) {
            apply(&mut index, &intake.take_backlog());
            intake.index_stats = index.stats();
        }
        PublisherStats {
            counters: intake.counters(),
            index: intake.index_stats,
            bytes: intake.index_stats.bytes + intake.bytes(),
            last_event_ids: intake.last_event_ids(),
            dropped_batches: intake.dropped_batches(),
            ignored_ranks: intake.ignored_ranks(),
        }
    }

    /// Answers from the recent events; none when only a snapshot will do.
    fn recent(&self, request: &WorkerKvQueryRequest) -> Option<Vec<Vec<u8>>> {
        let mut intake = self.intake();
        intake.settle();
        let answer = self.answer(request, intake.last_event_id(request.dp_rank));
        if request.worker_id != self.options.worker_id {
            return Some(answer.error("the request is for another worker"));
        }
        let start = request.start_event_id?;
        if request.end_event_id.is_some_and(|end| end < start) {
            return Some(answer.invalid_range());
        }
        if request.epoch != self.options.epoch {
            return None;
        }
        match intake.range(request.dp_rank, start) {
            Range::Events(events) => Some(answer.events(&events)),
            Range::TooNew => Some(answer.too_new()),
            Range::TooOld => None,
        }
    }

    fn snapshot(&self, request: &WorkerKvQueryRequest) -> Vec<Vec<u8>> {
        let mut index = lock(&self.index);
        let (backlog, last_event_id) = {
            let mut intake = self.intake();
            intake.settle();
            let last_event_id = intake.last_event_id(request.dp_rank);
            (intake.take_backlog(), last_event_id)
        };
        apply(&mut index, &backlog);
        let rank = WorkerRank::new(self.options.worker_id, request.dp_rank);
        let snapshot = index.snapshot(&[rank]);
        drop(index);
        self.answer(request, last_event_id).snapshot(&snapshot)
    }

    fn answer<'a>(&'a self, request: &'a WorkerKvQueryRequest, last_event_id: u64) -> Answer<'a> {
        Answer {
            options: &self.options,
            request,
            last_event_id,
        }
    }

    /// Changes the intake, and brings the index up to it unless a snapshot is being made.
    fn change<T>(&self, work: impl FnOnce(&mut Intake) -> T) -> T {
        let mut intake = self.intake();
        let result = work(&mut intake);
        if let Some(mut index) = try_lock(&self.index) {
            apply(&mut index, &intake.take_backlog());
        } else if intake.backlog_len() > MAX_BACKLOG {
            drop(intake);
            let mut index = lock(&self.index);
            apply(&mut index, &self.intake().take_backlog());
        }
        result
    }

    fn intake(&self) -> MutexGuard<'_, Intake> {
        lock(&self.intake)
    }
}

fn apply(index: &mut ExactIndex, backlog: &[Arc<CacheEvent>]) {
    for event in backlog {
        index.apply(event.rank, event.tier, &event.change());
    }
}

/// Whether a panic left things half done is for the caller to judge, who sees it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn try_lock<T>(mutex: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match mutex.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(error)) => Some(error.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}
