//! A router's whole knowledge and bookkeeping behind one door: who the workers are, what they hold, what they work on,
//! and what was decided.

use std::fmt;

use super::bookings::{Booking, Bookings};
use super::decisions::{DecisionContext, DecisionRing, RequestOutcome};
use super::fleet::{Fleet, MAX_RANKS_PER_WORKER, WorkerFacts};
use super::knowledge::Knowledge;
use super::scratch::View;
use super::settings::PlacementSettings;
use super::source::Source;
use super::trust::Trust;
use crate::index::WorkerRank;
use crate::selection::{InvalidSetting, SeededRandom};
use crate::sequences::ActiveSequences;

/// Places requests. Not shared between threads by itself; the owner locks.
#[derive(Debug)]
pub struct Placement {
    pub(super) settings: PlacementSettings,
    pub(super) context: DecisionContext,
    pub(super) fleet: Fleet,
    /// What each rank's overlap is taken from; entry `i` belongs to rank `i` of the fleet.
    pub(super) sources: Vec<Source>,
    pub(super) knowledge: Knowledge,
    pub(super) trust: Trust,
    /// The latest time that was told.
    pub(super) now_ms: u64,
    pub(super) sequences: ActiveSequences,
    pub(super) bookings: Bookings,
    pub(super) random: SeededRandom,
    /// Round-robin decisions so far.
    pub(super) turn: u64,
    pub(super) ring: DecisionRing,
    /// Memory that every decision needs and none keeps.
    pub(super) hashes: Vec<u64>,
    pub(super) sequence: Vec<u64>,
    pub(super) view: View,
}

/// Settings that no placement can be made of.
#[derive(Debug, Clone, PartialEq)]
pub enum InvalidPlacement {
    /// Blocks of no tokens.
    NoBlockSize,
    /// A weight.
    Weight(InvalidSetting),
}

impl fmt::Display for InvalidPlacement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBlockSize => formatter.write_str("the block size is 0"),
            Self::Weight(invalid) => invalid.fmt(formatter),
        }
    }
}

impl std::error::Error for InvalidPlacement {}

/// A booking that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freed {
    /// Where it was.
    pub rank: WorkerRank,
    /// Prompt tokens that were taken to be cached there.
    pub predicted_cached_tokens: u64,
}

impl Placement {
    /// Nobody to choose yet.
    ///
    /// # Errors
    /// When the settings make no sense.
    pub fn new(settings: PlacementSettings) -> Result<Self, InvalidPlacement> {
        if settings.block_size == 0 {
            return Err(InvalidPlacement::NoBlockSize);
        }
        settings.cost.validate().map_err(InvalidPlacement::Weight)?;
        Ok(Self {
            context: DecisionContext {
                endpoint: settings.endpoint.clone(),
                router_id: settings.router_id,
                block_size: settings.block_size,
            },
            fleet: Fleet::default(),
            sources: Vec::new(),
            knowledge: Knowledge::new(&settings),
            trust: Trust::default(),
            now_ms: 0,
            sequences: ActiveSequences::new(settings.sequences),
            bookings: Bookings::default(),
            random: SeededRandom::new(settings.seed),
            turn: 0,
            ring: DecisionRing::new(settings.decision_ring_bytes),
            hashes: Vec::new(),
            sequence: Vec::new(),
            view: View::default(),
            settings,
        })
    }

    /// Adds a worker or replaces what is known of it. Ranks above [`MAX_RANKS_PER_WORKER`] are left out.
    pub fn set_worker(&mut self, worker: &WorkerFacts) {
        let worker = WorkerFacts {
            dp_size: worker.dp_size.clamp(1, MAX_RANKS_PER_WORKER),
            ..worker.clone()
        };
        for rank in self.fleet.set(&worker) {
            self.forget_rank(rank);
            let gone = self.sequences.remove_rank(rank);
            self.end_all(&gone);
        }
        for rank in self.fleet.ranks_of(worker.worker_id) {
            if worker.kv_events && self.settings.use_kv_events {
                self.knowledge.feed.add_rank(*rank);
            } else {
                self.knowledge.silence(*rank);
            }
        }
        self.refresh_sources();
    }

    /// Forgets a worker; returns the ids of the bookings that went with it.
    pub fn remove_worker(&mut self, worker_id: u64) -> Vec<String> {
        for rank in self.fleet.remove(worker_id) {
            self.forget_rank(rank);
        }
        self.refresh_sources();
        let gone = self.sequences.remove_worker(worker_id);
        self.end_all(&gone);
        gone
    }

    /// A worker may not be chosen any more; its bookings stay until they end or expire.
    pub fn retire_worker(&mut self, worker_id: u64) {
        for rank in self.fleet.remove(worker_id) {
            self.forget_rank(rank);
            self.sequences.forget_idle(rank);
        }
        self.refresh_sources();
    }

    /// A rank went over its busy threshold, or under it again.
    pub fn set_overloaded(&mut self, rank: WorkerRank, overloaded: bool) {
        if let Some(at) = self.fleet.position(rank) {
            self.fleet.overloaded[at] = overloaded;
        }
    }

    /// The first output token came. Returns whether the request is booked.
    pub fn prefill_done(&mut self, id: &str, now_ms: u64) -> bool {
        self.sequences.mark_prefill_completed(id, now_ms)
    }

    /// Output has filled one more block. Returns whether the request is booked.
    pub fn output_block(&mut self, id: &str, now_ms: u64) -> bool {
        let Some(booking) = self.bookings.get_mut(id) else {
            return false;
        };
        booking.output_blocks = booking.output_blocks.saturating_add(1);
        if self.settings.track_output_blocks {
            let remaining = booking.remaining(self.settings.block_size);
            self.sequences.add_output_block(id, remaining, now_ms)
        } else {
            self.sequences.touch(id, now_ms)
        }
    }

    /// The request ended, however it ended.
    pub fn free(&mut self, id: &str, outcome: Option<RequestOutcome>) -> Option<Freed> {
        let booking = self.bookings.remove(id)?;
        self.sequences.free(id);
        self.forget_retired(booking.rank);
        if let Some(reported) = outcome.as_ref().and_then(RequestOutcome::engine_reported) {
            let promise = (booking.predicted_cached_tokens, booking.vouched_tokens);
            self.compare(booking.rank, promise, u64::from(reported));
        }
        if let Some(sequence) = booking.decision {
            self.ring.end(sequence, outcome);
        }
        Some(Freed {
            rank: booking.rank,
            predicted_cached_tokens: booking.predicted_cached_tokens,
        })
    }

    /// Frees requests that nothing was heard of for too long, and drops guesses that are too old; returns the requests'
    /// ids.
    pub fn expire(&mut self, now_ms: u64) -> Vec<String> {
        self.now_ms = self.now_ms.max(now_ms);
        self.knowledge.expire(now_ms);
        let gone = self.sequences.expire(now_ms);
        self.end_all(&gone);
        gone
    }

    /// Memory it takes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.fleet.bytes()
            + self.knowledge.bytes()
            + self.trust.bytes()
            + self.sequences.bytes()
            + self.bookings.bytes()
            + self.ring.bytes()
    }

    fn forget_rank(&mut self, rank: WorkerRank) {
        self.knowledge.remove_rank(rank);
        self.trust.remove(rank);
    }

    /// Forgets a rank that may not be chosen any more and whose last booking has ended.
    fn forget_retired(&mut self, rank: WorkerRank) {
        if self.fleet.position(rank).is_none() {
            self.sequences.forget_idle(rank);
        }
    }

    fn end_all(&mut self, ids: &[String]) {
        for id in ids {
            let Some(Booking { rank, decision, .. }) = self.bookings.remove(id) else {
                continue;
            };
            self.forget_retired(rank);
            if let Some(sequence) = decision {
                self.ring.end(sequence, None);
            }
        }
    }
}
