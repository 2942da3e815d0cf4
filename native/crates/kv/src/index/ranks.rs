//! The known ranks and, per rank and tier, where each engine hash is.

use std::collections::HashMap;

use super::hash_table::{Mixer, table_bytes};
use super::holders::HolderKey;
use super::segment::Place;
use super::sharded_map::ShardedMap;
use super::types::{CacheTier, RankStats, WorkerRank};

/// Where the engine hashes of one rank and tier are.
#[derive(Debug, Default)]
pub(super) struct EngineTable {
    pub(super) places: ShardedMap<Place>,
    /// Blocks (by sequence hash) that the engine knows under several hashes, and how many more than one: such a block is
    /// held until the last of them is removed.
    pub(super) aliases: HashMap<u64, u32, Mixer>,
}

impl EngineTable {
    pub(super) fn with_capacity(blocks: usize) -> Self {
        Self {
            places: ShardedMap::with_capacity(blocks),
            aliases: HashMap::default(),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.places.bytes() + table_bytes(self.aliases.capacity(), size_of::<(u64, u32)>())
    }
}

/// Stands for ranks that lookups pass over: content that is not complete yet or is gone already.
pub(super) const HIDDEN: WorkerRank = WorkerRank {
    worker_id: u64::MAX,
    dp_rank: u32::MAX,
};

/// The tables of one rank, by tier.
pub(super) type Tables = Box<[EngineTable; 4]>;

#[derive(Debug, Default)]
pub(super) struct Ranks {
    slots: Vec<Option<Tables>>,
    /// By number, apart from the tables because every lookup reads them.
    ids: Vec<WorkerRank>,
    free: Vec<u32>,
    numbers: HashMap<WorkerRank, u32>,
}

impl Ranks {
    pub(super) fn find(&self, rank: WorkerRank) -> Option<u32> {
        self.numbers.get(&rank).copied()
    }

    pub(super) fn find_or_add(&mut self, id: WorkerRank) -> u32 {
        if let Some(number) = self.find(id) {
            return number;
        }
        let number = self.add_hidden(Tables::default());
        self.show(number, id);
        number
    }

    /// Makes a number whose content belongs to nobody yet.
    pub(super) fn add_hidden(&mut self, tables: Tables) -> u32 {
        let rank = Some(tables);
        if let Some(number) = self.free.pop() {
            self.slots[number as usize] = rank;
            self.ids[number as usize] = HIDDEN;
            return number;
        }
        self.slots.push(rank);
        self.ids.push(HIDDEN);
        u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
    }

    /// Gives a hidden number to a rank that has none.
    pub(super) fn show(&mut self, number: u32, id: WorkerRank) {
        self.ids[number as usize] = id;
        self.numbers.insert(id, number);
    }

    /// Takes a rank's number from it; the number stays in use until it is freed.
    pub(super) fn hide(&mut self, id: WorkerRank) -> Option<u32> {
        let number = self.numbers.remove(&id)?;
        self.ids[number as usize] = HIDDEN;
        Some(number)
    }

    /// Gives a number that nothing is held under to the next newcomer.
    pub(super) fn free(&mut self, number: u32) {
        self.slots[number as usize] = None;
        self.free.push(number);
    }

    /// The tables of a number, which has empty ones then.
    pub(super) fn take_tables(&mut self, number: u32) -> [EngineTable; 4] {
        let slot = self.slots.get_mut(number as usize);
        slot.and_then(Option::as_mut)
            .map(|rank| std::mem::take(&mut **rank))
            .unwrap_or_default()
    }

    /// The rank of a number that is in use.
    pub(super) fn id(&self, number: u32) -> WorkerRank {
        self.ids[number as usize]
    }

    pub(super) fn table(&self, number: u32, tier: CacheTier) -> Option<&EngineTable> {
        let rank = self.slots.get(number as usize)?.as_ref()?;
        Some(&rank[tier.index()])
    }

    pub(super) fn table_mut(&mut self, number: u32, tier: CacheTier) -> Option<&mut EngineTable> {
        let rank = self.slots.get_mut(number as usize)?.as_mut()?;
        Some(&mut rank[tier.index()])
    }

    /// Place of an engine hash, in the given tier or else in any other tier of the rank.
    pub(super) fn place(&self, number: u32, tier: CacheTier, engine_hash: u64) -> Option<Place> {
        let rank = self.slots.get(number as usize)?.as_ref()?;
        let tables = std::iter::once(&rank[tier.index()]).chain(rank.iter());
        tables
            .filter(|table| !table.places.is_empty())
            .find_map(|table| table.places.get(engine_hash))
            .copied()
    }

    pub(super) fn ids(&self) -> Vec<WorkerRank> {
        let mut ids: Vec<_> = self.numbers.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// One past the last holder key, of ranks in use or gone.
    pub(super) fn keys(&self) -> HolderKey {
        u32::try_from(self.slots.len() << 2).unwrap_or(u32::MAX)
    }

    /// Engine hashes of all known ranks.
    pub(super) fn entries(&self) -> usize {
        let known = self.numbers.values();
        let tables = known.filter_map(|&number| self.slots[number as usize].as_ref());
        tables
            .flat_map(|rank| rank.iter())
            .map(|table| table.places.len())
            .sum()
    }

    pub(super) fn stats(&self, id: WorkerRank) -> Option<RankStats> {
        let rank = self.slots[self.find(id)? as usize].as_ref()?;
        Some(RankStats {
            entries: std::array::from_fn(|tier| rank[tier].places.len()),
            bytes: rank.iter().map(EngineTable::bytes).sum(),
        })
    }

    pub(super) fn bytes(&self) -> usize {
        let tables = self.slots.iter().flatten().flat_map(|rank| rank.iter());
        self.slots.capacity() * size_of::<Option<Tables>>()
            + (self.slots.len() - self.free.len()) * size_of::<[EngineTable; 4]>()
            + self.ids.capacity() * size_of::<WorkerRank>()
            + self.free.capacity() * 4
            + table_bytes(self.numbers.capacity(), size_of::<(WorkerRank, u32)>())
            + tables.map(EngineTable::bytes).sum::<usize>()
    }
}

/// The tier of a holder key.
pub(super) fn tier_of(key: HolderKey) -> CacheTier {
    CacheTier::ALL[(key & 3) as usize]
}

/// A rank's number and a tier as one number.
pub(super) fn holder_key(rank: u32, tier: CacheTier) -> HolderKey {
    rank << 2 | tier as u32
}
