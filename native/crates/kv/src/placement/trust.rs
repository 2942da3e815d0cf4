//! Whether a rank's index is right, judged by results: decisions promise cached tokens, engines report how many there
//! were. A rank whose index promises much more than its engine finds is not believed until it has been restored.
//!
//! Only promises count that the rank's own events vouch for and that an engine could have kept; a few lost ones are
//! normal, because blocks are evicted between decision and prefill. So the verdict needs a whole window of answers and
//! half of what was promised missing. An engine that never reports cached tokens must not report zero either.

use std::collections::{HashMap, VecDeque};

use crate::feed::{FeedState, RankFeed};
use crate::index::WorkerRank;

/// Answered requests of one rank that a verdict is based on.
const WINDOW: usize = 32;
/// Wait before a disbelieved rank is restored, doubled with each verdict in a row; the first time there is none.
const FIRST_WAIT_MS: u64 = 10_000;
const MAX_WAIT_MS: u64 = 600_000;

/// What is known of one rank's reliability.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// Tokens promised and reported of each of the latest answers.
    window: VecDeque<(u64, u64)>,
    promised: u64,
    reported: u64,
    /// Verdicts in a row.
    verdicts: u32,
    doubt: Option<Doubt>,
    /// Since when its part of the index has not been up to date.
    stale_since_ms: Option<u64>,
    /// Promised by all decisions so far, and what came of it.
    pub(super) predicted_total: u64,
    pub(super) reported_total: u64,
}

/// A rank that is not believed.
#[derive(Debug, Clone, Copy)]
struct Doubt {
    /// Restorations it had had by then: one more ends the doubt.
    resyncs: u64,
    restore_at_ms: u64,
    is_restoring: bool,
}

/// All ranks' records.
#[derive(Debug, Default)]
pub(super) struct Trust(HashMap<WorkerRank, Record>);

impl Trust {
    pub(super) fn record(&self, rank: WorkerRank) -> Option<&Record> {
        self.0.get(&rank)
    }

    pub(super) fn remove(&mut self, rank: WorkerRank) {
        self.0.remove(&rank);
    }

    pub(super) fn is_doubted(&self, rank: WorkerRank) -> bool {
        self.record(rank)
            .is_some_and(|record| record.doubt.is_some())
    }

    /// Counts what a decision promised and an engine reported.
    pub(super) fn count(&mut self, rank: WorkerRank, predicted: u64, reported: u64) {
        let record = self.0.entry(rank).or_default();
        record.predicted_total += predicted;
        record.reported_total += reported;
    }

    /// Judges an answer; `true` when the rank is not believed from now on.
    pub(super) fn judge(&mut self, rank: WorkerRank, answer: Answer, feed: &RankFeed) -> bool {
        let record = self.0.entry(rank).or_default();
        if record.doubt.is_some() || !record.add(answer.promised, answer.reported) {
            return false;
        }
        let wait = match record.verdicts {
            0 => 0,
            again => (FIRST_WAIT_MS << (again - 1).min(10)).min(MAX_WAIT_MS),
        };
        record.verdicts = record.verdicts.saturating_add(1);
        record.doubt = Some(Doubt {
            resyncs: feed.resyncs,
            restore_at_ms: answer.now_ms.saturating_add(wait),
            is_restoring: false,
        });
        true
    }

    /// Ranks whose restoration is due; each is named once per doubt.
    pub(super) fn restorations_due(&mut self, now_ms: u64) -> Vec<WorkerRank> {
        let mut due = Vec::new();
        for (rank, record) in &mut self.0 {
            if let Some(doubt) = &mut record.doubt
                && !doubt.is_restoring
                && now_ms >= doubt.restore_at_ms
            {
                doubt.is_restoring = true;
                due.push(*rank);
            }
        }
        due.sort_unstable();
        due
    }

    /// Takes note of where a rank's stream stands.
    pub(super) fn observe(&mut self, rank: WorkerRank, feed: &RankFeed, now_ms: u64) {
        let record = self.0.entry(rank).or_default();
        let is_live = feed.state == FeedState::Live;
        if let Some(doubt) = record.doubt
            && is_live
            && feed.resyncs > doubt.resyncs
        {
            record.doubt = None;
        }
        if is_live && record.doubt.is_none() {
            record.stale_since_ms = None;
        } else if now_ms > 0 {
            // 0: nobody has told the time yet.
            record.stale_since_ms.get_or_insert(now_ms);
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * (size_of::<Record>() + WINDOW * 16)
    }
}

/// What came of one promise.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer {
    pub(super) promised: u64,
    pub(super) reported: u64,
    pub(super) now_ms: u64,
}

impl Record {
    pub(super) fn staleness_ms(&self, now_ms: u64) -> u64 {
        self.stale_since_ms
            .map_or(0, |since| now_ms.saturating_sub(since))
    }

    /// Adds an answer to the window; `true` when the window is full and condemns.
    fn add(&mut self, promised: u64, reported: u64) -> bool {
        // An engine may hold more than was promised; that makes up for nothing.
        let reported = reported.min(promised);
        self.window.push_back((promised, reported));
        self.promised += promised;
        self.reported += reported;
        if self.window.len() > WINDOW
            && let Some((promised, reported)) = self.window.pop_front()
        {
            self.promised -= promised;
            self.reported -= reported;
        }
        if self.window.len() < WINDOW {
            return false;
        }
        let condemns = self.reported * 2 < self.promised;
        if condemns {
            self.window.clear();
            (self.promised, self.reported) = (0, 0);
        } else {
            self.verdicts = 0;
        }
        condemns
    }
}
