//! Everything a rank holds, read in slices: whoever guards the index with a lock never holds it for long. What changes
//! between two slices may be in the result or not.

use std::collections::{HashMap, HashSet};

use super::exact::ExactIndex;
use super::segment::Place;
use super::stored_run::StoredRun;
use super::types::{CacheTier, StoredBlock, WorkerRank};

/// A block on its own, with the sequence hash of the one before it.
#[derive(Debug, Clone, Copy)]
struct HeldBlock {
    depth: u32,
    block: StoredBlock,
    sequence: u64,
    before: Option<u64>,
}

/// How far the reading of one rank is, and what it has found.
#[derive(Debug, Default)]
pub struct RankReading {
    rank: Option<WorkerRank>,
    /// None when there is nothing to read.
    number: Option<u32>,
    tier: usize,
    shard: usize,
    found: [Vec<HeldBlock>; 4],
}

impl ExactIndex {
    /// Begins to read a rank.
    #[must_use]
    pub fn begin_reading(&self, rank: WorkerRank) -> RankReading {
        RankReading {
            rank: Some(rank),
            number: self.ranks.find(rank),
            ..RankReading::default()
        }
    }

    /// Reads some thousand blocks more; `true` while there are any.
    pub fn read_more(&self, reading: &mut RankReading) -> bool {
        let Some(&tier) = CacheTier::ALL.get(reading.tier) else {
            return false;
        };
        // A rank that was cleared meanwhile has another number or none, and its old one may be another rank's.
        let number = reading.rank.and_then(|rank| self.ranks.find(rank));
        if number != reading.number {
            return false;
        }
        let table = number.and_then(|number| self.ranks.table(number, tier));
        let Some(table) = table else { return false };
        let blocks = table.places.iter_in(reading.shard);
        let blocks = blocks.filter_map(|(hash, &place)| self.held_block(hash, place));
        reading.found[reading.tier].extend(blocks);
        reading.shard += 1;
        if reading.shard >= table.places.shards() {
            reading.tier += 1;
            reading.shard = 0;
        }
        true
    }

    fn held_block(&self, engine_hash: u64, place: Place) -> Option<HeldBlock> {
        let place = self.arena.resolve(place);
        if self.arena.is_doomed(place) {
            return None;
        }
        let mut path = self.ancestry(place);
        let block = path.next()?;
        Some(HeldBlock {
            depth: place.depth,
            block: StoredBlock {
                engine_hash,
                local_hash: block.local,
            },
            sequence: block.sequence,
            before: path.next().map(|block| block.sequence),
        })
    }
}

impl RankReading {
    /// What was found as runs, parents first. Blocks whose predecessor is not held are left out: nothing could name it.
    #[must_use]
    pub fn into_runs(mut self) -> Vec<StoredRun> {
        for found in &mut self.found {
            // A shard that was split on the way was read twice.
            found.sort_unstable_by_key(|held| (held.depth, held.sequence, held.block.engine_hash));
            found.dedup_by_key(|held| held.block.engine_hash);
        }
        self.keep_reachable();
        let names = self.found.each_ref().map(|found| {
            let names = found
                .iter()
                .map(|held| (held.sequence, held.block.engine_hash));
            names.collect::<HashMap<_, _>>()
        });
        let tiers = CacheTier::ALL.into_iter().zip(&self.found);
        tiers
            .flat_map(|(tier, found)| runs(tier, found, &names))
            .collect()
    }

    /// Drops blocks that no chain of held blocks leads to, in whatever tiers.
    fn keep_reachable(&mut self) {
        let mut all: Vec<_> = self.found.iter().flatten().collect();
        all.sort_unstable_by_key(|held| held.depth);
        let mut reached = HashSet::new();
        for held in all {
            if held.before.is_none_or(|before| reached.contains(&before)) {
                reached.insert(held.sequence);
            }
        }
        for found in &mut self.found {
            found.retain(|held| reached.contains(&held.sequence));
        }
    }
}

/// Joins blocks that follow each other; they come in the order of their depths.
fn runs(tier: CacheTier, found: &[HeldBlock], names: &[HashMap<u64, u64>; 4]) -> Vec<StoredRun> {
    let mut runs: Vec<StoredRun> = Vec::new();
    // Runs by the sequence hash of their last block.
    let mut open: HashMap<u64, usize> = HashMap::new();
    for held in found {
        let run = held.before.and_then(|before| open.remove(&before));
        if let Some(run) = run {
            runs[run].blocks.push(held.block);
            open.insert(held.sequence, run);
            continue;
        }
        let name = |names: &HashMap<u64, u64>| names.get(&held.before?).copied();
        let parent = name(&names[tier.index()]);
        let outer_parent = match parent {
            Some(_) => None,
            None => names.iter().find_map(name),
        };
        open.insert(held.sequence, runs.len());
        runs.push(StoredRun {
            tier,
            parent,
            outer_parent,
            ancestors: Vec::new(),
            blocks: vec![held.block],
        });
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{CacheChange, KvIndex};

    const RANK: WorkerRank = WorkerRank {
        worker_id: 1,
        dp_rank: 0,
    };

    fn store(index: &mut ExactIndex, tier: CacheTier, parent: Option<u64>, hashes: &[u64]) {
        let block = |&hash: &u64| StoredBlock {
            engine_hash: hash,
            local_hash: hash.wrapping_mul(3),
        };
        let blocks: Vec<_> = hashes.iter().map(block).collect();
        let blocks = &blocks;
        index.apply(RANK, tier, &CacheChange::Stored { parent, blocks });
    }

    fn read(index: &ExactIndex) -> Vec<StoredRun> {
        let mut reading = index.begin_reading(RANK);
        while index.read_more(&mut reading) {}
        reading.into_runs()
    }

    #[test]
    fn what_is_read_builds_the_rank_again() {
        let mut index = ExactIndex::default();
        for prompt in 0..2_000_u64 {
            let from = 1_000_000 + prompt * 100;
            let shared = 10 + prompt % 7;
            store(
                &mut index,
                CacheTier::Device,
                None,
                &(10..=shared).collect::<Vec<_>>(),
            );
            let own: Vec<_> = (from..from + 6).collect();
            store(&mut index, CacheTier::Device, Some(shared), &own);
            store(&mut index, CacheTier::Host, Some(from + 5), &[from + 50]);
        }
        let mut again = ExactIndex::default();
        for run in read(&index) {
            let parent = run.named_parent();
            let blocks = &run.blocks;
            let status = again.apply(RANK, run.tier, &CacheChange::Stored { parent, blocks });
            assert_eq!(status.as_str(), "ok");
        }
        assert_eq!(
            again.rank_stats(RANK).map(|s| s.entries),
            index.rank_stats(RANK).map(|s| s.entries)
        );
        assert_eq!(again.snapshot(&[RANK]).len(), index.snapshot(&[RANK]).len());
    }

    #[test]
    fn a_rank_that_is_cleared_meanwhile_is_given_nothing_of_the_one_that_takes_its_place() {
        let other = WorkerRank {
            worker_id: 2,
            ..RANK
        };
        let mut index = ExactIndex::default();
        store(&mut index, CacheTier::Device, None, &[1]);
        let mut reading = index.begin_reading(RANK);
        index.remove_rank(RANK);
        while index.sweep(100) {}
        let blocks = &[StoredBlock {
            engine_hash: 5,
            local_hash: 5,
        }];
        let stored = CacheChange::Stored {
            parent: None,
            blocks,
        };
        index.apply(other, CacheTier::Device, &stored);
        while index.read_more(&mut reading) {}
        assert!(reading.into_runs().is_empty());
    }

    #[test]
    fn blocks_that_nothing_leads_to_are_left_out() {
        let mut index = ExactIndex::default();
        store(&mut index, CacheTier::Device, None, &[1, 2, 3, 4]);
        let engine_hashes = &[2];
        index.apply(
            RANK,
            CacheTier::Device,
            &CacheChange::Removed { engine_hashes },
        );
        let runs = read(&index);
        let blocks = runs.iter().flat_map(|run| &run.blocks);
        let hashes: Vec<_> = blocks.map(|block| block.engine_hash).collect();
        assert_eq!(hashes, [1]);
    }
}
