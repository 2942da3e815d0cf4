//! The exact index says what a naive model says, over random events: stores from unknown parents, removals in any order,
//! names used twice, clears, restarts, snapshots.

#![allow(clippy::unwrap_used)] // a test may panic

use std::collections::HashMap;

use dynamo_kv::{
    ApplyStatus, CacheChange, CacheTier, ExactIndex, ExactOptions, KvIndex, Match, Matches,
    StoredBlock, WorkerRank, sequence_hashes,
};

type Path = Vec<u64>;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

#[derive(Default)]
struct Model {
    held: HashMap<(WorkerRank, CacheTier), HashMap<u64, Path>>,
}

impl Model {
    fn parent(&self, rank: WorkerRank, tier: CacheTier, hash: u64) -> Option<Path> {
        std::iter::once(tier)
            .chain(CacheTier::ALL)
            .find_map(|tier| self.held.get(&(rank, tier))?.get(&hash).cloned())
    }

    fn apply(
        &mut self,
        rank: WorkerRank,
        tier: CacheTier,
        change: &CacheChange<'_>,
    ) -> ApplyStatus {
        match *change {
            CacheChange::Stored { parent, blocks } => {
                let mut path = Path::new();
                if let Some(hash) = parent {
                    match self.parent(rank, tier, hash) {
                        None => return ApplyStatus::ParentBlockNotFound,
                        Some(_) if blocks.iter().any(|b| b.engine_hash == hash) => {
                            return ApplyStatus::InvalidBlock;
                        }
                        Some(parent) => path = parent,
                    }
                }
                let table = self.held.entry((rank, tier)).or_default();
                for block in blocks {
                    path.push(block.local_hash);
                    table.insert(block.engine_hash, path.clone());
                }
                ApplyStatus::Ok
            }
            CacheChange::Removed { engine_hashes } => {
                let table = self.held.entry((rank, tier)).or_default();
                let mut status = ApplyStatus::Ok;
                for hash in engine_hashes {
                    if table.remove(hash).is_none() {
                        status = ApplyStatus::BlockNotFound;
                    }
                }
                status
            }
            CacheChange::Cleared => {
                self.held.retain(|(owner, _), _| *owner != rank);
                ApplyStatus::Ok
            }
        }
    }

    fn holds(&self, rank: WorkerRank, tier: CacheTier, path: &[u64]) -> bool {
        self.held
            .get(&(rank, tier))
            .is_some_and(|table| table.values().any(|held| held == path))
    }

    fn matched(&self, rank: WorkerRank, query: &[u64]) -> [u32; 4] {
        let mut blocks = [0; 4];
        let mut depth = 0;
        for tier in CacheTier::ALL {
            while depth < query.len() && self.holds(rank, tier, &query[..=depth]) {
                blocks[tier.index()] += 1;
                depth += 1;
            }
        }
        blocks
    }

    fn entries(&self) -> usize {
        self.held.values().map(HashMap::len).sum()
    }

    fn random_path(&self, random: &mut Random) -> Path {
        let paths: Vec<_> = self.held.values().flat_map(HashMap::values).collect();
        match paths.len() as u64 {
            0 => Path::new(),
            count => {
                let mut sorted = paths;
                sorted.sort();
                sorted[usize::try_from(random.below(count)).unwrap()].clone()
            }
        }
    }
}

struct Run {
    random: Random,
    model: Model,
    index: ExactIndex,
    ranks: Vec<WorkerRank>,
    /// Chance in 100 that an engine names a block at random rather than by its content.
    odd_names: u64,
}

impl Run {
    fn new(seed: u64, odd_names: u64, budget_bytes: Option<usize>) -> Self {
        let ranks = (0..4).map(|n| WorkerRank::new(n / 2 + 10, u32::try_from(n % 2).unwrap()));
        Self {
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            model: Model::default(),
            index: ExactIndex::new(ExactOptions { budget_bytes }),
            ranks: ranks.collect(),
            odd_names,
        }
    }

    fn name(&mut self, rank: WorkerRank, path: &[u64]) -> u64 {
        if self.random.below(100) < self.odd_names {
            return self.random.below(40);
        }
        let salt = rank.worker_id % 2;
        let content = path
            .iter()
            .fold(7, |n: u64, &local| n.wrapping_mul(31).wrapping_add(local));
        1000 + salt + (content % (1 << 50)) * 2
    }

    fn step(&mut self) {
        let rank = self.ranks[usize::try_from(self.random.below(4)).unwrap()];
        let tier = CacheTier::ALL[[0, 0, 0, 1, 2][usize::try_from(self.random.below(5)).unwrap()]];
        match self.random.below(200) {
            0 => self.both(rank, tier, &CacheChange::Cleared),
            1 => {
                self.model.apply(rank, tier, &CacheChange::Cleared);
                self.index.remove_rank(rank);
            }
            2 => {
                let bytes = self.index.snapshot(&self.index.ranks());
                self.index = ExactIndex::new(ExactOptions::default());
                self.index.restore(&bytes).unwrap();
            }
            3..=110 => self.store(rank, tier),
            _ => self.remove(rank, tier),
        }
    }

    fn store(&mut self, rank: WorkerRank, tier: CacheTier) {
        let mut path = self.model.random_path(&mut self.random);
        path.truncate(usize::try_from(self.random.below(12)).unwrap());
        let parent = (!path.is_empty()).then(|| self.name(rank, &path));
        let count = self.random.below(6) + 1;
        let blocks: Vec<_> = (0..count)
            .map(|_| {
                path.push(self.random.below(3) + 1);
                StoredBlock {
                    engine_hash: self.name(rank, &path),
                    local_hash: path[path.len() - 1],
                }
            })
            .collect();
        let blocks = &blocks;
        self.both(rank, tier, &CacheChange::Stored { parent, blocks });
    }

    fn remove(&mut self, rank: WorkerRank, tier: CacheTier) {
        let count = self.random.below(3) + 1;
        let engine_hashes: Vec<_> = (0..count)
            .map(|_| {
                let path = self.model.random_path(&mut self.random);
                self.name(rank, &path)
            })
            .collect();
        let engine_hashes = &engine_hashes;
        self.both(rank, tier, &CacheChange::Removed { engine_hashes });
    }

    fn both(&mut self, rank: WorkerRank, tier: CacheTier, change: &CacheChange<'_>) {
        let expected = self.model.apply(rank, tier, change);
        let status = self.index.apply(rank, tier, change);
        assert_eq!(status, expected, "{change:?}");
    }

    fn check(&mut self) {
        let mut query = self.model.random_path(&mut self.random);
        query.truncate(usize::try_from(self.random.below(20)).unwrap());
        query.extend((0..self.random.below(4)).map(|_| self.random.below(3) + 1));
        let mut matches = Matches::default();
        let hashes = sequence_hashes(&query);
        self.index.find_matches(&hashes, false, &mut matches);
        for &rank in &self.ranks {
            let found = matches.get(rank).map_or([0; 4], |row| row.blocks);
            assert_eq!(
                found,
                self.model.matched(rank, &query),
                "{rank:?} {query:?}"
            );
        }
        assert_eq!(self.index.stats().entries, self.model.entries());
        let best = matches.rows().iter().map(Match::total_blocks).max();
        self.index.find_matches(&hashes, true, &mut matches);
        let early = matches.rows().iter().map(Match::total_blocks).max();
        assert!(early <= best);
    }

    /// As `step`, for an index that forgets by itself: statuses differ from the model's, matches may be shorter.
    fn step_over_budget(&mut self) {
        let rank = self.ranks[usize::try_from(self.random.below(4)).unwrap()];
        let length = self.random.below(12);
        let mut path: Path = (0..length).map(|_| self.random.below(2) + 1).collect();
        let name = self.name(rank, &path);
        if self.random.below(4) == 0 {
            let engine_hashes = &[name];
            let change = CacheChange::Removed { engine_hashes };
            self.model.apply(rank, CacheTier::Device, &change);
            self.index.apply(rank, CacheTier::Device, &change);
        }
        let known = path.len();
        for _ in 0..self.random.below(8) {
            path.push(self.random.below(3) + 1);
        }
        let from = known / 2;
        let parent = (from > 0).then(|| self.name(rank, &path[..from]));
        let blocks: Vec<_> = (from..path.len())
            .map(|at| StoredBlock {
                engine_hash: self.name(rank, &path[..=at]),
                local_hash: path[at],
            })
            .collect();
        let blocks = &blocks;
        let change = CacheChange::Stored { parent, blocks };
        self.model.apply(rank, CacheTier::Device, &change);
        self.index.apply(rank, CacheTier::Device, &change);
        if self.random.below(8) > 0 {
            return;
        }
        let mut matches = Matches::default();
        self.index
            .find_matches(&sequence_hashes(&path), false, &mut matches);
        for row in matches.rows() {
            let held = self.model.matched(row.rank, &path);
            assert!(row.blocks[0] <= held[0], "{row:?} {held:?} {path:?}");
        }
    }

    /// Removes everything hash by hash; nothing may be left behind.
    fn drain(&mut self) {
        let held: Vec<_> = self
            .model
            .held
            .iter()
            .map(|(&owner, table)| (owner, table.keys().copied().collect::<Vec<_>>()))
            .collect();
        for ((rank, tier), engine_hashes) in held {
            let engine_hashes = &engine_hashes;
            self.both(rank, tier, &CacheChange::Removed { engine_hashes });
        }
        let stats = self.index.stats();
        assert_eq!((stats.entries, stats.blocks), (0, 0));
    }
}

#[test]
fn the_index_agrees_with_a_naive_model_over_random_events() {
    for odd_names in [0, 3, 40] {
        for seed in 1..=60 {
            let mut run = Run::new(seed, odd_names, None);
            for _ in 0..400 {
                run.step();
                run.check();
            }
            run.drain();
        }
    }
}

#[test]
fn an_index_over_its_budget_claims_nothing_that_is_not_held() {
    let mut evicted = 0;
    // An eviction of the larger index goes on over many steps.
    for (seed, budget_bytes, steps) in [
        (1, 12_000, 1500),
        (2, 12_000, 1500),
        (3, 200_000, 4000),
        (4, 200_000, 4000),
    ] {
        let mut run = Run::new(seed, 0, Some(budget_bytes));
        for _ in 0..steps {
            run.step_over_budget();
        }
        let stats = run.index.stats();
        // Memory is measured after every 1,024 blocks, and an eviction takes its time.
        assert!(stats.bytes < budget_bytes + (96 << 10), "{stats:?}");
        evicted += stats.evicted;
        for rank in run.ranks {
            run.index
                .apply(rank, CacheTier::Device, &CacheChange::Cleared);
        }
        while run.index.sweep(100) {}
        let stats = run.index.stats();
        assert_eq!((stats.entries, stats.blocks), (0, 0));
    }
    assert!(evicted > 1000, "{evicted}");
}
