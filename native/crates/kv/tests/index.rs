//! Behaviour of the indexes on events written by hand; the first ones are the specification's (RP 14.1).

use dynamo_kv::{
    ApplyStatus, ApproximateIndex, ApproximateOptions, CacheChange, CacheTier, ExactIndex,
    ExactOptions, KvIndex, Match, Matches, PredictiveIndex, SnapshotError, StoredBlock, WorkerRank,
    sequence_hashes,
};

const LOCALS: [u64; 3] = [
    14_643_705_804_678_351_452,
    16_777_012_769_546_811_212,
    483_935_686_894_639_516,
];
const RANK: WorkerRank = WorkerRank {
    worker_id: 7,
    dp_rank: 0,
};

fn blocks(names: &[u64], locals: &[u64]) -> Vec<StoredBlock> {
    let pairs = names.iter().zip(locals);
    pairs
        .map(|(&engine_hash, &local_hash)| StoredBlock {
            engine_hash,
            local_hash,
        })
        .collect()
}

fn store(
    index: &mut dyn KvIndex,
    rank: WorkerRank,
    tier: CacheTier,
    parent: Option<u64>,
    blocks: &[StoredBlock],
) -> ApplyStatus {
    index.apply(rank, tier, &CacheChange::Stored { parent, blocks })
}

fn remove(index: &mut dyn KvIndex, tier: CacheTier, engine_hashes: &[u64]) -> ApplyStatus {
    index.apply(RANK, tier, &CacheChange::Removed { engine_hashes })
}

fn found(index: &dyn KvIndex, rank: WorkerRank, locals: &[u64]) -> Option<[u32; 4]> {
    let mut matches = Matches::default();
    index.find_matches(&sequence_hashes(locals), false, &mut matches);
    matches.get(rank).map(|row| row.blocks)
}

fn exact() -> ExactIndex {
    ExactIndex::new(ExactOptions::default())
}

#[test]
fn the_golden_events_give_the_golden_scores() {
    let mut index = exact();
    let stored = blocks(&[1001, 1002], &LOCALS);
    assert_eq!(
        store(&mut index, RANK, CacheTier::Device, None, &stored),
        ApplyStatus::Ok
    );
    assert_eq!(found(&index, RANK, &LOCALS), Some([2, 0, 0, 0]));
    remove(&mut index, CacheTier::Device, &[1002]);
    assert_eq!(found(&index, RANK, &LOCALS), Some([1, 0, 0, 0]));
    index.apply(RANK, CacheTier::Device, &CacheChange::Cleared);
    assert_eq!(found(&index, RANK, &LOCALS), None);
    assert_eq!(index.stats().blocks, 0);
}

#[test]
fn a_store_after_an_unknown_parent_is_refused_and_changes_nothing() {
    let mut index = exact();
    let stored = blocks(&[1001], &LOCALS);
    let status = store(&mut index, RANK, CacheTier::Device, Some(999), &stored);
    assert_eq!(status.as_str(), "parent_block_not_found");
    assert_eq!(found(&index, RANK, &LOCALS), None);
    assert_eq!(index.stats().entries, 0);
}

#[test]
fn a_parent_of_another_rank_is_unknown() {
    let mut index = exact();
    let first = blocks(&[1001], &LOCALS);
    store(&mut index, RANK, CacheTier::Device, None, &first);
    let other = WorkerRank::new(7, 1);
    let next = blocks(&[1002], &LOCALS[1..]);
    let status = store(&mut index, other, CacheTier::Device, Some(1001), &next);
    assert_eq!(status, ApplyStatus::ParentBlockNotFound);
}

#[test]
fn a_child_counts_again_once_its_removed_parent_is_stored_again() {
    let mut index = exact();
    let stored = blocks(&[1001, 1002], &LOCALS);
    store(&mut index, RANK, CacheTier::Device, None, &stored);
    remove(&mut index, CacheTier::Device, &[1001]);
    assert_eq!(found(&index, RANK, &LOCALS), None);
    store(&mut index, RANK, CacheTier::Device, None, &stored[..1]);
    assert_eq!(found(&index, RANK, &LOCALS), Some([2, 0, 0, 0]));
}

#[test]
fn a_block_stored_twice_goes_with_one_removal() {
    let mut index = exact();
    let stored = blocks(&[1001], &LOCALS);
    for _ in 0..2 {
        store(&mut index, RANK, CacheTier::Device, None, &stored);
    }
    assert_eq!(
        remove(&mut index, CacheTier::Device, &[1001]),
        ApplyStatus::Ok
    );
    assert_eq!(found(&index, RANK, &LOCALS), None);
    assert_eq!(
        remove(&mut index, CacheTier::Device, &[1001]).as_str(),
        "block_not_found"
    );
}

#[test]
fn slower_tiers_extend_the_match_of_faster_ones() {
    let mut index = exact();
    let locals: Vec<u64> = (1..=10).collect();
    let names: Vec<u64> = (101..=110).collect();
    let stored = blocks(&names, &locals);
    store(&mut index, RANK, CacheTier::Device, None, &stored[..4]);
    store(&mut index, RANK, CacheTier::Host, None, &stored[..8]);
    store(&mut index, RANK, CacheTier::Disk, Some(108), &stored[8..]);
    assert_eq!(found(&index, RANK, &locals), Some([4, 4, 2, 0]));
    remove(&mut index, CacheTier::Host, &[106]);
    assert_eq!(found(&index, RANK, &locals), Some([4, 1, 0, 0]));
}

#[test]
fn early_exit_stops_when_one_rank_is_left() {
    let mut index = exact();
    let stored = blocks(&[11, 12, 13, 14], &[1, 2, 3, 4]);
    store(&mut index, RANK, CacheTier::Device, None, &stored);
    let branch = blocks(&[19], &[9]);
    store(&mut index, RANK, CacheTier::Device, Some(12), &branch);
    let other = WorkerRank::new(8, 0);
    store(&mut index, other, CacheTier::Device, None, &stored[..1]);
    let sequence = sequence_hashes(&[1, 2, 3, 4]);
    let mut matches = Matches::default();
    index.find_matches(&sequence, false, &mut matches);
    assert_eq!(matches.matched_depth(), 4);
    assert_eq!(matches.get(RANK).map(Match::device_blocks), Some(4));
    assert_eq!(matches.get(other).map(Match::device_blocks), Some(1));
    index.find_matches(&sequence, true, &mut matches);
    assert_eq!(matches.get(RANK).map(Match::device_blocks), Some(2));
}

#[test]
fn a_removed_worker_leaves_with_all_its_ranks() {
    let mut index = exact();
    let stored = blocks(&[1, 2, 3], &LOCALS);
    for rank in [RANK, WorkerRank::new(7, 1), WorkerRank::new(8, 0)] {
        store(&mut index, rank, CacheTier::Device, None, &stored);
    }
    index.remove_worker(7);
    assert_eq!(index.ranks(), [WorkerRank::new(8, 0)]);
    assert_eq!(found(&index, RANK, &LOCALS), None);
    assert_eq!(
        found(&index, WorkerRank::new(8, 0), &LOCALS),
        Some([3, 0, 0, 0])
    );
}

#[test]
fn a_damaged_snapshot_is_refused_and_changes_nothing() {
    let mut index = exact();
    let stored = blocks(&[1, 2, 3], &LOCALS);
    store(&mut index, RANK, CacheTier::Device, None, &stored);
    let bytes = index.snapshot(&[RANK]);
    for cut in 0..bytes.len() {
        assert!(exact().restore(&bytes[..cut]).is_err());
        let mut changed = bytes.clone();
        changed[cut] ^= 0x10;
        assert!(index.restore(&changed).is_err());
    }
    assert_eq!(
        index.restore(b"something else"),
        Err(SnapshotError::UnknownFormat)
    );
    assert_eq!(found(&index, RANK, &LOCALS), Some([3, 0, 0, 0]));
    assert_eq!(index.restore(&bytes), Ok(vec![RANK]));
}

#[test]
fn the_byte_budget_holds_and_the_coldest_prompts_go() {
    let budget_bytes = Some(1 << 20);
    let mut index = ExactIndex::new(ExactOptions { budget_bytes });
    let prompt = |n: u64| (n * 100..n * 100 + 32).collect::<Vec<u64>>();
    for n in 1..=4000 {
        let locals = prompt(n);
        let stored = blocks(&locals, &locals);
        store(&mut index, RANK, CacheTier::Device, None, &stored);
        assert!(found(&index, RANK, &prompt(1)).is_some(), "in use at {n}");
    }
    let stats = index.stats();
    assert!(stats.bytes <= (1 << 20) + (1 << 17), "{stats:?}");
    assert!(stats.evicted > 0 && stats.entries > 4000, "{stats:?}");
    assert_eq!(found(&index, RANK, &prompt(2)), None);
    assert_eq!(found(&index, RANK, &prompt(4000)), Some([32, 0, 0, 0]));
}

#[test]
fn caches_that_are_full_take_no_more_memory_however_long_they_go_on() {
    const PROMPTS: u64 = 256;
    let mut index = exact();
    let names = |prompt: u64| -> Vec<u64> {
        let first = prompt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (0..16).map(|block| first.wrapping_add(block)).collect()
    };
    let mut full = 0;
    for prompt in 0..60_000 {
        let names_now = names(prompt);
        let stored = blocks(&names_now, &names_now);
        store(&mut index, RANK, CacheTier::Device, None, &stored);
        if let Some(oldest) = prompt.checked_sub(PROMPTS) {
            remove(&mut index, CacheTier::Device, &names(oldest));
        }
        if prompt == 2 * PROMPTS {
            full = index.stats().bytes;
        }
    }
    let stats = index.stats();
    assert_eq!(stats.entries as u64, PROMPTS * 16);
    assert!(
        stats.bytes <= full + full / 4,
        "{full} bytes and then {}",
        stats.bytes
    );
}

#[test]
fn a_lookup_finds_what_is_not_too_old() {
    let mut index = ApproximateIndex::new(ApproximateOptions {
        ttl_ms: 100,
        ..ApproximateOptions::default()
    });
    index.record_routed(RANK, &[1, 2, 3, 4], 0);
    index.record_routed(RANK, &[1, 2], 60);
    let fresh = |now_ms| {
        let mut matches = Matches::default();
        index.find_fresh(&sequence_hashes(&[1, 2, 3, 4]), now_ms, &mut matches);
        matches.get(RANK).map(|row| row.blocks)
    };
    assert_eq!(fresh(99), Some([4, 0, 0, 0]));
    assert_eq!(fresh(100), Some([2, 0, 0, 0]));
    assert_eq!(fresh(160), None);
}

#[test]
fn routed_blocks_expire_unless_they_are_routed_again() {
    let mut index = ApproximateIndex::new(ApproximateOptions {
        ttl_ms: 100,
        ..ApproximateOptions::default()
    });
    index.record_routed(RANK, &[1, 2, 3], 0);
    index.record_routed(RANK, &[1, 2, 4], 60);
    assert_eq!(index.expire(99), 0);
    assert_eq!(index.expire(100), 1);
    assert_eq!(found(&index, RANK, &[1, 2, 3]), Some([2, 0, 0, 0]));
    assert_eq!(found(&index, RANK, &[1, 2, 4]), Some([3, 0, 0, 0]));
    assert_eq!(index.expire(160), 3);
    assert_eq!(index.stats().blocks, 0);
}

#[test]
fn too_many_routed_blocks_are_pruned_from_the_soonest_to_expire() {
    let mut index = ApproximateIndex::new(ApproximateOptions {
        max_entries: 100,
        ..ApproximateOptions::default()
    });
    for n in 0..30 {
        index.record_routed(RANK, &[1, 1000 + n, 2, 3, 4], n);
        assert!(index.stats().entries <= 100);
    }
    assert_eq!(found(&index, RANK, &[1, 1029, 2, 3, 4]), Some([5, 0, 0, 0]));
    assert_eq!(found(&index, RANK, &[1, 1000, 2]), Some([1, 0, 0, 0]));
}

#[test]
fn no_call_pays_for_all_that_was_routed() {
    let prompt = |n: u64| (0..64).map(|at| n * 1000 + at).collect::<Vec<_>>();
    let mut index = ApproximateIndex::new(ApproximateOptions {
        max_entries: 50_000,
        ttl_ms: 1000,
        ..ApproximateOptions::default()
    });
    let mut before = 0;
    for n in 0..2000 {
        index.record_routed(RANK, &prompt(n), 0);
        let entries = index.stats().entries;
        assert!(
            entries <= 50_000 + 64 && before < entries + 200,
            "{before} {entries}"
        );
        before = entries;
    }
    assert!(before < 50_000 - 64, "pruned below the limit: {before}");
    let mut ticks = 0;
    while index.stats().entries > 0 {
        let mut matches = Matches::default();
        index.find_fresh(&sequence_hashes(&prompt(1999)), 1000, &mut matches);
        assert_eq!(matches.rows(), [], "too old, gone or not");
        assert!(index.expire(1000) < 1024 + 64);
        ticks += 1;
    }
    assert!(ticks > 10, "{ticks}");
    assert_eq!(found(&index, RANK, &prompt(1999)), None);
}

#[test]
fn no_tick_looks_at_all_that_was_routed_again() {
    let mut index = ApproximateIndex::new(ApproximateOptions {
        ttl_ms: 1000,
        ..ApproximateOptions::default()
    });
    for _ in 0..1500 {
        index.record_routed(RANK, &[1, 2, 3], 0);
    }
    index.record_routed(RANK, &[1, 2, 3], 1);
    assert_eq!(index.expire(1001), 0);
    assert_eq!(index.expire(1001), 3);
}

#[test]
fn what_is_dropped_is_gone_at_once_and_its_memory_soon() {
    let mut index = exact();
    for n in 0..1000 {
        let locals: Vec<u64> = (0..16).map(|at| n * 1000 + at).collect();
        let stored = blocks(&locals, &locals);
        store(&mut index, RANK, CacheTier::Device, None, &stored);
    }
    index.apply(RANK, CacheTier::Device, &CacheChange::Cleared);
    assert_eq!(index.stats().entries, 0);
    assert!(index.stats().blocks > 10_000, "not all at once");
    assert_eq!(found(&index, RANK, &[5000, 5001]), None);
    let again = blocks(&[5000, 5001], &[5000, 5001]);
    for _ in 0..100 {
        store(&mut index, RANK, CacheTier::Device, None, &again);
    }
    assert_eq!(index.stats().blocks, 2);
    assert_eq!(found(&index, RANK, &[5000, 5001]), Some([2, 0, 0, 0]));
}

#[test]
fn predictions_fill_in_until_events_come_and_then_expire() {
    let options = ApproximateOptions {
        ttl_ms: 5000,
        ..ApproximateOptions::default()
    };
    let mut index = PredictiveIndex::new(exact(), options);
    index.record_routed(RANK, &LOCALS, 0);
    assert_eq!(found(&index, RANK, &LOCALS), Some([3, 0, 0, 0]));
    let stored = blocks(&[1001, 1002], &LOCALS);
    store(&mut index, RANK, CacheTier::Device, None, &stored);
    assert_eq!(found(&index, RANK, &LOCALS), Some([3, 0, 0, 0]));
    index.expire(5000);
    assert_eq!(found(&index, RANK, &LOCALS), Some([2, 0, 0, 0]));
    index.record_routed(RANK, &LOCALS, 5001);
    index.apply(RANK, CacheTier::Device, &CacheChange::Cleared);
    assert_eq!(found(&index, RANK, &LOCALS), None);
}
