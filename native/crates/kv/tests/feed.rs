//! The cases of a rank's stream, one by one: what is applied, ignored, buffered, asked for, and what is left alone.

#![allow(clippy::unwrap_used)] // a test may panic

use dynamo_kv::{
    CacheEvent, CacheEventData, CacheTier, EventFeed, ExactIndex, FeedResult, FeedState, KvEvent,
    KvEventBatch, KvIndex, KvPublisher, ParsedRecovery, PublisherOptions, RankFeed, RecoveryWanted,
    StoredBlock, WorkerKvQueryRequest, WorkerKvQueryResponse, WorkerRank,
};
use prost::Message;

const RANK: WorkerRank = WorkerRank {
    worker_id: 7,
    dp_rank: 0,
};
const EPOCH: u64 = 100;

fn block(hash: u64) -> StoredBlock {
    StoredBlock {
        engine_hash: hash,
        local_hash: hash,
    }
}

/// Stores a block of its own, named after the event.
fn stored(event_id: u64) -> CacheEvent {
    event(
        event_id,
        CacheEventData::Stored {
            parent: None,
            blocks: vec![block(event_id)],
        },
    )
}

fn event(event_id: u64, data: CacheEventData) -> CacheEvent {
    CacheEvent {
        rank: RANK,
        event_id,
        tier: CacheTier::Device,
        data,
    }
}

fn batch(epoch: u64, events: &[CacheEvent]) -> KvEventBatch {
    KvEventBatch {
        worker_id: 7,
        epoch,
        block_size: 16,
        events: events.iter().map(KvEvent::from_cache_event).collect(),
    }
}

/// A publisher that has told `count` events, each storing a block of its own.
fn publisher(epoch: u64, count: u64) -> KvPublisher {
    let mut options = PublisherOptions::new(7, epoch, 16);
    options.max_batch_blocks = 0;
    let publisher = KvPublisher::new(options).unwrap();
    store(&publisher, 1..=count);
    publisher
}

fn store(publisher: &KvPublisher, hashes: std::ops::RangeInclusive<u64>) {
    for hash in hashes {
        let data = CacheEventData::Stored {
            parent: None,
            blocks: vec![block(hash)],
        };
        publisher.accept_change(0, CacheTier::Device, data);
    }
}

struct Router {
    feed: EventFeed,
    index: ExactIndex,
    now_ms: u64,
}

impl Router {
    fn new() -> Self {
        let mut feed = EventFeed::new(16);
        feed.add_rank(RANK);
        Self {
            feed,
            index: ExactIndex::default(),
            now_ms: 1_000,
        }
    }

    /// A router that has restored the publisher's present content.
    fn restored(publisher: &KvPublisher) -> Self {
        let mut router = Self::new();
        let due = router.feed.recoveries_due(router.now_ms);
        router.answer(&due[0], publisher);
        assert_eq!(router.health().state, FeedState::Live);
        router
    }

    fn offer(&mut self, epoch: u64, events: &[CacheEvent]) -> FeedResult {
        let payload = batch(epoch, events).encode_to_vec();
        self.feed.offer(&mut self.index, &payload, self.now_ms)
    }

    fn answer(&mut self, wanted: &RecoveryWanted, publisher: &KvPublisher) -> FeedResult {
        self.finish(&ask(wanted, publisher))
    }

    fn finish(&mut self, items: &[Vec<u8>]) -> FeedResult {
        let parsed = ParsedRecovery::parse(RANK, items);
        let mut progress = self
            .feed
            .begin_recovery(&mut self.index, RANK, parsed, self.now_ms);
        loop {
            let result = self
                .feed
                .step_recovery(&mut self.index, &mut progress, 3, self.now_ms);
            if let Some(result) = result {
                return result;
            }
        }
    }

    fn health(&self) -> RankFeed {
        self.feed.health(RANK).unwrap()
    }

    fn blocks(&self) -> Vec<u64> {
        hashes(&self.index, RANK)
    }

    fn applied(&self, kind: &str, status: &str) -> u64 {
        let mut counts = self.feed.counters().applied();
        counts.find(|c| (c.0, c.1) == (kind, status)).unwrap().2
    }
}

fn hashes(index: &ExactIndex, rank: WorkerRank) -> Vec<u64> {
    let runs = index.dump_rank(rank);
    let mut hashes: Vec<u64> = runs
        .iter()
        .flat_map(|run| &run.blocks)
        .map(|block| block.engine_hash)
        .collect();
    hashes.sort_unstable();
    hashes
}

fn ask(wanted: &RecoveryWanted, publisher: &KvPublisher) -> Vec<Vec<u8>> {
    let request = WorkerKvQueryRequest {
        worker_id: wanted.rank.worker_id,
        dp_rank: wanted.rank.dp_rank,
        start_event_id: wanted.start_event_id,
        end_event_id: None,
        epoch: wanted.epoch,
    };
    publisher.query(&request.encode_to_vec())
}

fn from(start: u64) -> Vec<RecoveryWanted> {
    vec![RecoveryWanted {
        rank: RANK,
        epoch: EPOCH,
        start_event_id: Some(start),
    }]
}

fn everything() -> Vec<RecoveryWanted> {
    vec![RecoveryWanted {
        rank: RANK,
        epoch: 0,
        start_event_id: None,
    }]
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    range.collect()
}

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
    for payload in payloads {
        let result = router.feed.offer(&mut router.index, &payload, 0);
        assert_eq!((result.refused, result.applied), (1, 0));
    }
    assert_eq!(router.blocks(), [1, 2, 3]);
    assert_eq!(router.feed.counters().refused, 7);
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
