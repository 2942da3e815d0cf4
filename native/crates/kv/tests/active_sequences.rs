//! Active sequences against a model that keeps every request, over random lives.

// The values compared are small multiples of powers of two, and so exact.
#![allow(clippy::float_cmp)]

use std::collections::{BTreeMap, BTreeSet};

use dynamo_kv::{
    ActiveSequences, AddError, NewRequest, SequenceOptions, WorkerLoad, WorkerRank, sequence_hashes,
};

/// Small generator; the constant is Knuth's.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}

struct Known {
    rank: WorkerRank,
    hashes: Vec<u64>,
    private: u32,
    prefill: u64,
}

fn ranks() -> Vec<WorkerRank> {
    (0..100)
        .map(|at| WorkerRank::new(at / 2, u32::from(at % 2 == 1)))
        .collect()
}

/// One of few prompts that share beginnings.
fn prompt(random: &mut Lcg) -> Vec<u64> {
    let family = random.below(3) as u64;
    let shared = random.below(6) as u64;
    let own = random.below(4) as u64;
    let tail = random.below(3) as u64;
    let local: Vec<u64> = (0..shared)
        .map(|at| family * 1000 + at)
        .chain((0..own).map(|at| 10_000 + tail * 100 + at))
        .collect();
    sequence_hashes(&local)
}

fn check(sequences: &ActiveSequences, known: &BTreeMap<String, Known>, query: &[u64]) {
    let loads = sequences.potential_loads(query, 1, &ranks());
    for (at, rank) in ranks().into_iter().enumerate() {
        let mine = || known.values().filter(|request| request.rank == rank);
        let live: BTreeSet<u64> = mine().flat_map(|request| request.hashes.clone()).collect();
        let private: u32 = mine().map(|request| request.private).sum();
        let after: BTreeSet<u64> = live.iter().chain(query).copied().collect();
        let load = sequences.load(rank);
        let count = |blocks: usize| f64::from(u32::try_from(blocks).expect("few"));
        assert_eq!(load.decode_blocks, count(live.len()) + f64::from(private));
        assert_eq!(
            load.prefill_tokens,
            mine().map(|request| request.prefill).sum::<u64>()
        );
        assert_eq!(load.active_requests as usize, mine().count());
        assert_eq!(
            loads.decode_blocks[at],
            count(after.len()) + f64::from(private + 1)
        );
        assert_eq!(loads.prefill_tokens[at], load.prefill_tokens);
        assert_eq!(loads.active_requests[at], load.active_requests);
    }
}

fn add(sequences: &mut ActiveSequences, random: &mut Lcg, id: &str, weighted: bool) -> Known {
    let known = Known {
        rank: ranks()[random.below(8) * 12],
        hashes: prompt(random),
        private: u32::try_from(random.below(2)).expect("small"),
        prefill: random.below(100) as u64,
    };
    let request = NewRequest {
        id,
        rank: known.rank,
        sequence_hashes: &known.hashes,
        private_blocks: known.private,
        prefill_tokens: known.prefill,
        now_ms: 0,
    };
    assert_eq!(sequences.add(&request), Ok(()));
    assert_eq!(sequences.add(&request), Err(AddError::Duplicate));
    if weighted {
        let remaining = random.below(100);
        let share = f64::from(u32::try_from(remaining).expect("small")) / 99.0;
        assert!(sequences.add_output_block(id, Some(share), 0));
    }
    known
}

#[test]
fn loads_equal_a_model_over_random_lives() {
    let mut random = Lcg(7);
    let mut sequences = ActiveSequences::new(SequenceOptions::default());
    let mut known = BTreeMap::new();
    for step in 0..4000 {
        let id = format!("r{}", random.below(40));
        match (random.below(6), known.get_mut(&id)) {
            (_, None) => {
                let request = add(&mut sequences, &mut random, &id, false);
                known.insert(id, request);
            }
            (0, Some(request)) => {
                request.prefill = 0;
                assert!(sequences.mark_prefill_completed(&id, step));
            }
            (1, Some(request)) => {
                request.private += 1;
                assert!(sequences.add_output_block(&id, None, step));
            }
            (2, Some(request)) if step % 50 == 0 => {
                let rank = request.rank;
                let gone = sequences.remove_rank(rank).len();
                let before = known.len();
                known.retain(|_, request| request.rank != rank);
                assert_eq!(before - known.len(), gone);
            }
            (_, Some(_)) => {
                known.remove(&id);
                assert!(sequences.free(&id));
                assert!(!sequences.free(&id));
            }
        }
        if step % 10 == 0 {
            check(&sequences, &known, &prompt(&mut random));
        }
    }
}

#[test]
fn nothing_is_left_when_all_have_ended_in_any_order() {
    for seed in 0..200 {
        let mut random = Lcg(seed);
        let stride = 1 + random.below(3);
        let mut sequences = ActiveSequences::new(SequenceOptions {
            stride,
            expiry_ms: 10,
        });
        let mut ids: Vec<String> = (0..50).map(|at| format!("r{at}")).collect();
        for id in &ids {
            let weighted = random.below(2) == 0;
            add(&mut sequences, &mut random, id, weighted);
        }
        while !ids.is_empty() {
            let id = ids.swap_remove(random.below(ids.len()));
            match random.below(20) {
                0 => {
                    let rank = sequences.rank_of(&id);
                    let gone = rank.map(|rank| sequences.remove_worker(rank.worker_id));
                    assert!(gone.is_none_or(|gone| gone.contains(&id)));
                }
                1 => {
                    sequences.add_output_block(&id, Some(0.3), 9);
                    sequences.expire(10);
                    sequences.free(&id);
                }
                2 => {
                    sequences.mark_prefill_completed(&id, 1);
                    sequences.free(&id);
                }
                _ => {
                    sequences.free(&id);
                }
            }
        }
        assert_eq!(sequences.active_requests(), 0);
        assert_eq!(sequences.distinct_blocks(), 0);
        for rank in ranks() {
            assert_eq!(sequences.load(rank), WorkerLoad::default());
        }
    }
}

#[test]
fn progress_weighs_only_what_a_request_has_for_itself() {
    let rank = WorkerRank::new(1, 0);
    let mut sequences = ActiveSequences::new(SequenceOptions::default());
    let mut add = |id: &str, local: &[u64]| {
        let request = NewRequest {
            id,
            rank,
            sequence_hashes: &sequence_hashes(local),
            private_blocks: 0,
            prefill_tokens: 0,
            now_ms: 0,
        };
        sequences.add(&request).expect("new");
    };
    add("a", &[1, 2, 3, 4]);
    add("b", &[1, 2]);
    assert!(sequences.add_output_block("a", Some(0.5), 0));
    // Blocks 1 and 2 are shared and whole; 3, 4 and the output block count half.
    assert_eq!(sequences.load(rank).decode_blocks, 3.5);
    sequences.free("b");
    assert_eq!(sequences.load(rank).decode_blocks, 3.5);
    assert!(sequences.add_output_block("a", Some(0.25), 0));
    assert_eq!(sequences.load(rank).decode_blocks, 1.5);
}

#[test]
fn the_stride_counts_each_kept_block_several_times() {
    let rank = WorkerRank::new(1, 0);
    let mut sequences = ActiveSequences::new(SequenceOptions {
        stride: 4,
        ..SequenceOptions::default()
    });
    let hashes = sequence_hashes(&(0..10).collect::<Vec<_>>());
    let loads = sequences.potential_loads(&hashes, 0, &[rank]);
    assert_eq!(loads.decode_blocks, [8.0]);
    let request = NewRequest {
        id: "a",
        rank,
        sequence_hashes: &hashes,
        private_blocks: 0,
        prefill_tokens: 0,
        now_ms: 0,
    };
    sequences.add(&request).expect("new");
    assert_eq!(sequences.load(rank).decode_blocks, 8.0);
}
