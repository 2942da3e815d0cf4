//! The cases of a recovery, one by one: what answers bring, and what cannot be used.

#![allow(clippy::unwrap_used)] // a test may panic

mod stream;

use dynamo_kv::{
    CacheEvent, CacheEventData, CacheTier, FeedState, KvEvent, KvEventBatch, KvIndex, KvPublisher,
    ParsedRecovery, PublisherOptions, RecoveryWanted, Refusal, WorkerKvQueryResponse, WorkerRank,
};
use prost::Message;
use stream::{
    EPOCH, RANK, Router, ask, batch, block, event, everything, from, numbers, publisher, store,
    stored,
};

#[test]
fn a_worker_that_cannot_answer_leaves_everything_as_it_is_and_is_asked_again() {
    let worker = publisher(EPOCH, 10);
    let mut router = Router::restored(&worker);
    store(&worker, 11..=14);
    router.offer(EPOCH, &[stored(13)]);
    let failed = WorkerKvQueryResponse {
        worker_id: 7,
        dp_rank: 0,
        epoch: EPOCH,
        last_event_id: 57,
        result: Some(dynamo_kv::KvQueryResult::Error("busy".to_owned())),
    };
    router.finish(&[failed.encode_to_vec()]);
    let health = router.health();
    assert_eq!(
        (health.state, health.last_event_id),
        (FeedState::Demoted, 10)
    );
    assert_eq!(router.blocks(), numbers(1..=10));
    assert_eq!(router.offer(EPOCH, &[stored(14)]).stale, 1);

    let mut waits = Vec::new();
    for _ in 0..8 {
        let before = router.now_ms;
        while router.feed.recoveries_due(router.now_ms).is_empty() {
            router.now_ms += 100;
        }
        waits.push(router.now_ms - before);
        router.feed.fail_recovery(RANK, router.now_ms);
    }
    assert_eq!(waits[..3], [500, 1_000, 2_000]);
    assert_eq!(waits[6..], [30_000, 30_000]);
    router.now_ms += 30_000;
    let due = router.feed.recoveries_due(router.now_ms);
    assert_eq!(due, from(11));
    router.answer(&due[0], &worker);
    assert_eq!(router.health().state, FeedState::Live);
    assert_eq!(router.blocks(), numbers(1..=14));
}

#[test]
fn events_after_a_clear_are_a_whole_answer() {
    let worker = publisher(EPOCH, 10);
    let mut router = Router::restored(&worker);
    store(&worker, 11..=14);
    worker.clear(None);
    store(&worker, 16..=17);
    assert_eq!(router.offer(EPOCH, &[stored(17)]).recoveries, from(11));
    let result = router.answer(&from(11)[0], &worker);
    assert_eq!(result.recoveries, []);
    assert_eq!(router.blocks(), [16, 17]);
    assert_eq!(router.health().last_event_id, 17);
}

#[test]
fn the_cursor_takes_the_workers_last_event_whatever_a_snapshot_holds() {
    let worker = publisher(EPOCH, 57);
    let hashes: Vec<u64> = (3..=57).collect();
    let gone = CacheEventData::Removed {
        engine_hashes: hashes,
    };
    worker.accept_change(0, CacheTier::Device, gone);
    let router = Router::restored(&worker);
    assert_eq!(router.blocks(), [1, 2]);
    assert_eq!(router.health().last_event_id, 58);
}

#[test]
fn a_gap_older_than_what_the_worker_keeps_is_answered_by_a_snapshot() {
    let worker = publisher(EPOCH, 10);
    let mut router = Router::restored(&worker);
    store(&worker, 11..=2_000);
    assert_eq!(router.offer(EPOCH, &[stored(2_000)]).recoveries, from(11));
    let items = ask(&from(11)[0], &worker);
    router.finish(&items);
    assert_eq!(router.blocks(), numbers(1..=2_000));
    assert_eq!(router.health().last_event_id, 2_000);
}

#[test]
fn an_answer_of_another_start_replaces_everything() {
    let mut router = Router::restored(&publisher(EPOCH, 10));
    router.offer(EPOCH, &[stored(12)]);
    router.answer(&from(11)[0], &publisher(EPOCH + 5, 2));
    assert_eq!(router.blocks(), [1, 2]);
    assert_eq!(router.health().epoch, EPOCH + 5);
    assert_eq!(router.health().state, FeedState::Live);
}

#[test]
fn an_event_that_its_worker_does_not_know_is_dropped_after_a_few_questions() {
    let worker = publisher(EPOCH, 10);
    let mut router = Router::restored(&worker);
    let mut wanted = router.offer(EPOCH, &[stored(u64::MAX)]).recoveries;
    for _ in 0..8 {
        let Some(next) = wanted.pop() else { break };
        wanted = router.answer(&next, &worker).recoveries;
    }
    assert_eq!(router.health().state, FeedState::Demoted);
    router.now_ms += 60_000;
    let due = router.feed.recoveries_due(router.now_ms);
    router.answer(&due[0], &worker);
    assert_eq!(router.health().state, FeedState::Live);
    assert_eq!(router.blocks(), numbers(1..=10));
}

#[test]
fn a_rank_that_is_not_trusted_is_restored_whole_while_its_content_stays() {
    let worker = publisher(EPOCH, 10);
    let mut router = Router::restored(&worker);
    router.feed.restore_needed(RANK);
    assert_eq!(router.health().state, FeedState::Waiting);
    assert_eq!(router.blocks(), numbers(1..=10));
    let due = router.feed.recoveries_due(router.now_ms);
    assert_eq!(due, everything());
    let result = router.answer(&due[0], &worker);
    assert_eq!(result.recoveries, []);
    assert_eq!(router.health().state, FeedState::Live);
    assert_eq!(router.blocks(), numbers(1..=10));
    assert_eq!(router.index.stats().blocks, 10);
}

#[test]
fn what_cannot_be_used_is_counted_and_changes_nothing() {
    let mut router = Router::restored(&publisher(EPOCH, 3));
    let mut stranger = stored(4);
    stranger.rank = WorkerRank::new(7, 9);
    let wrong_size = KvEventBatch {
        block_size: 32,
        ..batch(EPOCH, &[stored(4)])
    };
    let of_nobody = KvEventBatch {
        worker_id: 8,
        ..batch(EPOCH, &[stored(4)])
    };
    let empty_event = KvEventBatch {
        events: vec![KvEvent::default()],
        ..batch(EPOCH, &[])
    };
    let payloads = [
        vec![0xff; 40],
        batch(0, &[stored(4)]).encode_to_vec(),
        batch(EPOCH, &[stranger]).encode_to_vec(),
        wrong_size.encode_to_vec(),
        of_nobody.encode_to_vec(),
        empty_event.encode_to_vec(),
        batch(EPOCH, &large_batch()).encode_to_vec(),
    ];
    let reasons = [
        Refusal::Unreadable,
        Refusal::Impossible,
        Refusal::UnknownRank,
        Refusal::BlockSize,
        Refusal::UnknownWorker,
        Refusal::Impossible,
        Refusal::TooLarge,
    ];
    for (payload, reason) in payloads.iter().zip(reasons) {
        let result = router.feed.offer(&mut router.index, payload, 0);
        assert_eq!((result.refused, result.applied), (1, 0));
        assert_eq!(result.refused_for, Some(reason));
    }
    assert_eq!(router.blocks(), [1, 2, 3]);
    let refused: Vec<_> = router.feed.counters().refused().collect();
    assert_eq!(refused.iter().map(|(_, count)| count).sum::<u64>(), 7);
    assert!(refused.contains(&("impossible", 2)));
}

/// More than is applied at once; every event of it is right.
fn large_batch() -> Vec<CacheEvent> {
    let blocks = |event_id: u64| (0..1000).map(|at| block(event_id * 10_000 + at)).collect();
    let stored = |event_id| CacheEventData::Stored {
        parent: None,
        blocks: blocks(event_id),
    };
    (4..24).map(|id| event(id, stored(id))).collect()
}

#[test]
fn what_is_too_large_for_one_call_comes_by_way_of_an_answer() {
    let mut router = Router::restored(&publisher(EPOCH, 3));
    let batch = batch(EPOCH, &large_batch());
    let result = router
        .feed
        .offer(&mut router.index, &batch.encode_to_vec(), 0);
    assert_eq!((result.refused, result.applied), (1, 0));
    assert_eq!(router.offer(EPOCH, &[stored(24)]).recoveries, from(4));
}

#[test]
fn answers_that_make_no_sense_demote_the_rank() {
    let worker = publisher(EPOCH, 3);
    let good = ask(&everything()[0], &worker);
    let mut damaged = good[0].clone();
    let at = damaged.len() - 20;
    damaged[at] ^= 1;
    let other = KvPublisher::new(PublisherOptions::new(9, EPOCH, 16)).unwrap();
    let of_another = ask(
        &RecoveryWanted {
            rank: WorkerRank::new(9, 0),
            epoch: 0,
            start_event_id: None,
        },
        &other,
    );
    let answers = [
        vec![],
        vec![vec![0xff; 9]],
        vec![damaged],
        of_another,
        vec![good[0].clone(), good[0].clone()],
    ];
    for items in answers {
        let mut router = Router::new();
        router.feed.recoveries_due(0);
        assert!(ParsedRecovery::parse(RANK, &items).failure().is_some());
        router.finish(&items);
        assert_eq!(router.health().state, FeedState::Demoted);
        assert!(router.blocks().is_empty());
    }
}

#[test]
fn a_removed_rank_is_forgotten() {
    let mut router = Router::restored(&publisher(EPOCH, 3));
    router.feed.remove_rank(RANK);
    router.index.retire_rank(RANK);
    assert_eq!(router.offer(EPOCH, &[stored(4)]).refused, 1);
    assert_eq!(router.feed.health(RANK), None);
    router.answer(&everything()[0], &publisher(EPOCH, 3));
    while router.index.sweep(1) {}
    assert_eq!(router.index.stats().blocks, 0);
}
