//! One data-parallel rank: which requests are computed in a pass (RP 9.2).
//!
//! A pass has a token budget. Running requests come first, in order: one decode token, or the next chunk of their prompt.
//! Then waiting requests are admitted while budget, slots and blocks allow. When blocks run out, a running request yields
//! all of its own and is computed again later. Everything a pass produces becomes visible at its end, never at its start.

mod planning;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::args::EngineArgs;
use crate::batch::{Batch, Entry};
use crate::block_pool::{BlockPool, Promotion};
use crate::kv_events::KvEvent;
use crate::sequence::{Finish, RequestId, Sequence};
use crate::sequence_table::SequenceTable;

/// How far a late pass may be made up for: a process that was stopped does not burst afterwards.
const MAX_LAG_NS: u64 = 20_000_000;

/// Gauges of one rank, for routing and for the planner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RankLoad {
    /// Requests that are computed.
    pub running: u32,
    /// Requests that wait for a slot or for blocks.
    pub waiting: u32,
    /// Blocks held by requests.
    pub active_blocks: u32,
    /// Reusable blocks that no request holds.
    pub inactive_blocks: u32,
    /// Size of the cache.
    pub total_blocks: u32,
    /// Prompt tokens that are still to be computed, of all requests.
    pub prefill_tokens: u32,
}

/// Counters of one rank since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RankTotals {
    /// Passes run.
    pub passes: u64,
    /// Prompt tokens computed.
    pub prefill_tokens: u64,
    /// Prompt tokens reused from the cache.
    pub cached_tokens: u64,
    /// Tokens generated.
    pub generated_tokens: u64,
    /// Requests that lost their blocks.
    pub preemptions: u64,
    /// Blocks evicted.
    pub evictions: u64,
}

/// Scheduler, cache and pass in flight of one rank.
#[derive(Debug)]
pub struct Rank {
    number: u32,
    args: Arc<EngineArgs>,
    pool: BlockPool,
    waiting: VecDeque<RequestId>,
    running: Vec<RequestId>,
    pass: Option<Pass>,
    /// When the next pass may begin.
    next_start: u64,
    removed: Vec<u64>,
    prefill_tokens: u64,
    totals: RankTotals,
}

#[derive(Debug)]
struct Pass {
    ends_at: u64,
    work: Vec<Work>,
}

/// One request's share of a pass.
#[derive(Debug)]
struct Work {
    id: RequestId,
    ticket: u64,
    tokens: usize,
    is_prefill: bool,
}

impl Rank {
    /// An idle rank with an empty cache.
    #[must_use]
    pub fn new(number: u32, args: Arc<EngineArgs>) -> Self {
        Self {
            number,
            pool: BlockPool::new(args.num_gpu_blocks),
            next_start: args.startup_time_ns,
            args,
            waiting: VecDeque::new(),
            running: Vec::new(),
            pass: None,
            removed: Vec::new(),
            prefill_tokens: 0,
            totals: RankTotals::default(),
        }
    }

    /// Requests in this rank.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    /// The rank's cache.
    #[must_use]
    pub fn pool(&self) -> &BlockPool {
        &self.pool
    }

    /// Current gauges.
    #[must_use]
    pub fn load(&self) -> RankLoad {
        let gauge = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        RankLoad {
            running: gauge(self.running.len()),
            waiting: gauge(self.waiting.len()),
            active_blocks: gauge(self.pool.active()),
            inactive_blocks: gauge(self.pool.inactive()),
            total_blocks: gauge(self.pool.total()),
            prefill_tokens: u32::try_from(self.prefill_tokens).unwrap_or(u32::MAX),
        }
    }

    /// Counters so far.
    #[must_use]
    pub fn totals(&self) -> RankTotals {
        RankTotals {
            evictions: self.pool.evictions(),
            ..self.totals
        }
    }

    /// When [`Rank::step`] has something to do.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        match &self.pass {
            Some(pass) => Some(pass.ends_at),
            None if self.requests() > 0 => Some(self.next_start),
            None => None,
        }
    }

    /// Puts a request that is in the table at the end of the queue.
    pub fn enqueue(&mut self, id: RequestId, sequence: &Sequence, now: u64) {
        if self.requests() == 0 && self.pass.is_none() {
            self.next_start = self.next_start.max(now);
        }
        self.waiting.push_back(id);
        self.prefill_tokens += sequence.unfinished_prefill() as u64;
    }

    /// Forgets a request and gives its blocks back, also in the middle of a pass.
    pub fn remove(&mut self, id: RequestId, sequence: Sequence) {
        self.running.retain(|&other| other != id);
        self.waiting.retain(|&other| other != id);
        self.prefill_tokens -= sequence.unfinished_prefill() as u64;
        self.release(sequence.blocks);
    }

    /// Ends the pass that is due and begins the next one. Returns whether there was anything to do.
    pub fn step(&mut self, now: u64, table: &mut SequenceTable, batch: &mut Batch) -> bool {
        match self.pass.take_if(|pass| pass.ends_at <= now) {
            Some(pass) => {
                self.next_start = pass.ends_at;
                self.complete(pass, table, batch);
            }
            None if self.pass.is_some() || self.requests() == 0 || self.next_start > now => {
                return false;
            }
            None => {}
        }
        self.begin(now, table);
        true
    }

    /// Drops the cache's content; false while requests hold blocks.
    pub fn clear(&mut self, batch: &mut Batch) -> bool {
        let cleared = self.pool.clear();
        if cleared {
            batch.event(self.number, KvEvent::Cleared);
        }
        cleared
    }

    fn complete(&mut self, pass: Pass, table: &mut SequenceTable, batch: &mut Batch) {
        self.totals.passes += 1;
        if !self.removed.is_empty() {
            let hashes = std::mem::take(&mut self.removed);
            batch.event(self.number, KvEvent::Removed { hashes });
        }
        let mut ended = false;
        for work in pass.work {
            let Some(sequence) = table.get_mut(work.id).filter(|it| it.ticket == work.ticket)
            else {
                continue; // cancelled meanwhile
            };
            self.account(sequence, &work);
            if self.args.enable_prefix_caching {
                self.promote(sequence, batch);
            }
            if sequence.uncomputed() > 0 {
                continue;
            }
            let (token, finish) = sequence.generate();
            self.totals.generated_tokens += 1;
            batch.token(news(work.id, self.number, sequence, finish), token);
            if finish.is_some() {
                ended = true;
                if let Some(sequence) = table.remove(work.id) {
                    self.release(sequence.blocks);
                }
            }
        }
        if ended {
            self.running.retain(|&id| table.get(id).is_some());
        }
    }

    fn account(&mut self, sequence: &mut Sequence, work: &Work) {
        if work.is_prefill {
            self.totals.prefill_tokens += work.tokens as u64;
            self.prefill_tokens -= sequence.unfinished_prefill().min(work.tokens) as u64;
        }
        sequence.computed += work.tokens;
    }

    /// Makes the blocks that the pass has filled reusable. The new ones are the last ones: what continues a cached block
    /// is evicted before it, so no cached block follows a new one.
    fn promote(&mut self, sequence: &mut Sequence, batch: &mut Batch) {
        let full = sequence.computed / self.args.block_size as usize;
        let full = full.min(sequence.hashes().len()).max(sequence.promoted);
        let mut first_new = full;
        for index in sequence.promoted..full {
            let hash = sequence.hashes()[index].sequence;
            match self.pool.promote(sequence.blocks[index], hash) {
                Promotion::Stored => first_new = first_new.min(index),
                Promotion::Collapsed(existing) => sequence.blocks[index] = existing,
            }
        }
        sequence.promoted = full;
        let blocks = sequence.hashes()[first_new..full].to_vec();
        if !blocks.is_empty() {
            let before = first_new.checked_sub(1);
            let parent = before.map(|index| sequence.hashes()[index].sequence);
            batch.event(self.number, KvEvent::Stored { parent, blocks });
        }
    }

    fn release(&mut self, blocks: Vec<u32>) {
        for block in blocks.into_iter().rev() {
            self.pool.release(block);
        }
    }
}

fn news(id: RequestId, rank: u32, sequence: &Sequence, finish: Option<Finish>) -> Entry {
    let cached_tokens = sequence.cached_tokens;
    Entry {
        id,
        tokens: 0,
        finish,
        rejection: None,
        rank,
        cached_tokens,
    }
}
