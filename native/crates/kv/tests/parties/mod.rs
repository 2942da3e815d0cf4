//! An engine with its publisher, and a router, as a random history moves them.
#![allow(clippy::unwrap_used)] // a test may panic

mod router;
mod worker;

pub use router::Router;
pub use worker::Worker;

use std::collections::{BTreeMap, VecDeque};

use dynamo_kv::{CacheTier, ExactIndex, WorkerRank};

pub const WORKER: u64 = 7;
pub const RANKS: u32 = 2;
pub const BLOCK_SIZE: usize = 2;
/// The rank whose events are frames; the others' come as changes.
pub const FRAMED: u32 = 1;
pub const FIRST_EPOCH: u64 = 1_000;

pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn take<T>(&mut self, from: &mut VecDeque<T>) -> Option<T> {
        let at = self.below(from.len().max(1) as u64);
        from.remove(usize::try_from(at).unwrap())
    }
}

/// Content of a rank: where it is, the engine's name, and the local hashes from the start of the prompt.
pub type Content = BTreeMap<(CacheTier, u64), Vec<u64>>;

pub fn content(index: &ExactIndex, rank: WorkerRank) -> Content {
    let mut content = Content::new();
    for run in index.dump_rank(rank) {
        let mut path = match run.parent {
            Some(parent) => content[&(run.tier, parent)].clone(),
            None => run.ancestors,
        };
        for block in run.blocks {
            path.push(block.local_hash);
            content.insert((run.tier, block.engine_hash), path.clone());
        }
    }
    content
}
