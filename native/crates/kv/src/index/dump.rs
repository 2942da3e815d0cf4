//! What a rank holds, as the events that would build it again.

use super::exact::ExactIndex;
use super::ranks::holder_key;
use super::segment::{NONE, Place};
use super::stored_run::StoredRun;
use super::types::{CacheTier, StoredBlock, WorkerRank};

/// An engine hash and its place, in an order that has parents first: (start of segment, segment, depth).
type Entry = (u32, u32, u32, u64);

impl ExactIndex {
    /// Everything a rank holds.
    #[must_use]
    pub fn dump_rank(&self, rank: WorkerRank) -> Vec<StoredRun> {
        let Some(number) = self.ranks.find(rank) else {
            return Vec::new();
        };
        let entries = CacheTier::ALL.map(|tier| self.sorted_entries(number, tier));
        CacheTier::ALL
            .into_iter()
            .flat_map(|tier| self.dump_tier(tier, &entries))
            .collect()
    }

    /// Builds a rank again from its runs, on top of what it has.
    pub fn load_rank(&mut self, rank: WorkerRank, runs: &[StoredRun]) {
        let number = self.ranks.find_or_add(rank);
        for run in runs {
            self.load_run(number, run);
        }
    }

    pub(super) fn load_run(&mut self, number: u32, run: &StoredRun) {
        let parent = match run.parent {
            Some(hash) => match self.place(number, run.tier, hash) {
                Some(place) => Some(place),
                None => return,
            },
            None if run.blocks.is_empty() => return,
            None => self.path(&run.ancestors),
        };
        self.store_at(holder_key(number, run.tier), parent, &run.blocks);
    }

    fn dump_tier(&self, tier: CacheTier, all: &[Vec<Entry>; 4]) -> Vec<StoredRun> {
        let mut runs: Vec<StoredRun> = Vec::new();
        let mut last = None;
        for &(start, segment, depth, engine_hash) in &all[tier.index()] {
            let place = Place { segment, depth };
            let Some(block) = self.arena.block(place) else {
                continue;
            };
            let stored = StoredBlock {
                engine_hash,
                local_hash: block.local,
            };
            let follows = depth > start && last == Some((segment, depth - 1));
            last = Some((segment, depth));
            match runs.last_mut() {
                Some(run) if follows => run.blocks.push(stored),
                _ => runs.push(self.begin_run(tier, place, all, stored)),
            }
        }
        runs
    }

    fn begin_run(
        &self,
        tier: CacheTier,
        place: Place,
        all: &[Vec<Entry>; 4],
        first: StoredBlock,
    ) -> StoredRun {
        let parent = self.hash_before(place, &all[tier.index()]);
        let mut outer_parent = None;
        let mut ancestors = Vec::new();
        if parent.is_none() {
            outer_parent = all
                .iter()
                .find_map(|entries| self.hash_before(place, entries));
            ancestors.extend(self.ancestry(place).skip(1).map(|block| block.local));
            ancestors.reverse();
        }
        StoredRun {
            tier,
            parent,
            outer_parent,
            ancestors,
            blocks: vec![first],
        }
    }

    fn hash_before(&self, place: Place, entries: &[Entry]) -> Option<u64> {
        let depth = place.depth.checked_sub(1)?;
        let mut segment = place.segment;
        if depth < self.arena.get(segment).start {
            segment = self.arena.parent(segment);
        }
        if segment == NONE {
            return None;
        }
        let key = (self.arena.get(segment).start, segment, depth);
        let at = entries.partition_point(|entry| (entry.0, entry.1, entry.2) < key);
        let entry = entries.get(at)?;
        ((entry.0, entry.1, entry.2) == key).then_some(entry.3)
    }

    fn sorted_entries(&self, number: u32, tier: CacheTier) -> Vec<Entry> {
        let table = self.ranks.table(number, tier);
        let mut entries: Vec<Entry> = table
            .into_iter()
            .flat_map(|table| table.places.iter())
            .filter_map(|(hash, &place)| {
                let place = self.arena.resolve(place);
                let start = self.arena.get(place.segment).start;
                let entry = (start, place.segment, place.depth, hash);
                (!self.arena.is_doomed(place)).then_some(entry)
            })
            .collect();
        entries.sort_unstable();
        entries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::{CacheChange, KvIndex};

    fn store(index: &mut ExactIndex, tier: CacheTier, parent: Option<u64>, hashes: &[u64]) {
        let blocks: Vec<_> = hashes
            .iter()
            .map(|&hash| StoredBlock {
                engine_hash: hash,
                local_hash: hash * 3,
            })
            .collect();
        let change = CacheChange::Stored {
            parent,
            blocks: &blocks,
        };
        index.apply(WorkerRank::new(1, 0), tier, &change);
    }

    #[test]
    fn a_run_names_its_parent_in_whatever_tier_it_is() {
        let mut index = ExactIndex::default();
        store(&mut index, CacheTier::Device, None, &[101, 104]);
        store(&mut index, CacheTier::Host, Some(104), &[105, 106]);
        let runs = index.dump_rank(WorkerRank::new(1, 0));
        let named: Vec<_> = runs
            .iter()
            .map(|run| (run.tier, run.parent, run.named_parent(), run.is_orphan()))
            .collect();
        assert_eq!(
            named,
            [
                (CacheTier::Device, None, None, false),
                (CacheTier::Host, None, Some(104), false),
            ]
        );
        let gone = CacheChange::Removed {
            engine_hashes: &[104, 105],
        };
        index.apply(WorkerRank::new(1, 0), CacheTier::Device, &gone);
        index.apply(WorkerRank::new(1, 0), CacheTier::Host, &gone);
        let runs = index.dump_rank(WorkerRank::new(1, 0));
        assert!(runs[1].is_orphan());
        assert_eq!(runs[1].ancestors, [303, 312, 315]);
    }
}
