//! What a worker's publisher guarantees: dense ids per rank over all its sources, nothing kept that cannot be trusted,
//! batches and memory of bounded size, frames that go on while a snapshot is made.

#![allow(clippy::unwrap_used)] // a test may panic

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dynamo_kv::{
    CacheEvent, CacheEventData, CacheTier, DecodeError, FramePlace, KvEventBatch, KvPublisher,
    KvQueryResult, PublisherOptions, StoredBlock, WorkerKvQueryRequest, WorkerKvQueryResponse,
};
use prost::Message;

fn publisher(change: impl FnOnce(&mut PublisherOptions)) -> KvPublisher {
    let mut options = PublisherOptions::new(7, 100, 1);
    change(&mut options);
    KvPublisher::new(options).unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let digit = |c: u8| char::from(c).to_digit(16).unwrap();
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::try_from(digit(pair[0]) * 16 + digit(pair[1])).unwrap())
        .collect()
}

/// `[clock, [["BlockStored", [hash], nil, [hash], 1]], rank]`.
fn stored_frame(clock: u8, hash: u8, dp_rank: Option<u8>) -> Vec<u8> {
    let rank = dp_rank.map_or("c0".to_owned(), |rank| format!("{rank:02x}"));
    hex(&format!(
        "93{clock:02x}9195ab426c6f636b53746f72656491{hash:02x}c091{hash:02x}01{rank}"
    ))
}

/// The same with an event whose hashes are a text.
fn damaged_frame(clock: u8) -> Vec<u8> {
    hex(&format!(
        "93{clock:02x}9192ac426c6f636b52656d6f766564a178c0"
    ))
}

fn published(publisher: &KvPublisher) -> Vec<CacheEvent> {
    let mut events = Vec::new();
    while let Some(batch) = publisher.flush() {
        let batch = KvEventBatch::decode(batch.as_slice()).unwrap();
        assert_eq!((batch.worker_id, batch.epoch), (7, 100));
        let read = batch.events.iter().map(|e| e.to_cache_event(7).unwrap());
        events.extend(read);
    }
    events
}

/// (rank, id, hashes stored; none for a clear).
fn told(publisher: &KvPublisher) -> Vec<(u32, u64, Option<Vec<u64>>)> {
    let rows = published(publisher).into_iter().map(|event| {
        let hashes = match event.data {
            CacheEventData::Stored { blocks, .. } => {
                Some(blocks.iter().map(|block| block.engine_hash).collect())
            }
            CacheEventData::Removed { engine_hashes } => Some(engine_hashes),
            CacheEventData::Cleared => None,
        };
        (event.rank.dp_rank, event.event_id, hashes)
    });
    rows.collect()
}

fn blocks(hashes: std::ops::RangeInclusive<u64>) -> CacheEventData {
    let block = |hash| StoredBlock {
        engine_hash: hash,
        local_hash: hash,
    };
    CacheEventData::Stored {
        parent: None,
        blocks: hashes.map(block).collect(),
    }
}

fn ask(publisher: &KvPublisher, dp_rank: u32, start: Option<u64>) -> Vec<WorkerKvQueryResponse> {
    let request = WorkerKvQueryRequest {
        worker_id: 7,
        dp_rank,
        start_event_id: start,
        end_event_id: None,
        epoch: 100,
    };
    let items = publisher.query(&request.encode_to_vec());
    let read = |item: &Vec<u8>| WorkerKvQueryResponse::decode(item.as_slice()).unwrap();
    items.iter().map(read).collect()
}

#[test]
fn ids_are_dense_per_rank_whichever_socket_speaks_of_it() {
    let publisher = publisher(|_| {});
    let accept = |source, sequence, frame: &[u8]| {
        publisher.accept_frame(source, sequence, frame).unwrap();
    };
    accept(0, 0, &stored_frame(1, 1, None));
    accept(1, 0, &stored_frame(1, 2, None));
    accept(1, 1, &stored_frame(2, 3, Some(0)));
    publisher.accept_change(0, CacheTier::Device, blocks(9..=9));
    let events = told(&publisher);
    let of = |rank: u32| {
        let own = events.iter().filter(|event| event.0 == rank);
        own.map(|event| event.1).collect::<Vec<_>>()
    };
    assert_eq!(of(0), [1, 2, 3]);
    assert_eq!(of(1), [1]);
    assert_eq!(publisher.stats().last_event_ids, [(0, 3), (1, 1)]);
}

#[test]
fn what_is_lost_or_cannot_be_read_empties_its_source_once() {
    let publisher = publisher(|_| {});
    let accept = |source, sequence, frame: &[u8]| publisher.accept_frame(source, sequence, frame);
    for source in [0, 1] {
        accept(source, 0, &stored_frame(1, 1, None)).unwrap();
    }
    assert_eq!(told(&publisher).len(), 2);

    assert_eq!(accept(0, 1, &[0xc1]), Err(DecodeError::UnexpectedType));
    assert_eq!(accept(0, 2, &[]), Err(DecodeError::Truncated));
    assert_eq!(told(&publisher), [(0, 2, None)]);
    assert_eq!(publisher.stats().index.entries, 1);

    accept(0, 3, &stored_frame(4, 5, None)).unwrap();
    assert_eq!(told(&publisher), [(0, 3, Some(vec![5]))]);
    let gap = accept(0, 6, &stored_frame(7, 6, None));
    assert_eq!(gap, Ok(FramePlace::Gap { missing_from: 4 }));
    assert_eq!(publisher.skip_to(0, 6), 6);
    accept(0, 6, &stored_frame(7, 6, None)).unwrap();
    let events = told(&publisher);
    assert_eq!(events, [(0, 4, None), (0, 5, Some(vec![6]))]);

    // A damaged event may have been a removal.
    assert_eq!(accept(0, 7, &damaged_frame(8)), Ok(FramePlace::Next));
    assert_eq!(told(&publisher), [(0, 6, None)]);

    accept(0, 8, &stored_frame(9, 7, None)).unwrap();
    assert_eq!(
        accept(0, 0, &stored_frame(20, 8, None)),
        Ok(FramePlace::Restarted)
    );
    // What was never told needs no clear.
    assert_eq!(told(&publisher), [(0, 7, Some(vec![8]))]);
    assert_eq!(publisher.stats().index.entries, 2);
    assert_eq!(publisher.stats().counters.refused_total(), 3);
}

#[test]
fn mocker_records_start_at_the_workers_first_rank_and_damaged_ones_empty_everything() {
    let publisher = publisher(|options| options.dp_start = 4);
    let mut records = Vec::new();
    for word in [1_u64 | 1 << 16 | 1 << 32, 0, 50, 51] {
        records.extend(word.to_le_bytes());
    }
    publisher.accept_mocker_records(&records).unwrap();
    assert_eq!(told(&publisher), [(5, 1, Some(vec![50]))]);
    publisher.accept_mocker_records(&records[..24]).unwrap_err();
    assert_eq!(told(&publisher), [(5, 2, None)]);
}

#[test]
fn a_query_covers_what_was_accepted_and_a_clear_of_one_rank_leaves_the_others() {
    let publisher = publisher(|_| {});
    publisher.accept_change(0, CacheTier::Device, blocks(1..=3));
    publisher.accept_change(1, CacheTier::Device, blocks(1..=3));
    publisher.clear(Some(0));
    publisher.clear(Some(0));
    let answer = ask(&publisher, 0, Some(1));
    assert_eq!(answer[0].last_event_id, 2);
    let Some(KvQueryResult::Events(batch)) = &answer[0].result else {
        panic!("{answer:?}");
    };
    let ids: Vec<u64> = batch.events.iter().map(|event| event.event_id).collect();
    assert_eq!(ids, [2], "the clear answers for what was before it");
    assert_eq!(publisher.stats().index.entries, 3);
    // A rank that never told anything is empty, not an error.
    let answer = ask(&publisher, 9, None);
    assert_eq!(answer[0].last_event_id, 0);
    assert!(matches!(answer[0].result, Some(KvQueryResult::Snapshot(_))));
}

#[test]
fn batches_and_what_waits_are_bounded() {
    let publisher = publisher(|options| options.max_batch_blocks = 0);
    for _ in 0..6_000 {
        let engine_hashes = (1..=1_000).collect();
        let data = CacheEventData::Removed { engine_hashes };
        publisher.accept_change(0, CacheTier::Device, data);
    }
    let stats = publisher.stats();
    assert!(stats.dropped_batches > 0, "48 MB do not fit");
    assert!(stats.bytes - stats.index.bytes < 48 << 20);
    let mut ids = Vec::new();
    while let Some(batch) = publisher.flush() {
        assert!(batch.len() <= 512 << 10);
        let batch = KvEventBatch::decode(batch.as_slice()).unwrap();
        ids.extend(batch.events.iter().map(|event| event.event_id));
    }
    assert_eq!(ids.last(), Some(&6_000));
    assert!(ids.windows(2).all(|pair| pair[0] + 1 == pair[1]));
    assert!(ids[0] > 1);
}

#[test]
fn the_index_keeps_its_budget() {
    let publisher = publisher(|options| options.index_budget_bytes = 4 << 20);
    for prompt in 0..4_000_u64 {
        let first = prompt * 1_000;
        publisher.accept_change(0, CacheTier::Device, blocks(first..=first + 99));
    }
    let stats = publisher.stats();
    assert!(stats.index.bytes <= 5 << 20, "{}", stats.index.bytes);
    assert!(stats.index.evicted > 0);
}

#[test]
fn hostile_sources_and_ranks_are_bounded() {
    let publisher = publisher(|_| {});
    for source in 0..3_000 {
        let frame = stored_frame(1, 1, None);
        let result = publisher.accept_frame(source, 0, &frame);
        assert_eq!(result.is_ok(), source < 1_024);
        publisher.accept_change(source + 10_000, CacheTier::Device, blocks(1..=1));
    }
    let stats = publisher.stats();
    assert!(stats.last_event_ids.len() <= 1_024);
    assert!(stats.ignored_ranks > 0);
    let large = vec![0x90; 33 << 20];
    assert_eq!(
        publisher.accept_frame(0, 1, &large),
        Err(DecodeError::TooLarge)
    );
    assert_eq!(publisher.query(&[0xff; 30]).len(), 1);
}

#[test]
fn frames_go_on_while_a_snapshot_is_made() {
    let publisher = Arc::new(publisher(|_| {}));
    for prompt in 0..300_u64 {
        let first = prompt * 10_000;
        publisher.accept_change(0, CacheTier::Device, blocks(first..=first + 999));
    }
    let done = Arc::new(AtomicBool::new(false));
    let asker = {
        let (publisher, done) = (Arc::clone(&publisher), Arc::clone(&done));
        std::thread::spawn(move || {
            let answer = ask(&publisher, 0, None);
            done.store(true, Ordering::Release);
            answer
        })
    };
    let mut meanwhile = 0_u64;
    while !done.load(Ordering::Acquire) {
        publisher.accept_change(0, CacheTier::Host, blocks(1..=1));
        publisher.flush();
        meanwhile += 1;
    }
    let answer = asker.join().unwrap();
    assert!(meanwhile > 10, "only {meanwhile} changes went through");
    assert!(answer[0].last_event_id <= 300 + meanwhile);
    assert_eq!(publisher.stats().index.entries, 300_001);
}

#[test]
fn settings_that_cannot_be_are_named() {
    let wrong = |change: fn(&mut PublisherOptions)| {
        let mut options = PublisherOptions::new(7, 100, 16);
        change(&mut options);
        KvPublisher::new(options).unwrap_err().to_string()
    };
    assert_eq!(wrong(|o| o.epoch = 0), "epoch must be greater than 0");
    assert!(wrong(|o| o.format.block_size = 0).starts_with("blockSize"));
    assert!(wrong(|o| o.ring_events = 0).starts_with("ringEvents"));
    assert!(wrong(|o| o.max_batch_blocks = 1_025).starts_with("maxBatchBlocks"));
}
