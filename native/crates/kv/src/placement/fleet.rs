//! The ranks that may be chosen and what is known of them, as the lists that a choice reads.

use std::collections::HashMap;
use std::sync::Arc;

use super::decisions::RankTable;
use crate::index::WorkerRank;

/// Ranks that one worker may have: more is a mistake in its registration.
pub const MAX_RANKS_PER_WORKER: u32 = 4096;

/// A worker as it registers itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerFacts {
    /// Instance id.
    pub worker_id: u64,
    /// First data-parallel rank.
    pub dp_start: u32,
    /// Number of ranks, at most [`MAX_RANKS_PER_WORKER`].
    pub dp_size: u32,
    /// Blocks that each rank's device can hold; 0 when unknown.
    pub total_kv_blocks: u64,
    /// Most tokens that a rank computes in one pass; 0 when unknown.
    pub max_batched_tokens: u64,
    /// Publishes KV events.
    pub kv_events: bool,
    /// Marks that requests may require or prefer.
    pub taints: Vec<String>,
}

/// Candidates in ascending order of rank: entry `i` of every list belongs to rank `i`.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    pub(super) ranks: Vec<WorkerRank>,
    pub(super) total_kv_blocks: Vec<u64>,
    pub(super) max_batched_tokens: Vec<u64>,
    pub(super) overloaded: Vec<bool>,
    pub(super) kv_events: Vec<bool>,
    pub(super) taints: Vec<Vec<u32>>,
    /// What decisions keep of it.
    pub(super) table: Arc<RankTable>,
    positions: HashMap<WorkerRank, usize>,
    taint_numbers: HashMap<String, u32>,
}

impl Fleet {
    pub(super) fn position(&self, rank: WorkerRank) -> Option<usize> {
        self.positions.get(&rank).copied()
    }

    pub(super) fn ranks_of(&self, worker_id: u64) -> &[WorkerRank] {
        let from = self.ranks.partition_point(|r| r.worker_id < worker_id);
        let to = self.ranks.partition_point(|r| r.worker_id <= worker_id);
        &self.ranks[from..to]
    }

    /// Adds a worker or replaces what is known of it; returns the ranks that it has no more.
    pub(super) fn set(&mut self, worker: &WorkerFacts) -> Vec<WorkerRank> {
        let end = worker.dp_start.saturating_add(worker.dp_size);
        let gone: Vec<WorkerRank> = self
            .ranks_of(worker.worker_id)
            .iter()
            .copied()
            .filter(|rank| !(worker.dp_start..end).contains(&rank.dp_rank))
            .collect();
        for rank in &gone {
            self.remove_rank(*rank);
        }
        let taints = self.numbers(&worker.taints);
        for dp_rank in worker.dp_start..end {
            let at = self.find_or_insert(WorkerRank::new(worker.worker_id, dp_rank));
            self.total_kv_blocks[at] = worker.total_kv_blocks;
            self.max_batched_tokens[at] = worker.max_batched_tokens;
            self.kv_events[at] = worker.kv_events;
            self.taints[at].clone_from(&taints);
        }
        self.renumber();
        gone
    }

    /// Forgets a worker; returns the ranks it had.
    pub(super) fn remove(&mut self, worker_id: u64) -> Vec<WorkerRank> {
        let gone = self.ranks_of(worker_id).to_vec();
        for rank in &gone {
            self.remove_rank(*rank);
        }
        self.renumber();
        gone
    }

    /// Number of a taint, or one that no rank has: requests must not make the table grow.
    pub(super) fn taint_of(&self, name: &str) -> u32 {
        self.taint_numbers.get(name).copied().unwrap_or(u32::MAX)
    }

    pub(super) fn bytes(&self) -> usize {
        let taints: usize = self.taints.iter().map(|list| list.capacity() * 4).sum();
        let names: usize = self.taint_numbers.keys().map(|name| name.len() + 48).sum();
        self.ranks.capacity() * (size_of::<WorkerRank>() * 2 + 64) + taints + names
    }

    fn numbers(&mut self, taints: &[String]) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(taints.len());
        for name in taints {
            let next = u32::try_from(self.taint_numbers.len()).unwrap_or(u32::MAX);
            numbers.push(*self.taint_numbers.entry(name.clone()).or_insert(next));
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    fn find_or_insert(&mut self, rank: WorkerRank) -> usize {
        match self.ranks.binary_search(&rank) {
            Ok(at) => at,
            Err(at) => {
                self.ranks.insert(at, rank);
                self.total_kv_blocks.insert(at, 0);
                self.max_batched_tokens.insert(at, 0);
                self.overloaded.insert(at, false);
                self.kv_events.insert(at, false);
                self.taints.insert(at, Vec::new());
                at
            }
        }
    }

    fn remove_rank(&mut self, rank: WorkerRank) {
        if let Ok(at) = self.ranks.binary_search(&rank) {
            self.ranks.remove(at);
            self.total_kv_blocks.remove(at);
            self.max_batched_tokens.remove(at);
            self.overloaded.remove(at);
            self.kv_events.remove(at);
            self.taints.remove(at);
        }
    }

    fn renumber(&mut self) {
        self.table = Arc::new(RankTable {
            ranks: self.ranks.clone(),
            total_kv_blocks: self.total_kv_blocks.clone(),
        });
        self.positions.clear();
        self.positions
            .extend(self.ranks.iter().enumerate().map(|(at, rank)| (*rank, at)));
    }
}
