//! Index of what the engines say they hold.

use super::arena::Arena;
use super::eviction::{Budget, Content};
use super::lookup::Lookup;
use super::matches::Matches;
use super::ranks::{Ranks, holder_key, tier_of};
use super::retired::Retired;
use super::segment::{Block, NONE, Place};
use super::types::{
    ApplyStatus, CacheChange, CacheTier, IndexStats, RankStats, StoredBlock, WorkerRank,
};
use super::writer::{Writer, step};
use super::{KvIndex, holders::HolderKey};
use crate::next_sequence_hash;

/// Blocks of dropped content that are taken apart with every event, beside as many as it has itself: more is never left
/// than was dropped at once.
const SWEPT_PER_EVENT: usize = 256;

/// Settings of an [`ExactIndex`].
#[derive(Debug, Clone, Copy, Default)]
pub struct ExactOptions {
    /// Most bytes to hold; over it the coldest leaves go. None: no limit.
    pub budget_bytes: Option<usize>,
}

/// Exact index, fed by engine events.
///
/// Storing a held block again changes nothing, so one removal takes it away; a block that the engine knows under two
/// hashes is held until both are removed. A block whose parent was removed is kept, and counts again once the parent is
/// stored again.
#[derive(Debug, Default)]
pub struct ExactIndex {
    pub(super) arena: Arena,
    pub(super) ranks: Ranks,
    /// What is being taken apart.
    pub(super) retired: Vec<Retired>,
    budget: Budget,
    /// Clock of use for eviction: counts events, coarsely.
    events: u64,
}

impl ExactIndex {
    /// An empty index.
    #[must_use]
    pub fn new(options: ExactOptions) -> Self {
        Self {
            budget: Budget::new(options.budget_bytes),
            ..Self::default()
        }
    }

    /// Stores blocks after the block at `parent`, which may be held by nobody.
    pub(super) fn store_at(
        &mut self,
        key: HolderKey,
        parent: Option<Place>,
        blocks: &[StoredBlock],
    ) -> Option<Place> {
        let tick = self.tick();
        let table = self.ranks.table_mut(key >> 2, tier_of(key))?;
        Writer::new(&mut self.arena, table, key, tick).store(parent, blocks)
    }

    /// Makes the blocks exist without a holder, as ancestors of what is stored next. The caller stores something after
    /// them at once, or they would stay.
    pub(super) fn path(&mut self, local_hashes: &[u64]) -> Option<Place> {
        let mut at: Option<Place> = None;
        let mut parent = None;
        for &local in local_hashes {
            let sequence = next_sequence_hash(parent, local);
            parent = Some(sequence);
            at = Some(step(&mut self.arena, at, Block { sequence, local }));
        }
        at
    }

    /// Measures, and evicts to the end what is over the budget.
    pub(super) fn keep_budget(&mut self) {
        let (budget, mut content) = self.evictable();
        budget.enforce(&mut content);
    }

    /// Notes stored blocks, and goes on to keep the budget.
    pub(super) fn keep_budget_after(&mut self, stored: usize) {
        let (budget, mut content) = self.evictable();
        budget.note(stored, &mut content);
    }

    /// Goes on with an eviction; `true` while there is more to do.
    pub(super) fn evict(&mut self, visits: usize) -> bool {
        let (budget, mut content) = self.evictable();
        budget.go_on(visits, &mut content)
    }

    fn evictable(&mut self) -> (&mut Budget, Content<'_>) {
        let now = self.tick();
        let content = Content {
            arena: &mut self.arena,
            ranks: &mut self.ranks,
            now,
        };
        (&mut self.budget, content)
    }

    /// Place of a block that has not been evicted; see [`Ranks::place`].
    pub(super) fn place(&self, number: u32, tier: CacheTier, engine_hash: u64) -> Option<Place> {
        let place = self.ranks.place(number, tier, engine_hash)?;
        let place = self.arena.resolve(place);
        (!self.arena.is_doomed(place)).then_some(place)
    }

    /// Blocks that a rank holds in a tier.
    #[must_use]
    pub fn held(&self, rank: WorkerRank, tier: CacheTier) -> usize {
        let table = self.ranks.find(rank);
        let table = table.and_then(|number| self.ranks.table(number, tier));
        table.map_or(0, |table| table.places.len())
    }

    pub(super) fn tick(&self) -> u32 {
        u32::try_from((self.events >> 8) & 0x7fff_ffff).unwrap_or(0)
    }

    /// Blocks from the start to the one the rank's device tier knows by this hash, last first, as sequence hashes.
    pub(super) fn path_to(&self, rank: WorkerRank, engine_hash: u64) -> Vec<u64> {
        let Some(place) = self
            .ranks
            .find(rank)
            .and_then(|number| self.place(number, CacheTier::Device, engine_hash))
        else {
            return Vec::new();
        };
        self.ancestry(place).map(|block| block.sequence).collect()
    }

    /// A block and those before it, last first.
    pub(super) fn ancestry(&self, place: Place) -> impl Iterator<Item = Block> {
        let place = self.arena.resolve(place);
        let mut segment = place.segment;
        let mut upto = place.depth + 1;
        std::iter::from_fn(move || {
            if segment == NONE || upto == 0 {
                return None;
            }
            if upto == self.arena.get(segment).start {
                segment = self.arena.parent(segment);
            }
            upto -= 1;
            self.arena.block(Place {
                segment,
                depth: upto,
            })
        })
    }

    fn store(
        &mut self,
        rank: WorkerRank,
        tier: CacheTier,
        parent: Option<u64>,
        blocks: &[StoredBlock],
    ) -> ApplyStatus {
        let number = self.ranks.find(rank);
        let parent = match parent {
            None => None,
            Some(hash) => match number.and_then(|number| self.place(number, tier, hash)) {
                Some(_) if blocks.iter().any(|block| block.engine_hash == hash) => {
                    return ApplyStatus::InvalidBlock;
                }
                Some(place) => Some(place),
                None => return ApplyStatus::ParentBlockNotFound,
            },
        };
        let number = number.unwrap_or_else(|| self.ranks.find_or_add(rank));
        self.store_at(holder_key(number, tier), parent, blocks);
        self.keep_budget_after(blocks.len());
        ApplyStatus::Ok
    }

    fn remove(&mut self, rank: WorkerRank, tier: CacheTier, hashes: &[u64]) -> ApplyStatus {
        if hashes.is_empty() {
            return ApplyStatus::Ok;
        }
        let tick = self.tick();
        let Some(number) = self.ranks.find(rank) else {
            return ApplyStatus::BlockNotFound;
        };
        let Some(table) = self.ranks.table_mut(number, tier) else {
            return ApplyStatus::BlockNotFound;
        };
        let key = holder_key(number, tier);
        Writer::new(&mut self.arena, table, key, tick).remove(hashes)
    }
}

impl KvIndex for ExactIndex {
    fn apply(
        &mut self,
        rank: WorkerRank,
        tier: CacheTier,
        change: &CacheChange<'_>,
    ) -> ApplyStatus {
        self.events += 1;
        let (status, blocks) = match *change {
            CacheChange::Stored { parent, blocks } => {
                (self.store(rank, tier, parent, blocks), blocks.len())
            }
            CacheChange::Removed { engine_hashes } => {
                let status = self.remove(rank, tier, engine_hashes);
                (status, engine_hashes.len())
            }
            CacheChange::Cleared => {
                self.retire_rank(rank);
                (ApplyStatus::Ok, 0)
            }
        };
        self.sweep(SWEPT_PER_EVENT + blocks);
        status
    }

    fn find_matches(&self, sequence_hashes: &[u64], early_exit: bool, matches: &mut Matches) {
        let lookup = Lookup {
            arena: &self.arena,
            ranks: &self.ranks,
            tick: self.tick(),
        };
        lookup.run(sequence_hashes, early_exit, matches);
    }

    fn record_routed(&mut self, _rank: WorkerRank, _local_hashes: &[u64], _now_ms: u64) {}

    fn expire(&mut self, _now_ms: u64) -> usize {
        0
    }

    fn remove_rank(&mut self, rank: WorkerRank) {
        self.retire_rank(rank);
        self.sweep(SWEPT_PER_EVENT);
    }

    fn ranks(&self) -> Vec<WorkerRank> {
        self.ranks.ids()
    }

    fn rank_stats(&self, rank: WorkerRank) -> Option<RankStats> {
        self.ranks.stats(rank)
    }

    fn stats(&self) -> IndexStats {
        let retired = self.retired.iter().map(Retired::bytes).sum::<usize>();
        IndexStats {
            blocks: self.arena.blocks(),
            entries: self.ranks.entries(),
            ranks: self.ranks.len(),
            bytes: self.arena.bytes() + self.ranks.bytes() + retired,
            evicted: self.budget.evicted(),
        }
    }
}
