//! A router's feed and a worker's publisher under arbitrary bytes: no panic, bounded buffers, no more blocks than were
//! named, and nothing left of ranks that are gone.
//!
//! Input: steps in a row, each `kind u8 | length u8 | bytes`. Half of the kinds take the bytes as they are; the others make
//! whole messages of them, so that the search gets behind the decoders.
#![no_main]

use dynamo_kv::{
    CacheEvent, CacheEventData, CacheTier, EventFeed, ExactIndex, ExactOptions, KvEvent,
    KvEventBatch, KvIndex, KvPublisher, KvQueryInvalidRange, KvQueryResult, KvQueryTooNew,
    KvSnapshotChunk, ParsedRecovery, PublisherOptions, StoredBlock, WorkerKvQueryRequest,
    WorkerKvQueryResponse, WorkerRank,
};
use libfuzzer_sys::fuzz_target;
use prost::Message;

const RANKS: [WorkerRank; 2] = [
    WorkerRank {
        worker_id: 1,
        dp_rank: 0,
    },
    WorkerRank {
        worker_id: 1,
        dp_rank: 1,
    },
];

struct Router {
    feed: EventFeed,
    index: ExactIndex,
    publisher: KvPublisher,
    now_ms: u64,
}

fuzz_target!(|data: &[u8]| {
    let mut options = PublisherOptions::new(1, 2, 4);
    options.ring_events = 8;
    options.max_batch_blocks = 4;
    let Ok(publisher) = KvPublisher::new(options) else {
        return;
    };
    // Every other input meets an index that evicts.
    let budget_bytes = (data.len() % 2 == 1).then_some(8192);
    let mut router = Router {
        feed: EventFeed::new(4),
        index: ExactIndex::new(ExactOptions { budget_bytes }),
        publisher,
        now_ms: 0,
    };
    RANKS.map(|rank| router.feed.add_rank(rank));
    let mut rest = data;
    while let [kind, length, tail @ ..] = rest {
        let (bytes, next) = tail.split_at(usize::from(*length).min(tail.len()));
        router.step(*kind, bytes);
        rest = next;
    }
    assert!(router.feed.bytes() < 64 << 20);
    assert!(router.index.stats().entries <= 16 * (data.len() + 1));
    for rank in RANKS {
        router.feed.remove_rank(rank);
        router.index.retire_rank(rank);
    }
    while router.index.sweep(64) {}
    assert_eq!(router.index.stats().entries, 0);
    assert_eq!(router.index.stats().blocks, 0);
});

impl Router {
    fn step(&mut self, kind: u8, bytes: &[u8]) {
        self.now_ms += 300;
        let rank = RANKS[usize::from(kind >> 7)];
        match kind % 16 {
            0 => self.offer(bytes),
            1 => self.finish(rank, &[bytes.to_vec()]),
            2 => {
                let (first, second) = bytes.split_at(bytes.len() / 2);
                self.finish(rank, &[first.to_vec(), second.to_vec()]);
            }
            3 => self.feed.restore_needed(rank),
            4 => drop(self.feed.recoveries_due(self.now_ms)),
            5 => drop(self.feed.fail_recovery(rank, self.now_ms)),
            6 => self.finish(rank, &self.publisher.query(bytes)),
            7 => {
                let _ = self.publisher.accept_mocker_records(bytes);
            }
            8 => {
                let (sequence, payload) = bytes.split_first().unwrap_or((&0, bytes));
                let place = self
                    .publisher
                    .accept_frame(0, u64::from(*sequence), payload);
                drop(place);
            }
            9 => {
                self.publisher
                    .skip_to(0, u64::from(bytes.first().copied().unwrap_or(0)));
                self.publisher.beat();
            }
            10 => {
                while let Some(batch) = self.publisher.flush() {
                    self.offer(&batch);
                }
            }
            11 => self.finish_whole(rank, bytes),
            12 => self.ask_publisher(rank, bytes),
            13 => {
                for event in events(rank, bytes) {
                    let CacheEvent {
                        rank, tier, data, ..
                    } = event;
                    self.publisher.accept_change(rank.dp_rank, tier, data);
                }
            }
            _ => {
                let batch = KvEventBatch {
                    worker_id: 1,
                    epoch: 2 + u64::from(kind >> 4 & 3),
                    block_size: 4,
                    events: events(rank, bytes)
                        .iter()
                        .map(KvEvent::from_cache_event)
                        .collect(),
                };
                self.offer(&batch.encode_to_vec());
            }
        }
    }

    fn offer(&mut self, payload: &[u8]) {
        let result = self.feed.offer(&mut self.index, payload, self.now_ms);
        assert!(result.recoveries.len() <= 2 * RANKS.len() + payload.len());
    }

    fn finish(&mut self, rank: WorkerRank, items: &[Vec<u8>]) {
        let parsed = ParsedRecovery::parse(rank, items);
        let mut progress = self
            .feed
            .begin_recovery(&mut self.index, rank, parsed, self.now_ms);
        loop {
            let step = self
                .feed
                .step_recovery(&mut self.index, &mut progress, 3, self.now_ms);
            if step.is_some() {
                return;
            }
        }
    }

    fn ask_publisher(&mut self, rank: WorkerRank, bytes: &[u8]) {
        let request = WorkerKvQueryRequest {
            worker_id: 1,
            dp_rank: rank.dp_rank,
            start_event_id: bytes.first().map(|&start| u64::from(start)),
            end_event_id: bytes.get(1).map(|&end| u64::from(end)),
            epoch: 2,
        };
        let items = self.publisher.query(&request.encode_to_vec());
        self.finish(rank, &items);
    }

    /// An answer of which every part can be read.
    fn finish_whole(&mut self, rank: WorkerRank, bytes: &[u8]) {
        let [kind, epoch, last, rest @ ..] = bytes else {
            return;
        };
        let result = match kind % 4 {
            0 => KvQueryResult::Events(KvEventBatch {
                worker_id: 1,
                epoch: 2,
                block_size: 4,
                events: events(rank, rest)
                    .iter()
                    .map(KvEvent::from_cache_event)
                    .collect(),
            }),
            1 => KvQueryResult::TooNew(KvQueryTooNew {
                newest_event_id: u64::from(*last),
            }),
            2 => KvQueryResult::InvalidRange(KvQueryInvalidRange {}),
            _ => {
                let mut index = ExactIndex::default();
                for event in events(rank, rest) {
                    index.apply(rank, event.tier, &event.change());
                }
                KvQueryResult::Snapshot(KvSnapshotChunk {
                    index: 0,
                    count: 1,
                    data: index.snapshot(&[rank]),
                })
            }
        };
        let item = WorkerKvQueryResponse {
            worker_id: 1,
            dp_rank: rank.dp_rank,
            epoch: 2 + u64::from(epoch % 4),
            last_event_id: u64::from(*last),
            result: Some(result),
        };
        self.finish(rank, &[item.encode_to_vec()]);
    }
}

/// Events of four bytes each: id, kind and tier, two hashes. An id of 255 is the last one possible.
fn events(rank: WorkerRank, bytes: &[u8]) -> Vec<CacheEvent> {
    let event = |chunk: &[u8]| {
        let [id, kind, first, second] = *chunk else {
            return None;
        };
        let (first, second) = (u64::from(first % 32), u64::from(second % 32));
        let block = |hash| StoredBlock {
            engine_hash: hash,
            local_hash: hash % 5,
        };
        let data = match kind % 4 {
            0 => CacheEventData::Cleared,
            1 => CacheEventData::Removed {
                engine_hashes: vec![first, second],
            },
            2 => CacheEventData::Stored {
                parent: None,
                blocks: vec![block(first), block(second)],
            },
            _ => CacheEventData::Stored {
                parent: Some(first),
                blocks: vec![block(second), block(second + 1)],
            },
        };
        Some(CacheEvent {
            rank,
            event_id: if id == u8::MAX {
                u64::MAX
            } else {
                u64::from(id)
            },
            tier: CacheTier::ALL[usize::from(kind >> 6)],
            data,
        })
    };
    bytes.chunks(4).filter_map(event).collect()
}
