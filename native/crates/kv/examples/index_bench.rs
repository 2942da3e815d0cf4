//! Speed and size of the exact index on one core, from 10 k to 1 M blocks, or to 10 M with `--large`:
//! `cargo run --release --example index_bench -p dynamo-kv [-- --large]`.
//!
//! 64 workers; prompts of 64 blocks, stored in events of 16 blocks, the first half of each one of 64 shared prefixes
//! ("shared") or nothing shared at all ("unique"). A count of blocks is of (block, worker) holdings. Lookups are of whole
//! prompts in random order: from sequence hashes, and from local hashes with the chain computed. Peers count the same way.
//! "beside" are lookups, from sequence hashes, while events are applied: after each lookup one event is stored and one
//! removed of a prompt that comes and goes, and both are paid for by the lookup.

use std::hint::black_box;
use std::time::Instant;

use dynamo_kv::{
    CacheChange, CacheTier, ExactIndex, ExactOptions, KvIndex, Matches, StoredBlock, WorkerRank,
    sequence_hashes,
};

const WORKERS: u64 = 64;
const PROMPT: usize = 64;
const EVENT: usize = 16;
const LOOKUPS: usize = 400_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A prompt and the worker it was sent to.
struct Prompt {
    rank: WorkerRank,
    blocks: Vec<StoredBlock>,
}

fn main() {
    let large = std::env::args().any(|argument| argument == "--large");
    measure_restore();
    println!(
        "{:>7} {:>10} {:>10} {:>12} {:>12} {:>12} {:>12} {:>12} {:>9} {:>9}",
        "prompts",
        "holdings",
        "blocks",
        "stored/s",
        "lookups/s",
        "from local",
        "beside",
        "removed/s",
        "B/holding",
        "MiB"
    );
    for shared in [0, PROMPT / 2] {
        for count in [10_000, 100_000, 1_000_000, 10_000_000] {
            if count <= 1_000_000 || large {
                measure(count, shared);
            }
        }
    }
}

fn measure(holdings: usize, shared: usize) {
    let prompts = prompts(holdings / PROMPT, shared);
    let mut index = ExactIndex::new(ExactOptions::default());
    let stored = rate(holdings, || store(&mut index, &prompts));
    let stats = index.stats();
    let sequences: Vec<_> = sample(&prompts)
        .map(|p| sequence_hashes(&locals(p)))
        .collect();
    let found = rate(LOOKUPS, || look_up(&index, &sequences));
    let local: Vec<_> = sample(&prompts).map(locals).collect();
    let found_local = rate(LOOKUPS, || look_up_local(&index, &local));
    let beside = rate(LOOKUPS / 4, || look_up_beside(&mut index, &sequences));
    let removed = rate(holdings, || remove(&mut index, &prompts));
    println!(
        "{:>7} {:>10} {:>10} {:>12.0} {:>12.0} {:>12.0} {:>12.0} {:>12.0} {:>9.1} {:>9.1}",
        if shared == 0 { "unique" } else { "shared" },
        stats.entries,
        stats.blocks,
        stored,
        found,
        found_local,
        beside,
        removed,
        float(stats.bytes) / float(stats.entries),
        float(stats.bytes) / 1_048_576.0,
    );
}

/// One index of 1,000 workers with 1,000 blocks each, written worker by worker and read back.
fn measure_restore() {
    let mut index = ExactIndex::new(ExactOptions::default());
    let mut prompts = prompts(1000 * 1000 / PROMPT, PROMPT / 2);
    for (worker, prompt) in (0..).zip(&mut prompts) {
        prompt.rank = WorkerRank::new(worker % 1000, 0);
    }
    store(&mut index, &prompts);
    let start = Instant::now();
    let snapshots: Vec<_> = index
        .ranks()
        .iter()
        .map(|&r| index.snapshot(&[r]))
        .collect();
    let written = start.elapsed();
    let bytes: usize = snapshots.iter().map(Vec::len).sum();
    let start = Instant::now();
    let mut restored = ExactIndex::new(ExactOptions::default());
    for snapshot in &snapshots {
        assert!(restored.restore(snapshot).is_ok());
    }
    let read = start.elapsed();
    assert_eq!(restored.stats().entries, index.stats().entries);
    println!(
        "1000 workers, {} holdings: snapshots {:.1} MiB written in {written:.0?}, restored in {read:.0?}",
        index.stats().entries,
        float(bytes) / 1_048_576.0,
    );
}

fn prompts(count: usize, shared: usize) -> Vec<Prompt> {
    let mut random = Random(42);
    let prefixes: Vec<Vec<u64>> = (0..64)
        .map(|_| (0..shared).map(|_| random.next()).collect())
        .collect();
    (0..count)
        .map(|_| {
            let prefix = &prefixes[usize::try_from(random.next() % 64).unwrap_or(0)];
            let mut locals = prefix.clone();
            locals.extend((shared..PROMPT).map(|_| random.next()));
            let blocks = sequence_hashes(&locals)
                .into_iter()
                .zip(locals)
                .map(|(sequence, local_hash)| StoredBlock {
                    engine_hash: sequence.rotate_left(17) ^ 0x5555,
                    local_hash,
                })
                .collect();
            Prompt {
                rank: WorkerRank::new(random.next() % WORKERS, 0),
                blocks,
            }
        })
        .collect()
}

fn locals(prompt: &Prompt) -> Vec<u64> {
    prompt.blocks.iter().map(|block| block.local_hash).collect()
}

fn sample(prompts: &[Prompt]) -> impl Iterator<Item = &Prompt> {
    let mut random = Random(7);
    let count = prompts.len() as u64;
    (0..20_000).map(move |_| &prompts[usize::try_from(random.next() % count).unwrap_or(0)])
}

fn store(index: &mut ExactIndex, prompts: &[Prompt]) {
    for prompt in prompts {
        let mut parent = None;
        for blocks in prompt.blocks.chunks(EVENT) {
            let change = CacheChange::Stored { parent, blocks };
            index.apply(prompt.rank, CacheTier::Device, &change);
            parent = blocks.last().map(|block| block.engine_hash);
        }
    }
}

fn look_up(index: &ExactIndex, sequences: &[Vec<u64>]) {
    let mut matches = Matches::default();
    for sequence in sequences.iter().cycle().take(LOOKUPS) {
        index.find_matches(sequence, false, &mut matches);
        assert_eq!(black_box(matches.matched_depth()), PROMPT);
    }
}

fn look_up_local(index: &ExactIndex, locals: &[Vec<u64>]) {
    let mut matches = Matches::default();
    for local in locals.iter().cycle().take(LOOKUPS) {
        index.find_matches(&sequence_hashes(local), false, &mut matches);
        assert_eq!(black_box(matches.matched_depth()), PROMPT);
    }
}

fn look_up_beside(index: &mut ExactIndex, sequences: &[Vec<u64>]) {
    let mut matches = Matches::default();
    let mut random = Random(99);
    for sequence in sequences.iter().cycle().take(LOOKUPS / 4) {
        index.find_matches(sequence, false, &mut matches);
        assert_eq!(black_box(matches.matched_depth()), PROMPT);
        let rank = WorkerRank::new(random.next() % WORKERS, 0);
        let block = |_| StoredBlock {
            engine_hash: random.next(),
            local_hash: random.next(),
        };
        let blocks: Vec<_> = (0..EVENT).map(block).collect();
        let hashes: Vec<_> = blocks.iter().rev().map(|block| block.engine_hash).collect();
        let stored = CacheChange::Stored {
            parent: None,
            blocks: &blocks,
        };
        index.apply(rank, CacheTier::Device, &stored);
        let engine_hashes = &hashes;
        let removed = CacheChange::Removed { engine_hashes };
        index.apply(rank, CacheTier::Device, &removed);
    }
}

fn remove(index: &mut ExactIndex, prompts: &[Prompt]) {
    let mut engine_hashes = Vec::new();
    for prompt in prompts {
        engine_hashes.clear();
        engine_hashes.extend(prompt.blocks.iter().rev().map(|block| block.engine_hash));
        let change = CacheChange::Removed {
            engine_hashes: &engine_hashes,
        };
        index.apply(prompt.rank, CacheTier::Device, &change);
    }
}

fn rate(count: usize, run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    float(count) / start.elapsed().as_secs_f64()
}

#[allow(clippy::cast_precision_loss)] // printed with few digits
fn float(count: usize) -> f64 {
    count as f64
}
