//! The live clock on real threads.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use dynamo_sim::{Delivery, EngineArgs, Finish, LiveEngine, Request, Sink};

const PATIENCE: Duration = Duration::from_secs(20);

struct Channel(Sender<Delivery>);

impl Sink for Channel {
    fn deliver(&mut self, delivery: Delivery) {
        let _ = self.0.send(delivery);
    }

    fn fail(&mut self, reason: String) {
        panic!("{reason}");
    }
}

fn start(speedup_ratio: f64) -> (LiveEngine, Receiver<Delivery>) {
    let (sender, receiver) = channel();
    let args = EngineArgs {
        speedup_ratio,
        vocabulary: (32..127).collect(),
        ..EngineArgs::default()
    };
    (LiveEngine::start(args, Channel(sender)).unwrap(), receiver)
}

fn request(id: u32, max_tokens: u32) -> Request {
    Request {
        id,
        prompt: vec![id, 2, 3],
        max_tokens: Some(max_tokens),
        ..Request::default()
    }
}

fn ends(delivery: &Delivery) -> usize {
    delivery
        .records
        .chunks_exact(4)
        .filter(|record| record[2] & 0xff != 0)
        .count()
}

/// Tokens per request until `ends` requests have ended.
fn drain(receiver: &Receiver<Delivery>, ends: usize) -> (Vec<u32>, usize) {
    let (mut tokens, mut ended, mut deliveries) = (Vec::new(), 0, 0);
    while ended < ends {
        let delivery = receiver.recv_timeout(PATIENCE).unwrap();
        deliveries += 1;
        let mut start = 0;
        for record in delivery.records.chunks_exact(4) {
            let id = record[0] as usize;
            if id >= tokens.len() {
                tokens.resize(id + 1, 0);
            }
            tokens[id] += record[1];
            start += record[1] as usize;
        }
        ended += self::ends(&delivery);
        assert_eq!(start, delivery.token_ids.len());
    }
    (tokens, deliveries)
}

#[test]
fn a_request_takes_the_time_of_the_model() {
    let (engine, receiver) = start(1.0);
    let began = Instant::now();
    engine.submit(request(0, 5));
    assert_eq!(drain(&receiver, 1).0, [5]);
    let model = Duration::from_micros(16_547 + 4 * 5_743);
    assert!(began.elapsed() >= model, "{:?}", began.elapsed());
}

#[test]
fn thousands_of_requests_leave_in_few_deliveries_each_with_one_entry_a_request() {
    let (engine, receiver) = start(0.0);
    for id in 0..3_000 {
        engine.submit(request(id, 100));
    }
    let (tokens, deliveries) = drain(&receiver, 3_000);
    assert!(tokens.iter().all(|&count| count == 100));
    assert!(deliveries < 1_000, "{deliveries}");
}

#[test]
fn a_receiver_that_takes_nothing_stops_the_engine_not_the_memory() {
    let (engine, receiver) = start(0.0);
    for id in 0..64 {
        engine.submit(request(id, 10_000));
    }
    let held = receiver.recv_timeout(PATIENCE).unwrap();
    // nothing follows while the first delivery is held: 640,000 tokens would be done in a moment otherwise
    assert!(receiver.recv_timeout(Duration::from_millis(200)).is_err());
    let (before, ends_before) = (held.token_ids.len(), ends(&held));
    drop(held);
    let next = receiver.recv_timeout(PATIENCE).unwrap();
    assert!(next.token_ids.len() < 70_000, "{}", next.token_ids.len());
    let rest = 640_000 - before - next.token_ids.len();
    let running = 64 - ends_before - ends(&next);
    drop(next);
    let (tokens, _) = drain(&receiver, running);
    assert_eq!(tokens.iter().sum::<u32>() as usize, rest);
}

#[test]
fn a_cancelled_request_is_confirmed_once() {
    let (engine, receiver) = start(1.0);
    engine.submit(request(0, 100_000));
    engine.cancel(0);
    engine.cancel(0);
    engine.submit(request(1, 1));
    let (mut cancelled, mut finished) = (0, 0);
    while finished == 0 {
        let delivery = receiver.recv_timeout(PATIENCE).unwrap();
        for record in delivery.records.chunks_exact(4) {
            cancelled += u32::from(record[2] & 0xff == Finish::Cancelled as u32);
            finished += u32::from(record[2] & 0xff == Finish::Length as u32);
        }
    }
    assert_eq!((cancelled, finished), (1, 1));
}

#[test]
fn load_is_told_when_it_changes_and_an_idle_engine_is_silent() {
    let (mut engine, receiver) = start(0.0);
    assert!(receiver.recv_timeout(Duration::from_millis(50)).is_err());
    engine.submit(request(0, 300));
    let mut last = Vec::new();
    while let Ok(delivery) = receiver.recv_timeout(Duration::from_millis(300)) {
        last = delivery.loads.unwrap_or(last);
    }
    assert_eq!(
        (
            last[0].running,
            last[0].active_blocks,
            last[0].inactive_blocks
        ),
        (0, 0, 4)
    );
    assert_eq!(engine.totals()[0].generated_tokens, 300);
    engine.close();
    engine.close();
}
