//! A rank whose index promises what its engine does not have is found out, scored by routing, and believed again after it
//! has been restored.

#![allow(clippy::unwrap_used)] // a test may panic

mod fleet;

use dynamo_kv::{
    CacheEventData, CacheTier, KvPublisher, OutcomeKind, Placement, Prompt, PublisherOptions,
    RecoveryWanted, RequestOutcome, StoredBlock, WorkerFacts, WorkerKvQueryRequest, WorkerRank,
    sequence_hashes,
};
use fleet::{BLOCK, hashes, request, settings, silent};
use prost::Message;

const RANK: WorkerRank = WorkerRank {
    worker_id: 1,
    dp_rank: 0,
};

struct Worker(KvPublisher);

impl Worker {
    fn new() -> Self {
        Self(KvPublisher::new(PublisherOptions::new(1, 5, BLOCK as usize)).unwrap())
    }

    fn store(&self, local: &[u64]) {
        let blocks = sequence_hashes(local).into_iter().zip(local);
        let data = CacheEventData::Stored {
            parent: None,
            blocks: blocks
                .map(|(engine_hash, &local_hash)| StoredBlock {
                    engine_hash,
                    local_hash,
                })
                .collect(),
        };
        self.0.accept_change(0, CacheTier::Device, data);
    }

    fn answer(&self, wanted: &RecoveryWanted) -> Vec<Vec<u8>> {
        let query = WorkerKvQueryRequest {
            worker_id: wanted.rank.worker_id,
            dp_rank: wanted.rank.dp_rank,
            start_event_id: wanted.start_event_id,
            end_event_id: None,
            epoch: wanted.epoch,
        };
        self.0.query(&query.encode_to_vec())
    }
}

fn state(placement: &Placement) -> &'static str {
    placement.health(0).ranks[0].state
}

fn restore(placement: &mut Placement, worker: &Worker, now_ms: u64) -> usize {
    let due = placement.recoveries_due(now_ms);
    for wanted in &due {
        placement.finish_recovery(wanted.rank, &worker.answer(wanted), now_ms);
    }
    due.len()
}

/// A placement over one worker that is live and holds a prompt.
fn live() -> (Placement, Worker, Vec<u64>) {
    let mut placement = Placement::new(settings()).unwrap();
    placement.set_worker(&WorkerFacts {
        kv_events: true,
        ..silent(1)
    });
    let worker = Worker::new();
    let prompt = hashes(1, 20);
    worker.store(&prompt);
    assert_eq!(state(&placement), "waiting");
    assert_eq!(restore(&mut placement, &worker, 1), 1);
    assert_eq!(state(&placement), "live");
    (placement, worker, prompt)
}

/// Answers `count` requests of which the engine reports so many cached tokens each.
fn answer(placement: &mut Placement, prompt: &[u64], count: u32, reported: Option<u32>) {
    for _ in 0..count {
        placement.select(&request("r", prompt)).unwrap();
        let outcome = RequestOutcome {
            cached_tokens: reported,
            ..RequestOutcome::of(OutcomeKind::Completed)
        };
        placement.free("r", Some(outcome)).unwrap();
    }
}

#[test]
fn an_index_that_promises_too_much_is_not_believed_until_it_is_restored() {
    let (mut placement, worker, prompt) = live();
    answer(&mut placement, &prompt, 31, Some(10));
    assert_eq!(state(&placement), "live");
    answer(&mut placement, &prompt, 1, Some(10));
    assert_eq!(state(&placement), "demoted");
    let health = placement.health(0).ranks[0];
    assert_eq!(health.predicted_cached_tokens, 32 * 320);
    assert_eq!(health.reported_cached_tokens, 32 * 10);
    // Scored by what is routed from now on.
    assert_eq!(placement.overlap(Prompt::Hashes(&prompt)).device, [0]);
    placement.select(&request("a", &prompt)).unwrap();
    assert_eq!(placement.overlap(Prompt::Hashes(&prompt)).device, [20]);
    // The first time it is restored at once, and named once.
    assert_eq!(restore(&mut placement, &worker, 2), 1);
    assert_eq!(state(&placement), "live");
    assert!(placement.recoveries_due(3).is_empty());
    // The next time in a row only after a while.
    answer(&mut placement, &prompt, 32, Some(0));
    assert_eq!(state(&placement), "demoted");
    assert_eq!(restore(&mut placement, &worker, 9_000), 0);
    assert_eq!(restore(&mut placement, &worker, 10_100), 1);
    assert_eq!(state(&placement), "live");
}

#[test]
fn honest_engines_and_those_that_say_nothing_are_believed() {
    let (mut placement, _worker, prompt) = live();
    answer(&mut placement, &prompt, 100, None);
    answer(&mut placement, &prompt, 100, Some(304));
    // Evictions between decision and prefill are normal.
    answer(&mut placement, &prompt, 100, Some(170));
    assert_eq!(state(&placement), "live");
    assert_eq!(placement.health(0).ranks[0].reported_cached_tokens, 47_400);
}

#[test]
fn a_prompt_of_one_block_cannot_be_cached_whole_and_condemns_nobody() {
    let (mut placement, worker, _) = live();
    let short = hashes(2, 1);
    worker.store(&short);
    while let Some(batch) = worker.0.flush() {
        placement.apply_events(&batch, 2);
    }
    assert_eq!(placement.overlap(Prompt::Hashes(&short)).device, [1]);
    answer(&mut placement, &short, 100, Some(0));
    assert_eq!(state(&placement), "live");
}

#[test]
fn states_say_where_a_rank_stands() {
    let (mut placement, worker, prompt) = live();
    placement.restore_needed(RANK);
    assert_eq!(state(&placement), "waiting");
    // What is held is still the best guess.
    assert_eq!(placement.overlap(Prompt::Hashes(&prompt)).device, [20]);
    assert_eq!(placement.recoveries_due(5).len(), 1);
    assert_eq!(state(&placement), "recovering");
    // Since the subscription was lost, at 1.
    assert_eq!(placement.health(8).ranks[0].staleness_ms, 7);
    placement.fail_recovery(RANK, 9);
    assert_eq!(state(&placement), "demoted");
    assert_eq!(placement.overlap(Prompt::Hashes(&prompt)).device, [0]);
    assert_eq!(restore(&mut placement, &worker, 60_000), 1);
    assert_eq!(state(&placement), "live");
    assert_eq!(placement.health(99_000).ranks[0].staleness_ms, 0);
    placement.set_worker(&silent(1));
    assert_eq!(state(&placement), "silent");
    assert_eq!(placement.overlap(Prompt::Hashes(&prompt)).device, [0]);
}

#[test]
fn events_that_mean_nothing_are_counted_and_harm_nobody() {
    let (mut placement, worker, prompt) = live();
    for bytes in [&[0xff_u8; 40][..], &[], &[8, 1], b"not protobuf"] {
        placement.apply_events(bytes, 3);
    }
    assert_eq!(placement.overlap(Prompt::Hashes(&prompt)).device, [20]);
    worker.store(&hashes(3, 5));
    let batch = worker.0.flush().unwrap();
    for end in 0..batch.len() {
        placement.apply_events(&batch[..end], 3);
    }
    let refused = placement.health(0).refused;
    assert!(
        refused
            .iter()
            .any(|(reason, count)| *reason == "unreadable" && *count > 0)
    );
}
