//! A router's side of one rank's stream, and the publisher that it hears.
#![allow(dead_code, clippy::unwrap_used)] // each test takes what it needs; a test may panic

use dynamo_kv::{
    CacheEvent, CacheEventData, CacheTier, EventFeed, ExactIndex, FeedResult, FeedState, KvEvent,
    KvEventBatch, KvPublisher, ParsedRecovery, PublisherOptions, RankFeed, RecoveryWanted,
    StoredBlock, WorkerKvQueryRequest, WorkerRank,
};
use prost::Message;

pub const RANK: WorkerRank = WorkerRank {
    worker_id: 7,
    dp_rank: 0,
};
pub const EPOCH: u64 = 100;

pub fn block(hash: u64) -> StoredBlock {
    StoredBlock {
        engine_hash: hash,
        local_hash: hash,
    }
}

/// Stores a block of its own, named after the event.
pub fn stored(event_id: u64) -> CacheEvent {
    event(
        event_id,
        CacheEventData::Stored {
            parent: None,
            blocks: vec![block(event_id)],
        },
    )
}

pub fn event(event_id: u64, data: CacheEventData) -> CacheEvent {
    CacheEvent {
        rank: RANK,
        event_id,
        tier: CacheTier::Device,
        data,
    }
}

pub fn batch(epoch: u64, events: &[CacheEvent]) -> KvEventBatch {
    KvEventBatch {
        worker_id: 7,
        epoch,
        block_size: 16,
        events: events.iter().map(KvEvent::from_cache_event).collect(),
    }
}

/// A publisher that has told `count` events, each storing a block of its own.
pub fn publisher(epoch: u64, count: u64) -> KvPublisher {
    let mut options = PublisherOptions::new(7, epoch, 16);
    options.max_batch_blocks = 0;
    let publisher = KvPublisher::new(options).unwrap();
    store(&publisher, 1..=count);
    publisher
}

pub fn store(publisher: &KvPublisher, hashes: std::ops::RangeInclusive<u64>) {
    for hash in hashes {
        let data = CacheEventData::Stored {
            parent: None,
            blocks: vec![block(hash)],
        };
        publisher.accept_change(0, CacheTier::Device, data);
    }
}

pub struct Router {
    pub feed: EventFeed,
    pub index: ExactIndex,
    pub now_ms: u64,
}

impl Router {
    pub fn new() -> Self {
        let mut feed = EventFeed::new(16);
        feed.add_rank(RANK);
        Self {
            feed,
            index: ExactIndex::default(),
            now_ms: 1_000,
        }
    }

    /// A router that has restored the publisher's present content.
    pub fn restored(publisher: &KvPublisher) -> Self {
        let mut router = Self::new();
        let due = router.feed.recoveries_due(router.now_ms);
        router.answer(&due[0], publisher);
        assert_eq!(router.health().state, FeedState::Live);
        router
    }

    pub fn offer(&mut self, epoch: u64, events: &[CacheEvent]) -> FeedResult {
        let payload = batch(epoch, events).encode_to_vec();
        self.feed.offer(&mut self.index, &payload, self.now_ms)
    }

    pub fn answer(&mut self, wanted: &RecoveryWanted, publisher: &KvPublisher) -> FeedResult {
        self.finish(&ask(wanted, publisher))
    }

    pub fn finish(&mut self, items: &[Vec<u8>]) -> FeedResult {
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

    pub fn health(&self) -> RankFeed {
        self.feed.health(RANK).unwrap()
    }

    pub fn blocks(&self) -> Vec<u64> {
        hashes(&self.index, RANK)
    }

    pub fn applied(&self, kind: &str, status: &str) -> u64 {
        let mut counts = self.feed.counters().applied();
        counts.find(|c| (c.0, c.1) == (kind, status)).unwrap().2
    }
}

pub fn hashes(index: &ExactIndex, rank: WorkerRank) -> Vec<u64> {
    let runs = index.dump_rank(rank);
    let mut hashes: Vec<u64> = runs
        .iter()
        .flat_map(|run| &run.blocks)
        .map(|block| block.engine_hash)
        .collect();
    hashes.sort_unstable();
    hashes
}

pub fn ask(wanted: &RecoveryWanted, publisher: &KvPublisher) -> Vec<Vec<u8>> {
    let request = WorkerKvQueryRequest {
        worker_id: wanted.rank.worker_id,
        dp_rank: wanted.rank.dp_rank,
        start_event_id: wanted.start_event_id,
        end_event_id: None,
        epoch: wanted.epoch,
    };
    publisher.query(&request.encode_to_vec())
}

pub fn from(start: u64) -> Vec<RecoveryWanted> {
    vec![RecoveryWanted {
        rank: RANK,
        epoch: EPOCH,
        start_event_id: Some(start),
    }]
}

pub fn everything() -> Vec<RecoveryWanted> {
    vec![RecoveryWanted {
        rank: RANK,
        epoch: 0,
        start_event_id: None,
    }]
}

pub fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<u64> {
    range.collect()
}
