//! Random load on small caches: blocks and requests are never lost, whatever is submitted, cancelled or preempted.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use dynamo_sim::kv_events::KvEvent;
use dynamo_sim::{EngineArgs, Finish, PreemptionMode, Request, Simulation};

/// Far longer than any of these loads can take.
const AN_HOUR_NS: u64 = 3_600_000_000_000;

/// `SplitMix64`: a seed reproduces a failing case.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        u32::try_from((value ^ (value >> 31)) % u64::from(limit)).unwrap()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }
}

fn random_args(random: &mut Random, preemption_mode: PreemptionMode) -> EngineArgs {
    EngineArgs {
        num_gpu_blocks: 8 + random.below(40),
        block_size: 1 + random.below(6),
        max_num_seqs: 1 + random.below(8),
        max_num_batched_tokens: 8 + random.below(60),
        enable_prefix_caching: random.chance(80),
        enable_chunked_prefill: random.chance(80),
        watermark: f64::from(random.below(30)) / 100.0,
        dp_size: 1 + random.below(3),
        preemption_mode,
        vocabulary: (0..8).collect(),
        ..EngineArgs::default()
    }
}

fn random_request(id: u32, random: &mut Random) -> Request {
    let family = random.below(4);
    let shared = random.below(30);
    let own = random.below(20);
    let mut prompt: Vec<u32> = (0..shared)
        .map(|position| family * 1_000 + position)
        .collect();
    prompt.extend((0..own).map(|_| random.below(1_000_000)));
    Request {
        id,
        prompt,
        max_tokens: random.chance(90).then(|| 1 + random.below(40)),
        ..Request::default()
    }
}

fn check_accounting(simulation: &Simulation) {
    for rank in simulation.engine.ranks() {
        let pool = rank.pool();
        assert_eq!(pool.active() + pool.inactive() + pool.free(), pool.total());
    }
    let loads = simulation.engine.loads();
    let requests: u32 = loads.iter().map(|load| load.running + load.waiting).sum();
    assert_eq!(requests as usize, simulation.engine.requests());
}

/// What a router that follows the events believes to be cached, per rank.
fn replay(simulation: &Simulation) -> BTreeMap<u32, BTreeSet<u64>> {
    let mut cached: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
    for (_, rank, event) in simulation.events() {
        let cached = cached.entry(*rank).or_default();
        match event {
            KvEvent::Stored { parent, blocks } => {
                let mut before = *parent;
                assert!(
                    before.is_none_or(|hash| cached.contains(&hash)),
                    "unknown parent"
                );
                for block in blocks {
                    let sequence = dynamo_kv::next_sequence_hash(before, block.local);
                    assert_eq!(
                        block.sequence, sequence,
                        "blocks do not continue each other"
                    );
                    assert!(cached.insert(block.sequence), "stored twice");
                    before = Some(sequence);
                }
            }
            KvEvent::Removed { hashes } => {
                for hash in hashes {
                    assert!(cached.remove(hash), "removed without having been stored");
                }
            }
            KvEvent::Cleared => cached.clear(),
        }
    }
    cached
}

fn run_case(seed: u64, preemption_mode: PreemptionMode) -> u64 {
    let mut random = Random(seed);
    let mut simulation = Simulation::new(random_args(&mut random, preemption_mode)).unwrap();
    let requests = 60;
    for id in 0..requests {
        simulation.submit(random_request(id, &mut random));
        check_accounting(&simulation);
        if random.chance(60) {
            simulation.run_until(simulation.now() + u64::from(random.below(60_000_000)));
        }
        if random.chance(25) {
            simulation.cancel(random.below(id + 1));
        }
        check_accounting(&simulation);
    }
    simulation.run_until(simulation.now() + AN_HOUR_NS);
    check_accounting(&simulation);
    assert_eq!(
        simulation.engine.requests(),
        0,
        "seed {seed}: requests take turns for ever"
    );
    for id in 0..requests {
        assert_ne!(
            simulation.outcome(id).finish,
            None,
            "request {id} of seed {seed} has no end"
        );
    }
    let cached = replay(&simulation);
    for (number, rank) in (0..).zip(simulation.engine.ranks()) {
        assert_eq!(rank.pool().active(), 0, "seed {seed} leaks blocks");
        assert_eq!(
            rank.load().prefill_tokens,
            0,
            "seed {seed} leaks prefill tokens"
        );
        let believed = cached.get(&number).map_or(0, BTreeSet::len);
        assert_eq!(
            believed,
            rank.pool().inactive(),
            "seed {seed}: events and cache differ"
        );
    }
    simulation
        .engine
        .totals()
        .iter()
        .map(|totals| totals.preemptions)
        .sum()
}

#[test]
fn random_load_ends_leaks_nothing_and_its_events_tell_the_cache() {
    for mode in [PreemptionMode::Lifo, PreemptionMode::Fifo] {
        let preemptions: u64 = (0..250).map(|seed| run_case(seed, mode)).sum();
        assert!(
            preemptions > 100,
            "the load is not hard enough: {preemptions} preemptions"
        );
    }
}

#[test]
fn tokens_do_not_depend_on_load_or_preemption() {
    let crowd = |id| Request {
        id,
        max_tokens: Some(30),
        ..random_request(id, &mut Random(7 + u64::from(id)))
    };
    let args = EngineArgs {
        num_gpu_blocks: 20,
        block_size: 4,
        vocabulary: (0..9).collect(),
        ..EngineArgs::default()
    };
    let mut crowded = Simulation::new(args.clone()).unwrap();
    (0..30).for_each(|id| crowded.submit(crowd(id)));
    crowded.run();
    assert!(crowded.engine.totals()[0].preemptions > 0);
    for id in 0..30 {
        let mut alone = Simulation::new(args.clone()).unwrap();
        alone.submit(crowd(id));
        alone.run();
        let (alone, crowded) = (alone.outcome(id), crowded.outcome(id));
        assert_eq!(alone.tokens, crowded.tokens);
        assert!(
            crowded
                .finish
                .is_some_and(|finish| finish != Finish::Cancelled)
        );
    }
}
