//! Content of a rank that lookups do not see: not yet, while a snapshot is loaded, or no more, while it is taken apart.
//! Both go on in slices, so that whoever guards the index with a lock never holds it for long.

use super::exact::ExactIndex;
use super::ranks::{EngineTable, Tables, holder_key};
use super::retired::Retired;
use super::segment::Place;
use super::stored_run::StoredRun;
use super::types::{CacheTier, WorkerRank};

/// Room for content on its way in. Making it takes time; do it before the index is locked.
#[derive(Debug, Default)]
pub struct StagingRoom(Tables);

impl StagingRoom {
    /// Room for what the runs hold.
    #[must_use]
    pub fn for_runs(runs: &[StoredRun]) -> Self {
        let mut counts = [0; 4];
        for run in runs {
            counts[run.tier.index()] += run.blocks.len();
        }
        Self(Box::new(counts.map(EngineTable::with_capacity)))
    }
}

/// Content on its way in. It ends in [`ExactIndex::adopt`] or [`ExactIndex::discard`].
#[derive(Debug)]
#[must_use = "content that is neither adopted nor discarded stays for ever"]
pub struct StagedRank {
    number: u32,
}

impl ExactIndex {
    /// Begins content that no lookup sees.
    pub fn stage(&mut self, room: StagingRoom) -> StagedRank {
        StagedRank {
            number: self.ranks.add_hidden(room.0),
        }
    }

    /// Adds a run to staged content. A long run may come in pieces: each next piece names the last block of the one before
    /// as its parent.
    pub fn load_staged(&mut self, staged: &StagedRank, run: &StoredRun) {
        self.load_run(staged.number, run);
        self.keep_budget_after(run.blocks.len());
    }

    /// Makes staged content that of a rank; what the rank had is retired. Takes no time that depends on either's size.
    #[allow(clippy::needless_pass_by_value)] // whoever staged it has it no more
    pub fn adopt(&mut self, rank: WorkerRank, staged: StagedRank) {
        self.retire_rank(rank);
        self.ranks.show(staged.number, rank);
    }

    /// Retires staged content.
    #[allow(clippy::needless_pass_by_value)] // as above
    pub fn discard(&mut self, staged: StagedRank) {
        self.retire(staged.number);
    }

    /// Forgets a rank at once for everyone who asks; its memory comes back through [`Self::sweep`].
    pub fn retire_rank(&mut self, rank: WorkerRank) {
        if let Some(number) = self.ranks.hide(rank) {
            self.retire(number);
        }
    }

    /// Takes up to `max_blocks` blocks of retired and evicted content apart; `true` while there is more.
    pub fn sweep(&mut self, max_blocks: usize) -> bool {
        for swept in 0..max_blocks {
            let Some(retired) = self.retired.last_mut() else {
                return self.evict(max_blocks - swept);
            };
            let number = retired.number;
            if let Some(place) = retired.next() {
                self.drop_holders(number, place);
            } else {
                self.retired.pop();
                self.ranks.free(number);
            }
        }
        true
    }

    fn retire(&mut self, number: u32) {
        let retired = Retired::new(&mut self.ranks, number);
        self.retired.push(retired);
    }

    /// Ends all that a retired rank holds in the segment of a place. Eviction may have freed the segment and something
    /// else may live there since: then the rank holds nothing in it.
    fn drop_holders(&mut self, number: u32, place: Place) {
        if !self.arena.has(place.segment) {
            return;
        }
        let segment = self.arena.resolve(place).segment;
        let held = self.arena.edit(segment, |segment| {
            let keys = CacheTier::ALL.map(|tier| holder_key(number, tier));
            keys.map(|key| segment.holders.remove_all(key))
        });
        if held.contains(&true) {
            self.arena.tidy(segment);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{CacheChange, KvIndex, Matches, StoredBlock};
    use crate::sequence_hashes;

    fn blocks(from: u64, count: u64) -> Vec<StoredBlock> {
        let block = |hash| StoredBlock {
            engine_hash: hash,
            local_hash: hash * 7,
        };
        (from..from + count).map(block).collect()
    }

    fn run(from: u64, count: u64) -> StoredRun {
        StoredRun {
            tier: CacheTier::Device,
            parent: None,
            outer_parent: None,
            ancestors: Vec::new(),
            blocks: blocks(from, count),
        }
    }

    fn store(index: &mut ExactIndex, rank: WorkerRank, from: u64, count: u64) {
        let change = CacheChange::Stored {
            parent: None,
            blocks: &blocks(from, count),
        };
        index.apply(rank, CacheTier::Device, &change);
    }

    fn matched(index: &ExactIndex, from: u64) -> Vec<(WorkerRank, u32)> {
        let local: Vec<u64> = blocks(from, 10).iter().map(|b| b.local_hash).collect();
        let mut matches = Matches::default();
        index.find_matches(&sequence_hashes(&local), false, &mut matches);
        let rows = matches.rows().iter();
        rows.map(|row| (row.rank, row.total_blocks())).collect()
    }

    #[test]
    fn staged_content_is_seen_when_it_is_adopted_and_old_content_goes_in_slices() {
        let rank = WorkerRank::new(1, 0);
        let mut index = ExactIndex::default();
        store(&mut index, rank, 100, 6);
        let staged = index.stage(StagingRoom::for_runs(&[run(100, 3)]));
        index.load_staged(&staged, &run(100, 3));
        index.load_staged(&staged, &run(500, 4));
        assert_eq!(matched(&index, 100), [(rank, 6)]);
        assert_eq!(matched(&index, 500), []);
        index.adopt(rank, staged);
        assert_eq!(matched(&index, 100), [(rank, 3)]);
        assert_eq!(matched(&index, 500), [(rank, 4)]);
        assert!(index.sweep(4));
        while index.sweep(4) {}
        assert_eq!(index.stats().blocks, 7);
        assert_eq!(index.ranks(), [rank]);
        index.remove_rank(rank);
        assert_eq!(index.stats().blocks, 0);
    }

    #[test]
    fn a_rank_that_is_back_before_the_sweep_keeps_its_new_blocks() {
        let rank = WorkerRank::new(1, 0);
        let mut index = ExactIndex::default();
        store(&mut index, rank, 100, 8);
        index.retire_rank(rank);
        assert_eq!(matched(&index, 100), []);
        store(&mut index, rank, 100, 5);
        let discarded = index.stage(StagingRoom::default());
        index.load_staged(&discarded, &run(100, 9));
        index.discard(discarded);
        while index.sweep(1) {}
        assert_eq!(matched(&index, 100), [(rank, 5)]);
        assert_eq!(index.stats().blocks, 5);
    }

    #[test]
    fn eviction_during_a_sweep_leaves_nothing_behind() {
        let mut index = ExactIndex::new(super::super::ExactOptions {
            budget_bytes: Some(200_000),
        });
        for round in 0..40 {
            let rank = WorkerRank::new(round % 5, 0);
            for prompt in 0..60 {
                store(&mut index, rank, round * 100_000 + prompt * 100, 40);
                index.sweep(7);
            }
            if round % 3 == 0 {
                index.retire_rank(rank);
            }
        }
        for rank in index.ranks() {
            index.retire_rank(rank);
        }
        while index.sweep(1_000) {}
        assert_eq!(index.stats().blocks, 0);
        assert!(index.stats().evicted > 0);
    }
}
