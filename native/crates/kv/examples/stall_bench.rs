//! How long one call can hold the loop of a router or of a worker, for everything that grows with an index:
//! `cargo run --release --example stall_bench -p dynamo-kv [-- blocks [part of a name]]`, a million blocks by default.
//!
//! Every case is run three times and a call counts with its shortest time: what is left is its own work, not what else
//! the machine did meanwhile.

use std::time::{Duration, Instant};

use dynamo_kv::{
    CacheEvent, CacheEventData, CacheTier, ExactOptions, KvEvent, KvEventBatch, PlaceRequest,
    Placement, PlacementSettings, Prompt, StoredBlock, WorkerFacts, WorkerRank,
};
use prost::Message;

const EVENT: u64 = 16;
const PROMPT: u64 = 1024;
const MIB: usize = 1 << 20;

fn main() {
    let blocks: u64 = std::env::args()
        .nth(1)
        .and_then(|blocks| blocks.parse().ok())
        .unwrap_or(1_000_000);
    println!(
        "{:<58} {:>9} {:>10} {:>10}",
        "one call", "calls", "p99", "longest"
    );
    case(
        "events of 16 blocks, index growing to {} blocks",
        blocks,
        |clock| {
            fill(&mut events_only(None), clock, blocks);
        },
    );
    case("a batch of 8,192 blocks", blocks, |clock| {
        let batch = batch(1, 1, &[stored(None, 0, 8192)]);
        let mut placement = events_only(None);
        clock.time(|| placement.apply_events(&batch, 1));
    });
    case(
        "all blocks of a worker cleared, and 100,000 events after",
        blocks,
        |clock| {
            let mut placement = events_only(None);
            let next = fill(&mut placement, &mut Clock::default(), blocks);
            let cleared = batch(1, next, &[CacheEventData::Cleared]);
            clock.time(|| placement.apply_events(&cleared, 1));
            for at in 1..100_000 {
                let event = batch(1, next + at, &[stored(None, at * 7 * EVENT, EVENT)]);
                clock.time(|| placement.apply_events(&event, 1));
            }
        },
    );
    case("a worker removed, and a thousand ticks", blocks, |clock| {
        let mut placement = events_only(None);
        fill(&mut placement, &mut Clock::default(), blocks);
        clock.time(|| placement.remove_worker(1));
        (0..1000).for_each(|at| clock.time(|| placement.expire(at)));
    });
    case(
        "stored into an index that is over its budget",
        blocks,
        |clock| {
            let budget = usize::try_from(blocks).unwrap_or(0) * 40;
            fill(&mut events_only(Some(budget)), clock, blocks);
        },
    );
    case("health and memory of a full index", blocks, |clock| {
        let mut placement = events_only(None);
        fill(&mut placement, &mut Clock::default(), blocks);
        clock.time(|| placement.health(1));
        clock.time(|| placement.bytes());
    });
    case(
        "decisions without events: as many blocks as the tree takes",
        blocks,
        |clock| {
            let mut placement = routing_only();
            route(&mut placement, clock, blocks * 5 / 4);
        },
    );
    case(
        "a tick when all that was routed is too old",
        blocks,
        |clock| {
            let mut placement = routing_only();
            route(&mut placement, &mut Clock::default(), blocks);
            (0..100).for_each(|at| clock.time(|| placement.expire(1_000_000 + at)));
        },
    );
    case(
        "a worker removed to which all was routed",
        blocks,
        |clock| {
            let mut placement = routing_only();
            route(&mut placement, &mut Clock::default(), blocks);
            clock.time(|| placement.remove_worker(1));
            (0..100).for_each(|at| clock.time(|| placement.expire(at)));
        },
    );
}

/// Times of the calls of one run.
#[derive(Default)]
struct Clock(Vec<Duration>);

impl Clock {
    fn time<T>(&mut self, call: impl FnOnce() -> T) {
        let start = Instant::now();
        let result = call();
        self.0.push(start.elapsed());
        drop(result);
    }
}

fn case(name: &str, blocks: u64, run: impl Fn(&mut Clock)) {
    if !std::env::args()
        .nth(2)
        .is_none_or(|part| name.contains(&part))
    {
        return;
    }
    let mut shortest: Vec<Duration> = Vec::new();
    for _ in 0..3 {
        let mut clock = Clock::default();
        run(&mut clock);
        shortest.resize(clock.0.len(), Duration::MAX);
        for (least, time) in shortest.iter_mut().zip(clock.0) {
            *least = time.min(*least);
        }
    }
    shortest.sort_unstable();
    let at = |share: usize| shortest[(shortest.len() - 1) * share / 100];
    let name = name.replace("{}", &blocks.to_string());
    println!(
        "{name:<58} {:>9} {:>10.1?} {:>10.1?}",
        shortest.len(),
        at(99),
        at(100)
    );
}

/// Stores that many blocks on worker 1, prompt by prompt; returns the next event's id.
fn fill(placement: &mut Placement, clock: &mut Clock, blocks: u64) -> u64 {
    let mut next = 1;
    for first in (0..blocks).step_by(usize::try_from(EVENT).unwrap_or(1)) {
        let parent = (first % PROMPT > 0).then(|| engine_hash(first - 1));
        let event = batch(1, next, &[stored(parent, first, EVENT)]);
        clock.time(|| placement.apply_events(&event, 1));
        next += 1;
    }
    next
}

fn route(placement: &mut Placement, clock: &mut Clock, blocks: u64) {
    for prompt in 0..blocks / PROMPT {
        let hashes: Vec<u64> = (0..PROMPT)
            .map(|at| local_hash(prompt * PROMPT + at))
            .collect();
        let id = prompt.to_string();
        let request = request(&id, &hashes);
        clock.time(|| placement.select(&request).is_ok());
        placement.free(&id, None);
    }
}

fn request<'a>(id: &'a str, hashes: &'a [u64]) -> PlaceRequest<'a> {
    PlaceRequest {
        now_ms: 1,
        record: false,
        ..PlaceRequest::new(id, Prompt::Hashes(hashes), PROMPT * 16)
    }
}

fn events_only(budget_bytes: Option<usize>) -> Placement {
    let settings = PlacementSettings {
        use_kv_events: true,
        index: ExactOptions { budget_bytes },
        ..settings()
    };
    placement(settings, true)
}

fn routing_only() -> Placement {
    placement(settings(), false)
}

fn settings() -> PlacementSettings {
    PlacementSettings {
        block_size: 16,
        track_active_blocks: true,
        assume_kv_reuse: true,
        decision_ring_bytes: 16 * MIB,
        ..PlacementSettings::default()
    }
}

fn placement(settings: PlacementSettings, kv_events: bool) -> Placement {
    let Ok(mut placement) = Placement::new(settings) else {
        unreachable!("the settings are right");
    };
    placement.set_worker(&WorkerFacts {
        worker_id: 1,
        dp_size: 1,
        kv_events,
        ..WorkerFacts::default()
    });
    placement
}

fn batch(worker_id: u64, first_id: u64, events: &[CacheEventData]) -> Vec<u8> {
    let events = (first_id..).zip(events).map(|(event_id, data)| {
        KvEvent::from_cache_event(&CacheEvent {
            rank: WorkerRank::new(worker_id, 0),
            event_id,
            tier: CacheTier::Device,
            data: data.clone(),
        })
    });
    KvEventBatch {
        worker_id,
        epoch: 1,
        block_size: 16,
        events: events.collect(),
    }
    .encode_to_vec()
}

fn stored(parent: Option<u64>, first: u64, count: u64) -> CacheEventData {
    let block = |number| StoredBlock {
        engine_hash: engine_hash(number),
        local_hash: local_hash(number),
    };
    CacheEventData::Stored {
        parent,
        blocks: (first..first + count).map(block).collect(),
    }
}

fn engine_hash(number: u64) -> u64 {
    let mixed = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ (mixed >> 31)
}

fn local_hash(number: u64) -> u64 {
    engine_hash(number).wrapping_mul(0x94d0_49bb_1331_11eb)
}
