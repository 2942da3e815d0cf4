//! Speed of the router's event feed on one core, and how long a recovery holds whoever waits for the index:
//! `cargo run --release --example feed_bench -p dynamo-kv`.
//!
//! 64 workers; prompts of 64 blocks in events of 16. "read" is the part of applying that needs no index: decoding a batch
//! into events. The recovery is of one worker with a million blocks, while its old million is in the index.

use std::time::{Duration, Instant};

use dynamo_kv::{
    CacheEventData, CacheTier, EventFeed, ExactIndex, KvEvent, KvEventBatch, KvPublisher,
    ParsedRecovery, PublisherOptions, StoredBlock, WorkerKvQueryRequest, WorkerRank,
};
use prost::Message;

const WORKERS: u64 = 64;
const PROMPT: u64 = 64;
const EVENT: usize = 16;
const BLOCKS: u64 = 1_000_000;
const STEP_BLOCKS: usize = 512;

fn main() {
    apply();
    recover();
}

fn apply() {
    for (name, events_per_batch) in [("1 event", 1), ("4 events", 4)] {
        let batches = batches(events_per_batch);
        let blocks = float(BLOCKS);
        let start = Instant::now();
        for batch in &batches {
            let batch = KvEventBatch::decode(batch.as_slice()).unwrap_or_default();
            let read = batch.events.iter().map(|event| event.to_cache_event(1));
            assert!(read.flatten().count() > 0);
        }
        let read = start.elapsed();
        let mut feed = feed();
        let mut index = ExactIndex::default();
        let start = Instant::now();
        for batch in &batches {
            assert!(feed.offer(&mut index, batch, 1).applied > 0);
        }
        let applied = start.elapsed();
        println!(
            "batches of {name}: {:.2} M blocks/s applied, of which reading takes {:.0} %",
            blocks / applied.as_secs_f64() / 1e6,
            100.0 * read.as_secs_f64() / applied.as_secs_f64(),
        );
    }
}

fn recover() {
    let Ok(publisher) = KvPublisher::new(PublisherOptions::new(1, 1, 16)) else {
        return;
    };
    for prompt in 0..BLOCKS / PROMPT {
        publisher.accept_change(0, CacheTier::Device, stored(prompt, 0));
    }
    let rank = WorkerRank::new(1, 0);
    let mut feed = feed();
    let mut index = ExactIndex::default();
    let request = WorkerKvQueryRequest {
        worker_id: 1,
        ..WorkerKvQueryRequest::default()
    };
    for round in ["first", "again"] {
        feed.restore_needed(rank);
        feed.recoveries_due(0);
        let start = Instant::now();
        let items = publisher.query(&request.encode_to_vec());
        let answered = start.elapsed();
        let start = Instant::now();
        let parsed = ParsedRecovery::parse(rank, &items);
        let read = start.elapsed();
        let mut steps = Vec::new();
        let mut progress = feed.begin_recovery(&mut index, rank, parsed, 0);
        loop {
            let start = Instant::now();
            let result = feed.step_recovery(&mut index, &mut progress, STEP_BLOCKS, 0);
            steps.push(start.elapsed());
            if result.is_some() {
                break;
            }
        }
        let total: Duration = steps.iter().sum();
        steps.sort_unstable();
        let at = |share: usize| steps[(steps.len() - 1) * share / 1000];
        println!(
            "recovery of {BLOCKS} blocks, {round}: answered in {answered:.0?}, {} items, read in {read:.0?}, applied in \
             {total:.0?}: {} steps of {STEP_BLOCKS} blocks, p50 {:.1?}, p99 {:.1?}, p99.9 {:.1?}, longest {:.1?}",
            items.len(),
            steps.len(),
            at(500),
            at(990),
            at(999),
            at(1000),
        );
    }
}

fn feed() -> EventFeed {
    let mut feed = EventFeed::new(16);
    for worker in 1..=WORKERS {
        feed.add_rank(WorkerRank::new(worker, 0));
    }
    feed
}

/// Blocks of a prompt, all its own.
fn stored(prompt: u64, worker: u64) -> CacheEventData {
    let block = |position: u64| {
        let mixed = (prompt * PROMPT + position + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        StoredBlock {
            engine_hash: mixed ^ (mixed >> 31) ^ worker,
            local_hash: mixed ^ (mixed >> 29),
        }
    };
    CacheEventData::Stored {
        parent: None,
        blocks: (0..PROMPT).map(block).collect(),
    }
}

fn batches(events_per_batch: usize) -> Vec<Vec<u8>> {
    let mut next_ids = [1_u64; 64];
    let mut out = Vec::new();
    for prompt in 0..BLOCKS / PROMPT {
        let worker = prompt % WORKERS;
        let CacheEventData::Stored { blocks, .. } = stored(prompt, worker) else {
            continue;
        };
        let mut parent = None;
        let mut events = Vec::new();
        for part in blocks.chunks(EVENT) {
            let next_id = &mut next_ids[usize::try_from(worker).unwrap_or(0)];
            let data = CacheEventData::Stored {
                parent,
                blocks: part.to_vec(),
            };
            parent = part.last().map(|block| block.engine_hash);
            events.push(KvEvent::from_cache_event(&dynamo_kv::CacheEvent {
                rank: WorkerRank::new(worker + 1, 0),
                event_id: *next_id,
                tier: CacheTier::Device,
                data,
            }));
            *next_id += 1;
        }
        for events in events.chunks(events_per_batch) {
            let batch = KvEventBatch {
                worker_id: worker + 1,
                epoch: 1,
                block_size: 16,
                events: events.to_vec(),
            };
            out.push(batch.encode_to_vec());
        }
    }
    out
}

#[allow(clippy::cast_precision_loss)] // printed with few digits
fn float(count: u64) -> f64 {
    count as f64
}
