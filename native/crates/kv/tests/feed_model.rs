//! Whatever happens between an engine and a router, in the end the router's index is what the engine holds: random engine
//! frames and changes, lost, repeated and damaged frames, restarts of engine, publisher and router, a channel that loses,
//! repeats and reorders batches, answers that fail or come late.

#![allow(clippy::unwrap_used)] // a test may panic

mod parties;
mod stream;

use std::collections::VecDeque;

use dynamo_kv::{
    EventFeed, ExactIndex, KvIndex, KvPublisher, ParsedRecovery, RecoveryWanted, WorkerRank,
};
use parties::{Content, FIRST_EPOCH, RANKS, Random, Router, WORKER, Worker, content};
use stream::ask;

#[test]
fn after_any_history_the_routers_index_is_what_the_engine_holds() {
    for seed in 1..=400 {
        run(seed);
    }
}

fn run(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut worker = Worker::new(FIRST_EPOCH);
    let mut starts = 0;
    let mut router = Router::new();
    let mut channel: VecDeque<Vec<u8>> = VecDeque::new();
    for _ in 0..400 {
        router.now_ms += random.below(200);
        match random.below(100) {
            0 => {
                // Every start has an epoch of its own, but clocks step back too.
                starts += 1;
                let epoch = if random.chance(80) {
                    FIRST_EPOCH + starts
                } else {
                    FIRST_EPOCH - starts
                };
                worker = Worker::new(epoch);
            }
            1 => router = Router::new(),
            2 => {
                let rank = WorkerRank::new(WORKER, u32::try_from(random.below(2)).unwrap());
                router.feed.restore_needed(rank);
            }
            3..=25 => worker.change(&mut random),
            26..=45 => worker.frame(&mut random),
            46..=60 => channel.extend(worker.publisher.flush()),
            61..=80 => carry(&mut channel, &mut router, &mut random),
            _ => router.act(&worker, &mut random, 20),
        }
    }
    settle(&mut worker, &mut router, channel, &mut random);
    for dp_rank in 0..RANKS {
        let rank = WorkerRank::new(WORKER, dp_rank);
        let truth = content(&worker.truth, rank);
        assert_eq!(content(&router.index, rank), truth, "seed {seed}, {rank:?}");
        let recovered = restored(&worker.publisher, rank);
        assert_eq!(recovered, truth, "seed {seed}, {rank:?}, own index");
    }
    while router.index.sweep(100) {}
    for dp_rank in 0..RANKS {
        router.index.remove_rank(WorkerRank::new(WORKER, dp_rank));
    }
    assert_eq!(router.index.stats().blocks, 0, "seed {seed}");
}

fn carry(channel: &mut VecDeque<Vec<u8>>, router: &mut Router, random: &mut Random) {
    let early = random.chance(10);
    let next = if early {
        random.take(channel)
    } else {
        channel.pop_front()
    };
    let Some(payload) = next else { return };
    match random.below(10) {
        0 => {}
        1 => {
            router.offer(&payload);
            channel.push_back(payload);
        }
        _ => router.offer(&payload),
    }
}

/// The network is quiet again and everyone works; engines go on, because only a later event shows that one was lost.
fn settle(
    worker: &mut Worker,
    router: &mut Router,
    mut channel: VecDeque<Vec<u8>>,
    random: &mut Random,
) {
    for payload in channel.drain(..) {
        router.offer(&payload);
    }
    for round in 0..100 {
        worker.publisher.beat();
        while let Some(payload) = worker.publisher.flush() {
            router.offer(&payload);
        }
        for _ in 0..2_000 {
            router.now_ms += 100;
            router.act(worker, random, 0);
            if router.is_settled() && round > 0 {
                break;
            }
        }
    }
    assert!(router.is_settled());
}

fn restored(publisher: &KvPublisher, rank: WorkerRank) -> Content {
    let wanted = RecoveryWanted {
        rank,
        epoch: 0,
        start_event_id: None,
    };
    let mut feed = EventFeed::new(2);
    let mut index = ExactIndex::default();
    feed.add_rank(rank);
    let parsed = ParsedRecovery::parse(rank, &ask(&wanted, publisher));
    let mut progress = feed.begin_recovery(&mut index, rank, parsed, 0);
    while feed
        .step_recovery(&mut index, &mut progress, 10, 0)
        .is_none()
    {}
    content(&index, rank)
}
