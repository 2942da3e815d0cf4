//! The cases of a rank's stream, one by one: what is applied, ignored, buffered and asked for.

#![allow(clippy::unwrap_used)] // a test may panic

mod stream;

use dynamo_kv::{CacheEventData, CacheTier, FeedState, KvIndex, ParsedRecovery, WorkerRank};
use stream::{
    EPOCH, RANK, Router, ask, block, event, everything, from, hashes, numbers, publisher, store,
    stored,
};

#[test]
fn the_first_event_seen_asks_for_everything_and_waits() {
    let worker = publisher(EPOCH, 5);
    let mut router = Router::new();
    assert_eq!(router.health().state, FeedState::Waiting);
    let result = router.offer(EPOCH, &[stored(5)]);
    assert_eq!(result.recoveries, everything());
    assert_eq!(router.health().state, FeedState::Recovering);
    assert!(router.blocks().is_empty());
    assert_eq!(router.feed.recoveries_due(router.now_ms), []);

    store(&worker, 6..=7);
    assert_eq!(router.offer(EPOCH, &[stored(6)]).recoveries, []);
    let result = router.answer(&everything()[0], &worker);
    assert_eq!((result.applied, result.stale), (0, 2));
    assert_eq!(router.blocks(), numbers(1..=7));
    let health = router.health();
    assert_eq!((health.state, health.last_event_id), (FeedState::Live, 7));
    assert_eq!((health.epoch, health.gaps, health.resyncs), (EPOCH, 0, 1));
    assert_eq!(health.last_event_ms, 1_000);
}

#[test]
fn event_one_of_an_unknown_rank_needs_nothing_before_it() {
    let mut router = Router::new();
    let due = router.feed.recoveries_due(1_000);
    assert_eq!(due, everything());
    let result = router.offer(EPOCH, &[stored(1), stored(2)]);
    assert_eq!((result.applied, result.recoveries), (2, vec![]));
    assert_eq!(router.health().state, FeedState::Live);
    // The answer asked for before it tells nothing new.
    router.answer(&due[0], &publisher(EPOCH, 2));
    assert_eq!(router.health().resyncs, 0);
    // A later one does.
    router.answer(&due[0], &publisher(EPOCH, 4));
    assert_eq!(router.blocks(), numbers(1..=4));
    assert_eq!(router.health().last_event_id, 4);
}

#[test]
fn the_next_event_is_applied_and_an_old_one_is_not() {
    let mut router = Router::restored(&publisher(EPOCH, 10));
    assert_eq!(router.offer(EPOCH, &[stored(11)]).applied, 1);
    let again = event(
        9,
        CacheEventData::Removed {
            engine_hashes: vec![9],
        },
    );
    let result = router.offer(EPOCH, &[again]);
    assert_eq!((result.applied, result.stale), (0, 1));
    assert_eq!(router.blocks(), numbers(1..=11));
    assert_eq!(router.applied("stored", "ok"), 1);
    assert_eq!(router.feed.counters().stale, 1);
}

#[test]
fn a_gap_asks_from_the_first_missing_event_and_keeps_what_came() {
    let worker = publisher(EPOCH, 10);
    let mut router = Router::restored(&worker);
    store(&worker, 11..=13);
    let result = router.offer(EPOCH, &[stored(13)]);
    assert_eq!(result.recoveries, from(11));
    assert_eq!(router.blocks(), numbers(1..=10));
    let items = ask(&from(11)[0], &worker);
    store(&worker, 14..=15);
    assert_eq!(router.offer(EPOCH, &[stored(14), stored(15)]).applied, 0);
    let result = router.finish(&items);
    assert_eq!((result.applied, result.stale), (5, 1));
    assert_eq!(router.blocks(), numbers(1..=15));
    assert_eq!(router.health().gaps, 1);
    assert_eq!(router.health().resyncs, 2);
}

#[test]
fn more_live_events_than_fit_leave_a_hole_that_is_asked_for_again() {
    let worker = publisher(EPOCH, 10);
    let mut router = Router::restored(&worker);
    store(&worker, 11..=13);
    let items = ask(&from(11)[0], &worker);
    let live: Vec<_> = (13..=13 + 1_025).map(stored).collect();
    store(&worker, 14..=13 + 1_025);
    assert_eq!(router.offer(EPOCH, &live).recoveries, from(11));
    let result = router.finish(&items);
    assert_eq!(result.recoveries, from(14));
    assert_eq!(router.health().state, FeedState::Recovering);
    assert_eq!(router.blocks(), numbers(1..=13));
    let result = router.answer(&result.recoveries[0], &worker);
    assert_eq!(result.recoveries, []);
    assert_eq!(router.blocks(), numbers(1..=13 + 1_025));
    assert_eq!(router.health().state, FeedState::Live);
}

#[test]
fn a_clear_ends_a_recovery_and_everything_before_it_is_old() {
    let worker = publisher(EPOCH, 15);
    let mut router = Router::restored(&worker);
    router.offer(EPOCH, &[stored(18), stored(19), stored(22)]);
    assert_eq!(router.health().state, FeedState::Recovering);
    store(&worker, 16..=19);
    let late = ask(&from(16)[0], &worker);
    router.offer(EPOCH, &[event(20, CacheEventData::Cleared)]);
    assert!(router.blocks().is_empty());
    // Event 22 waited and still has a hole before it.
    assert_eq!(router.health().last_event_id, 20);
    assert_eq!(router.offer(EPOCH, &[stored(19)]).applied, 0);
    router.finish(&late);
    assert!(router.blocks().is_empty());
    assert_eq!(router.health().last_event_id, 20);
}

#[test]
fn a_clear_over_a_gap_needs_no_recovery() {
    let mut router = Router::restored(&publisher(EPOCH, 10));
    let result = router.offer(EPOCH, &[event(20, CacheEventData::Cleared), stored(21)]);
    assert_eq!((result.applied, result.recoveries), (2, vec![]));
    assert_eq!(router.blocks(), [21]);
    assert_eq!(router.health().gaps, 1);
}

#[test]
fn a_clear_during_loading_drops_what_was_loaded() {
    let worker = publisher(EPOCH, 50);
    let mut router = Router::new();
    let due = router.feed.recoveries_due(0);
    let parsed = ParsedRecovery::parse(RANK, &ask(&due[0], &worker));
    let Router { feed, index, .. } = &mut router;
    let mut progress = feed.begin_recovery(index, RANK, parsed, 0);
    assert_eq!(feed.step_recovery(index, &mut progress, 8, 0), None);
    router.offer(EPOCH, &[event(51, CacheEventData::Cleared), stored(52)]);
    let Router { feed, index, .. } = &mut router;
    while feed.step_recovery(index, &mut progress, 8, 0).is_none() {}
    assert_eq!(router.blocks(), [52]);
    assert_eq!(router.index.stats().blocks, 1);
}

#[test]
fn a_publisher_that_starts_anew_empties_all_its_ranks_until_they_are_restored() {
    let mut router = Router::restored(&publisher(EPOCH, 10));
    let idle = WorkerRank::new(7, 1);
    router.feed.add_rank(idle);
    let mut other = stored(1);
    other.rank = idle;
    router.offer(EPOCH, &[other]);
    assert_eq!(hashes(&router.index, idle), [1]);

    let anew = publisher(EPOCH + 1, 3);
    let result = router.offer(EPOCH + 1, &[stored(3)]);
    assert_eq!(result.recoveries.len(), 2);
    assert!(router.blocks().is_empty());
    assert!(hashes(&router.index, idle).is_empty());
    router.answer(&everything()[0], &anew);
    assert_eq!(router.blocks(), [1, 2, 3]);
    assert_eq!(router.health().epoch, EPOCH + 1);
    // A late event of the start that is over changes nothing.
    let result = router.offer(EPOCH, &[stored(11)]);
    assert_eq!((result.stale, result.recoveries), (1, vec![]));
    assert_eq!(router.blocks(), [1, 2, 3]);
}

#[test]
fn a_start_wrongly_taken_for_over_is_believed_in_the_end() {
    let mut router = Router::restored(&publisher(EPOCH, 10));
    let anew = publisher(EPOCH + 1, 3);
    router.offer(EPOCH + 1, &[stored(3)]);
    router.answer(&everything()[0], &anew);
    let mut asked = Vec::new();
    for id in 1..100 {
        asked.extend(router.offer(EPOCH, &[stored(id)]).recoveries);
    }
    assert_eq!(asked, everything());
    router.answer(&asked[0], &publisher(EPOCH, 99));
    assert_eq!(router.blocks(), numbers(1..=99));
}

#[test]
fn a_rank_that_appears_later_is_restored_beside_the_others() {
    let worker = publisher(EPOCH, 3);
    let late = WorkerRank::new(7, 1);
    let mut router = Router::restored(&worker);
    let of_late = |event_id, hash| {
        let mut event = stored(event_id);
        event.rank = late;
        event.data = CacheEventData::Stored {
            parent: None,
            blocks: vec![block(hash)],
        };
        event
    };
    worker.accept_change(1, CacheTier::Device, of_late(1, 100).data);
    assert_eq!(router.offer(EPOCH, &[of_late(1, 100)]).refused, 1);
    worker.accept_change(1, CacheTier::Device, of_late(2, 101).data);
    router.feed.add_rank(late);
    let result = router.offer(EPOCH, &[of_late(2, 101)]);
    assert_eq!(result.recoveries[0].rank, late);
    let parsed = ParsedRecovery::parse(late, &ask(&result.recoveries[0], &worker));
    let mut progress = router
        .feed
        .begin_recovery(&mut router.index, late, parsed, router.now_ms);
    while router
        .feed
        .step_recovery(&mut router.index, &mut progress, 9, router.now_ms)
        .is_none()
    {}
    assert_eq!(hashes(&router.index, late), [100, 101]);
    assert_eq!(router.blocks(), numbers(1..=3));
    assert_eq!(router.health().resyncs, 1);
}

#[test]
fn the_last_possible_ids_are_ids_like_others() {
    let mut router = Router::restored(&publisher(EPOCH, 1));
    let last = u64::MAX;
    let cleared = event(last - 2, CacheEventData::Cleared);
    assert_eq!(router.offer(EPOCH, &[cleared]).applied, 1);
    let result = router.offer(EPOCH, &[stored(last - 1), stored(last)]);
    assert_eq!((result.applied, result.recoveries), (2, vec![]));
    assert_eq!(router.blocks(), [last - 1, last]);
    assert_eq!(router.offer(EPOCH, &[stored(1), stored(last)]).stale, 2);
    router.feed.restore_needed(RANK);
    let due = router.feed.recoveries_due(router.now_ms);
    assert_eq!(due, everything());
    // The publisher begins again, as one does whose numbers are used up.
    router.answer(&due[0], &publisher(u64::MAX, 4));
    assert_eq!(router.blocks(), numbers(1..=4));
    assert_eq!(router.offer(u64::MAX, &[stored(5)]).applied, 1);
}

#[test]
fn a_worker_that_comes_back_under_its_id_is_asked_for_everything() {
    let worker = publisher(EPOCH, 5);
    let mut router = Router::restored(&worker);
    router.feed.remove_rank(RANK);
    router.index.retire_rank(RANK);
    assert_eq!(router.offer(EPOCH, &[stored(6)]).refused, 1);
    router.feed.add_rank(RANK);
    store(&worker, 6..=7);
    // Late events of its former life and new ones alike.
    assert_eq!(router.offer(EPOCH, &[stored(2)]).recoveries, everything());
    assert_eq!(router.offer(EPOCH, &[stored(7)]).recoveries, []);
    router.answer(&everything()[0], &worker);
    assert_eq!(router.blocks(), numbers(1..=7));
    assert_eq!(router.health().state, FeedState::Live);
    while router.index.sweep(100) {}
    assert_eq!(router.index.stats().entries, 7);
}

#[test]
fn a_rank_that_is_cleared_leaves_the_recovery_of_another_alone() {
    let worker = publisher(EPOCH, 3);
    let other = WorkerRank::new(7, 1);
    let mut router = Router::restored(&worker);
    router.feed.add_rank(other);
    worker.accept_change(1, CacheTier::Device, stored(9).data);
    assert_eq!(router.offer(EPOCH, &[stored(5)]).recoveries, from(4));
    let mut cleared = event(1, CacheEventData::Cleared);
    cleared.rank = other;
    router.offer(EPOCH, &[cleared]);
    assert_eq!(router.health().state, FeedState::Recovering);
    store(&worker, 4..=5);
    router.answer(&from(4)[0], &worker);
    assert_eq!(router.blocks(), numbers(1..=5));
    assert_eq!(router.feed.state(other), Some(FeedState::Live));
    assert!(hashes(&router.index, other).is_empty());
}
