//! An answer on its way into the index, in steps that are short however large it is.
//!
//! A snapshot is built beside the old content and put in its place at once; then the events that came meanwhile are
//! applied, and the old content is taken apart. When the answer loses its sense on the way (the rank was cleared, removed,
//! restarted) the rest of the steps only tidies up.

use std::vec::IntoIter;

use super::cursor::{Cursor, FeedState};
use super::event_feed::{Applier, EventFeed};
use super::feed_result::FeedResult;
use super::parsed_recovery::ParsedRecovery;
use super::verdict::{Verdict, judge};
use crate::events::{CacheEvent, CacheEventData};
use crate::index::{ExactIndex, StagedRank, StoredRun, WorkerRank};

/// What is left to do for one answer. Take steps until one gives the result: dropped half way, it leaves content behind
/// that nobody sees and nobody frees.
#[derive(Debug)]
#[must_use = "an answer that is begun must be stepped to its end"]
pub struct RecoveryProgress {
    rank: WorkerRank,
    generation: u64,
    phase: Phase,
    result: FeedResult,
}

#[derive(Debug)]
enum Phase {
    Load(Load),
    Apply(IntoIter<CacheEvent>),
    Drain,
    Sweep,
}

/// A snapshot and how far it is.
#[derive(Debug)]
struct Load {
    staged: StagedRank,
    runs: IntoIter<StoredRun>,
    /// Rest of a run that is longer than a step.
    rest: Option<StoredRun>,
    epoch: u64,
    last_event_id: u64,
}

impl EventFeed {
    /// Begins to apply an answer. Fits any state: an answer that comes too late is passed over or asked for again.
    pub fn begin_recovery(
        &mut self,
        index: &mut ExactIndex,
        rank: WorkerRank,
        parsed: ParsedRecovery,
        now_ms: u64,
    ) -> RecoveryProgress {
        let mut progress = RecoveryProgress {
            rank,
            generation: 0,
            phase: Phase::Sweep,
            result: FeedResult::default(),
        };
        let Some(cursor) = self.ranks.get_mut(&rank) else {
            return progress;
        };
        let (epoch, last_event_id) = (parsed.epoch, parsed.last_event_id);
        match judge(cursor, parsed) {
            Verdict::Load(runs, room) => {
                progress.phase = Phase::Load(Load {
                    staged: index.stage(room),
                    runs: runs.into_iter(),
                    rest: None,
                    epoch,
                    last_event_id,
                });
            }
            Verdict::Apply(events) => progress.phase = Phase::Apply(events.into_iter()),
            Verdict::Ignore => return progress,
            Verdict::AskForAll => {
                cursor.needs_all = true;
                if let Some(wanted) = cursor.ask(now_ms) {
                    progress.result.recoveries.push(wanted.of(rank));
                }
                return progress;
            }
            Verdict::Demote => {
                cursor.demote(now_ms);
                return progress;
            }
        }
        cursor.state = FeedState::Recovering;
        cursor.generation += 1;
        progress.generation = cursor.generation;
        progress
    }

    /// Does about `max_blocks` blocks' work; the result when that was the last.
    pub fn step_recovery(
        &mut self,
        index: &mut ExactIndex,
        progress: &mut RecoveryProgress,
        max_blocks: usize,
        now_ms: u64,
    ) -> Option<FeedResult> {
        let max_blocks = max_blocks.max(1);
        let cursor = self.ranks.get_mut(&progress.rank);
        let cursor = cursor.filter(|cursor| cursor.generation == progress.generation);
        let phase = std::mem::replace(&mut progress.phase, Phase::Sweep);
        let mut applier = Applier {
            index,
            counters: &mut self.counters,
            result: &mut progress.result,
            now_ms,
        };
        progress.phase = match (phase, cursor) {
            (Phase::Load(load), Some(cursor)) => {
                load.step(&mut applier, progress.rank, cursor, max_blocks)
            }
            (Phase::Apply(events), Some(cursor)) => applier.replay(events, cursor, max_blocks),
            (Phase::Drain, Some(cursor)) => applier.drain(progress.rank, cursor, max_blocks),
            (Phase::Load(load), None) => {
                applier.index.discard(load.staged);
                Phase::Sweep
            }
            (Phase::Apply(_) | Phase::Drain, None) => Phase::Sweep,
            (Phase::Sweep, _) => {
                if !applier.index.sweep(max_blocks) {
                    self.counters.version += 1;
                    self.counters.stale += progress.result.stale;
                    return Some(std::mem::take(&mut progress.result));
                }
                Phase::Sweep
            }
        };
        None
    }
}

impl Load {
    fn step(
        mut self,
        applier: &mut Applier<'_>,
        rank: WorkerRank,
        cursor: &mut Cursor,
        max_blocks: usize,
    ) -> Phase {
        let mut left = max_blocks;
        while left > 0 {
            let Some(mut run) = self.rest.take().or_else(|| self.runs.next()) else {
                applier.index.adopt(rank, self.staged);
                cursor.settle(self.epoch, self.last_event_id);
                cursor.resyncs += 1;
                return Phase::Drain;
            };
            if run.blocks.len() > left {
                let blocks = run.blocks.split_off(left);
                self.rest = Some(StoredRun {
                    tier: run.tier,
                    parent: run.blocks.last().map(|block| block.engine_hash),
                    outer_parent: None,
                    ancestors: Vec::new(),
                    blocks,
                });
            }
            applier.index.load_staged(&self.staged, &run);
            left = left.saturating_sub(run.blocks.len() + run.ancestors.len() + 1);
        }
        Phase::Load(self)
    }
}

impl Applier<'_> {
    /// Applies events of an answer, which follow each other.
    fn replay(
        &mut self,
        mut events: IntoIter<CacheEvent>,
        cursor: &mut Cursor,
        max_blocks: usize,
    ) -> Phase {
        let mut left = max_blocks;
        while left > 0 {
            let Some(event) = events.next() else {
                cursor.resyncs += 1;
                return Phase::Drain;
            };
            left = left.saturating_sub(event.data.len() + 1);
            self.apply(&event);
            cursor.last = event.event_id;
        }
        Phase::Apply(events)
    }

    /// Applies what came while the answer was under way.
    fn drain(&mut self, rank: WorkerRank, cursor: &mut Cursor, max_blocks: usize) -> Phase {
        let epoch = cursor.buffer.epoch();
        if cursor.is_restart(epoch) && !cursor.buffer.is_empty() {
            self.restart(rank, cursor, epoch);
            return Phase::Sweep;
        }
        let mut left = max_blocks;
        while left > 0 {
            let Some(first) = cursor.buffer.first() else {
                cursor.go_live();
                return Phase::Sweep;
            };
            let is_stale = epoch != cursor.epoch || first.event_id <= cursor.last;
            let follows = first.event_id == cursor.last.saturating_add(1)
                || first.data == CacheEventData::Cleared;
            if !is_stale && !follows {
                cursor.gaps += 1;
                self.ask(rank, cursor);
                return Phase::Sweep;
            }
            let Some(event) = cursor.buffer.pop() else {
                continue;
            };
            if is_stale {
                self.result.stale += 1;
            } else {
                self.apply(&event);
                cursor.last = event.event_id;
            }
            left = left.saturating_sub(event.data.len() + 1);
        }
        Phase::Drain
    }
}
