//! Where one rank's stream stands: which events the index has, and what is known to be missing.

use super::buffer::EventBuffer;
use crate::index::WorkerRank;

/// Starts of a publisher that are remembered as over, so that a late event of theirs is not taken for a new start.
const MAX_PAST: usize = 4;
/// Recoveries one after the other that leave something missing; then the rank waits.
const MAX_ROUNDS: u32 = 4;
/// Late batches of a start that is over; more than a network holds back.
const MAX_PAST_BATCHES: u32 = 64;
const FIRST_RETRY_MS: u64 = 500;
const MAX_RETRY_MS: u64 = 30_000;

/// How far a rank's part of the index can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeedState {
    /// Nothing is known and nobody was asked yet.
    Waiting,
    /// Everything up to the cursor is in the index.
    Live,
    /// The worker was asked; live events wait for its answer.
    Recovering,
    /// The worker could not answer; what the index has is old. It is asked again after a while.
    Demoted,
}

impl FeedState {
    /// Name in health reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Live => "live",
            Self::Recovering => "recovering",
            Self::Demoted => "demoted",
        }
    }
}

/// Health of one rank's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RankFeed {
    /// How far it can be trusted.
    pub state: FeedState,
    /// Start of the publisher that the cursor belongs to; 0 before the first.
    pub epoch: u64,
    /// Last event in the index.
    pub last_event_id: u64,
    /// Times that events were missing.
    pub gaps: u64,
    /// Answers that were applied, the first one included.
    pub resyncs: u64,
    /// When an event came last; 0 before the first.
    pub last_event_ms: u64,
}

/// A rank whose worker must be asked for what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecoveryWanted {
    /// The rank.
    pub rank: WorkerRank,
    /// Start of the publisher that `start_event_id` belongs to; 0 when everything is wanted.
    pub epoch: u64,
    /// First event wanted; none for everything.
    pub start_event_id: Option<u64>,
}

/// What a rank asks for: the first event, or everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) epoch: u64,
    pub(super) start_event_id: Option<u64>,
}

impl Wanted {
    pub(super) fn of(self, rank: WorkerRank) -> RecoveryWanted {
        RecoveryWanted {
            rank,
            epoch: self.epoch,
            start_event_id: self.start_event_id,
        }
    }
}

/// One rank's state.
#[derive(Debug)]
pub(super) struct Cursor {
    pub(super) state: FeedState,
    pub(super) epoch: u64,
    pub(super) last: u64,
    pub(super) buffer: EventBuffer,
    /// Only everything will do: the content before the cursor is unknown or not to be trusted.
    pub(super) needs_all: bool,
    /// Changes whenever an answer that is being applied has lost its sense.
    pub(super) generation: u64,
    pub(super) gaps: u64,
    pub(super) resyncs: u64,
    pub(super) last_event_ms: u64,
    past: Vec<u64>,
    /// Batches of starts that are taken to be over, since the last one of the present start.
    past_batches: u32,
    /// The unknown start that emptied the rank, and whether an answer has already contradicted it.
    restarted_by: Option<(u64, bool)>,
    /// The start that was known before that.
    replaced: u64,
    rounds: u32,
    failures: u32,
    retry_at_ms: u64,
}

impl Cursor {
    pub(super) fn new() -> Self {
        Self {
            state: FeedState::Waiting,
            epoch: 0,
            last: 0,
            buffer: EventBuffer::default(),
            needs_all: true,
            generation: 0,
            gaps: 0,
            resyncs: 0,
            last_event_ms: 0,
            past: Vec::new(),
            past_batches: 0,
            restarted_by: None,
            replaced: 0,
            rounds: 0,
            failures: 0,
            retry_at_ms: 0,
        }
    }

    pub(super) fn is_past(&self, epoch: u64) -> bool {
        self.past.contains(&epoch)
    }

    /// Notes a batch of the rank's worker, with events of this rank or without. A start that is taken to be over and goes on
    /// and on while the present one is silent is not over.
    pub(super) fn note_batch(&mut self, epoch: u64) {
        if self.is_past(epoch) {
            self.past_batches += 1;
            if self.past_batches > MAX_PAST_BATCHES {
                self.forgive(epoch);
            }
        } else {
            self.past_batches = 0;
        }
    }

    /// Takes a start for possible again.
    pub(super) fn forgive(&mut self, epoch: u64) {
        self.past.retain(|&past| past != epoch);
        self.past_batches = 0;
    }

    /// Whether a batch with this epoch tells of a start that the cursor does not know.
    pub(super) fn is_restart(&self, epoch: u64) -> bool {
        self.epoch != 0 && epoch != self.epoch && !self.is_past(epoch)
    }

    /// Whether nothing of this rank was ever seen, so that event 1 is the beginning of all there is.
    pub(super) fn is_untouched(&self) -> bool {
        self.epoch == 0 && self.restarted_by.is_none()
    }

    /// Forgets the position: another start of the publisher has been seen.
    pub(super) fn restart(&mut self, epoch: u64) {
        let contradicted = self
            .restarted_by
            .is_some_and(|(by, said)| by == epoch && said);
        self.restarted_by = Some((epoch, contradicted));
        self.replaced = self.epoch;
        self.set_position(0, 0);
        self.needs_all = true;
        self.generation += 1;
        self.rounds = 0;
    }

    /// Takes the position of an answer or a barrier. What it says about starts of the publisher settles which are over: one
    /// that was seen before an answer of a later start, or that two answers in a row do not confirm.
    pub(super) fn settle(&mut self, epoch: u64, last: u64) {
        for over in [self.epoch, std::mem::take(&mut self.replaced)] {
            if over != 0 && over != epoch && !self.is_past(over) {
                self.add_past(over);
            }
        }
        self.forgive(epoch);
        self.set_position(epoch, last);
        self.needs_all = false;
        match self.restarted_by {
            Some((by, contradicted)) if by != epoch => {
                if epoch > by || contradicted {
                    self.add_past(by);
                    self.restarted_by = None;
                } else {
                    self.restarted_by = Some((by, true));
                }
            }
            _ => self.restarted_by = None,
        }
    }

    pub(super) fn go_live(&mut self) {
        self.state = FeedState::Live;
        self.buffer.clear();
        self.rounds = 0;
        self.failures = 0;
    }

    /// Asks for what is missing; none when that was in vain too often, and the rank is demoted then.
    pub(super) fn ask(&mut self, now_ms: u64) -> Option<Wanted> {
        self.rounds += 1;
        if self.rounds > MAX_ROUNDS {
            self.demote(now_ms);
            return None;
        }
        self.state = FeedState::Recovering;
        Some(self.wanted())
    }

    /// Waits before the worker is asked again, longer each time.
    pub(super) fn demote(&mut self, now_ms: u64) {
        let wait = FIRST_RETRY_MS << self.failures.min(10);
        self.retry_at_ms = now_ms.saturating_add(wait.min(MAX_RETRY_MS));
        self.failures += 1;
        self.rounds = 0;
        self.generation += 1;
        self.state = FeedState::Demoted;
        self.buffer.clear();
    }

    /// Whether the worker must be asked although no event says so.
    pub(super) fn is_due(&self, now_ms: u64) -> bool {
        match self.state {
            FeedState::Waiting => true,
            FeedState::Demoted => now_ms >= self.retry_at_ms,
            FeedState::Live | FeedState::Recovering => false,
        }
    }

    /// Trusts nothing any more but keeps the content until there is better.
    pub(super) fn distrust(&mut self) {
        self.state = FeedState::Waiting;
        self.needs_all = true;
        self.generation += 1;
        self.rounds = 0;
        self.buffer.clear();
    }

    pub(super) fn health(&self) -> RankFeed {
        RankFeed {
            state: self.state,
            epoch: self.epoch,
            last_event_id: self.last,
            gaps: self.gaps,
            resyncs: self.resyncs,
            last_event_ms: self.last_event_ms,
        }
    }

    fn wanted(&self) -> Wanted {
        let start = (!self.needs_all).then(|| self.last.saturating_add(1));
        Wanted {
            epoch: if start.is_some() { self.epoch } else { 0 },
            start_event_id: start,
        }
    }

    pub(super) fn set_position(&mut self, epoch: u64, last: u64) {
        self.epoch = epoch;
        self.last = last;
    }

    fn add_past(&mut self, epoch: u64) {
        if self.past.len() >= MAX_PAST {
            self.past.remove(0);
        }
        self.past.push(epoch);
    }
}
