//! Index of what was routed where, for workers without events: what a rank was given it is taken to hold for a while.

use std::collections::{HashMap, VecDeque};

use super::KvIndex;
use super::exact::{ExactIndex, ExactOptions};
use super::matches::Matches;
use super::sharded_map::ShardedMap;
use super::types::{
    ApplyStatus, CacheChange, CacheTier, IndexStats, RankStats, StoredBlock, WorkerRank,
};
use crate::sequence_hashes;

/// Holdings that go with each routed prompt, beside five for four of its blocks: routing keeps up with itself, and no
/// prompt pays for a thousand others.
const DROPPED_PER_PROMPT: usize = 64;
/// Holdings that go at once when it is time to, and prompts that are looked at for them: a few milliseconds. A million take
/// minutes to go, in which [`ApproximateIndex::find_fresh`] finds none of them.
const DROPPED_PER_TICK: usize = 1024;

/// Settings of an [`ApproximateIndex`].
#[derive(Debug, Clone, Copy)]
pub struct ApproximateOptions {
    /// How long a block is taken to be held after it was last routed; 120 s.
    pub ttl_ms: u64,
    /// Holdings over which the oldest go; 2^20.
    pub max_entries: usize,
    /// Share of `max_entries` that is left then; 0.8.
    pub prune_target_ratio: f64,
}

impl Default for ApproximateOptions {
    fn default() -> Self {
        Self {
            ttl_ms: 120_000,
            max_entries: 1 << 20,
            prune_target_ratio: 0.8,
        }
    }
}

/// Approximate index. A block expires when the last prompt through it does, so what goes is always an end of a prompt.
#[derive(Debug)]
pub struct ApproximateIndex {
    index: ExactIndex,
    options: ApproximateOptions,
    /// Per rank, when each block (by sequence hash) expires.
    expiries: HashMap<WorkerRank, ShardedMap<u64>>,
    /// Routed prompts by their last block, soonest to expire first.
    prompts: VecDeque<Prompt>,
    entries: usize,
    /// There were too many holdings, and they have not come down to the target yet.
    is_pruning: bool,
    pruned: u64,
}

#[derive(Debug, Clone, Copy)]
struct Prompt {
    rank: WorkerRank,
    last: u64,
    expires_ms: u64,
}

impl ApproximateIndex {
    /// An empty index.
    #[must_use]
    pub fn new(options: ApproximateOptions) -> Self {
        Self {
            index: ExactIndex::new(ExactOptions::default()),
            options,
            expiries: HashMap::new(),
            prompts: VecDeque::new(),
            entries: 0,
            is_pruning: false,
            pruned: 0,
        }
    }

    /// Like [`KvIndex::find_matches`], without holdings whose time is over and that have not gone yet.
    pub fn find_fresh(&self, sequence_hashes: &[u64], now_ms: u64, matches: &mut Matches) {
        self.index.find_matches(sequence_hashes, false, matches);
        if self.prompts.front().is_none_or(|p| p.expires_ms > now_ms) {
            return;
        }
        for row in &mut matches.rows {
            let expiries = self.expiries.get(&row.rank);
            let is_fresh = |hash: &u64| {
                expiries
                    .and_then(|expiries| expiries.get(*hash))
                    .is_some_and(|&at| at > now_ms)
            };
            let blocks = &mut row.blocks[CacheTier::Device.index()];
            let held = &sequence_hashes[..*blocks as usize];
            // No block goes before one that comes after it in a prompt.
            if !held.last().is_none_or(is_fresh) {
                *blocks = u32::try_from(held.partition_point(is_fresh)).unwrap_or(*blocks);
            }
        }
        matches.rows.retain(|row| row.device_blocks() > 0);
    }

    /// Ends prompts whose time is over, until about so many holdings are gone; returns how many were. A prompt of which
    /// nothing goes counts as one.
    fn expire_some(&mut self, now_ms: u64, budget: usize) -> usize {
        let (mut ended, mut left) = (0, budget);
        while left > 0
            && let Some(prompt) = self.prompts.pop_front_if(|p| p.expires_ms <= now_ms)
        {
            let count = self.end(prompt);
            ended += count;
            left = left.saturating_sub(count.max(1));
        }
        ended
    }

    /// Ends the soonest prompts, with too many holdings until few enough are left; about so many holdings at once.
    fn prune(&mut self, budget: usize) {
        self.is_pruning |= self.entries > self.options.max_entries;
        if !self.is_pruning {
            return;
        }
        let target = share(self.options.max_entries, self.options.prune_target_ratio);
        let mut ended = 0;
        while self.entries > target
            && ended < budget
            && let Some(prompt) = self.prompts.pop_front()
        {
            ended += self.end(prompt);
        }
        self.pruned += ended as u64;
        self.is_pruning = self.entries > target;
    }

    /// Removes the blocks of a prompt that nothing routed later goes through, from its end up.
    fn end(&mut self, prompt: Prompt) -> usize {
        let Some(expiries) = self.expiries.get_mut(&prompt.rank) else {
            return 0;
        };
        let due = |hash: &u64| {
            expiries
                .get(*hash)
                .is_some_and(|&at| at <= prompt.expires_ms)
        };
        // Most prompts are routed again, or gone on from: their paths need not be walked for that.
        if !due(&prompt.last) {
            return 0;
        }
        let mut gone = self.index.path_to(prompt.rank, prompt.last);
        let count = gone.iter().take_while(|hash| due(hash)).count();
        gone.truncate(count);
        for hash in &gone {
            expiries.remove(*hash);
        }
        self.entries -= count;
        let change = CacheChange::Removed {
            engine_hashes: &gone,
        };
        self.index.apply(prompt.rank, CacheTier::Device, &change);
        count
    }

    /// Blocks that a rank is taken to hold.
    #[must_use]
    pub fn held(&self, rank: WorkerRank) -> usize {
        self.index.held(rank, CacheTier::Device)
    }

    fn forget(&mut self, rank: WorkerRank) {
        if let Some(expiries) = self.expiries.remove(&rank) {
            self.entries -= expiries.len();
        }
    }
}

impl KvIndex for ApproximateIndex {
    /// Only a clear is taken; blocks come from routing alone.
    fn apply(
        &mut self,
        rank: WorkerRank,
        tier: CacheTier,
        change: &CacheChange<'_>,
    ) -> ApplyStatus {
        if *change != CacheChange::Cleared {
            return ApplyStatus::Ignored;
        }
        self.forget(rank);
        self.index.apply(rank, tier, change)
    }

    fn find_matches(&self, sequence_hashes: &[u64], early_exit: bool, matches: &mut Matches) {
        self.index
            .find_matches(sequence_hashes, early_exit, matches);
    }

    fn record_routed(&mut self, rank: WorkerRank, local_hashes: &[u64], now_ms: u64) {
        let sequence = sequence_hashes(local_hashes);
        let Some(&last) = sequence.last() else { return };
        let blocks: Vec<_> = sequence
            .iter()
            .zip(local_hashes)
            .map(|(&engine_hash, &local_hash)| StoredBlock {
                engine_hash,
                local_hash,
            })
            .collect();
        let change = CacheChange::Stored {
            parent: None,
            blocks: &blocks,
        };
        self.index.apply(rank, CacheTier::Device, &change);
        // A clock that steps back must not break the order of the queue.
        let newest = self.prompts.back().map_or(0, |prompt| prompt.expires_ms);
        let expires_ms = now_ms.saturating_add(self.options.ttl_ms).max(newest);
        let expiries = self.expiries.entry(rank).or_default();
        let before = expiries.len();
        for &hash in &sequence {
            expiries.insert(hash, expires_ms);
        }
        self.entries += expiries.len() - before;
        self.prompts.push_back(Prompt {
            rank,
            last,
            expires_ms,
        });
        let budget = DROPPED_PER_PROMPT + sequence.len() + sequence.len() / 4;
        let expired = self.expire_some(now_ms, budget);
        self.prune(budget.saturating_sub(expired));
    }

    fn expire(&mut self, now_ms: u64) -> usize {
        self.index.sweep(DROPPED_PER_TICK);
        self.expire_some(now_ms, DROPPED_PER_TICK)
    }

    fn remove_rank(&mut self, rank: WorkerRank) {
        self.forget(rank);
        self.index.remove_rank(rank);
    }

    fn ranks(&self) -> Vec<WorkerRank> {
        self.index.ranks()
    }

    fn rank_stats(&self, rank: WorkerRank) -> Option<RankStats> {
        self.index.rank_stats(rank)
    }

    fn stats(&self) -> IndexStats {
        let stats = self.index.stats();
        let tables = self.expiries.values();
        let expiries: usize = tables.map(ShardedMap::bytes).sum();
        IndexStats {
            bytes: stats.bytes + expiries + self.prompts.capacity() * size_of::<Prompt>(),
            evicted: self.pruned,
            ..stats
        }
    }
}

#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)] // a rough share of a count
fn share(count: usize, ratio: f64) -> usize {
    (count as f64 * ratio.clamp(0.0, 1.0)) as usize
}
