//! Three routers with slightly old views of each other's bookings and one system prompt for all: nobody is run over.

#![allow(clippy::unwrap_used)] // a test may panic

mod fleet;

use std::collections::VecDeque;

use dynamo_kv::{
    ACTIVE_REQUEST_TOKENS, CostSettings, Placement, PlacementSettings, RemoteBooking, WorkerRank,
};
use fleet::{BLOCK, Lcg, fleet, hashes, request, settings};

const ROUTERS: usize = 3;
const WORKERS: usize = 8;
/// Requests that are placed before a router hears of one that another one placed.
const DELAY: usize = 4;
const IN_FLIGHT: usize = 96;

struct Booked {
    router: usize,
    id: String,
    rank: WorkerRank,
    prompt: Vec<u64>,
    prefill_tokens: u64,
}

/// Tells the other routers.
fn tell(routers: &mut [Placement], booked: &Booked) {
    for (at, router) in routers.iter_mut().enumerate() {
        if at != booked.router {
            assert!(router.add_remote(&RemoteBooking {
                id: &booked.id,
                rank: booked.rank,
                block_hashes: &booked.prompt,
                prompt_tokens: booked.prompt.len() as u64 * 16,
                prefill_tokens: booked.prefill_tokens,
                now_ms: 1,
                predict: false,
            }));
        }
    }
}

/// Most and mean requests of a worker while the fleet was full, and in all.
fn run(shared_blocks: u64, seed: u64) -> (f64, f64) {
    let mut random = Lcg(seed);
    let mut routers: Vec<Placement> = (0..ROUTERS as u64)
        .map(|number| {
            let settings = PlacementSettings {
                seed: seed * 100 + number,
                cost: CostSettings {
                    decode_active_request_weight: ACTIVE_REQUEST_TOKENS / f64::from(BLOCK),
                    ..CostSettings::default()
                },
                ..settings()
            };
            fleet(WORKERS as u64, settings)
        })
        .collect();
    let system = hashes(1, shared_blocks);
    let mut waiting: VecDeque<Booked> = VecDeque::new();
    let mut told: VecDeque<Booked> = VecDeque::new();
    let mut running = [0_u32; WORKERS];
    let mut served = [0_u32; WORKERS];
    let (mut worst, mut samples) = (0.0, 0.0);
    for number in 0..3_000 {
        let router = usize::try_from(random.below(ROUTERS as u64)).unwrap();
        let mut prompt = system.clone();
        prompt.extend(hashes(1_000 + number, 4 + random.below(12)));
        let id = format!("{router}/{number}");
        let placed = routers[router].select(&request(&id, &prompt)).unwrap();
        let worker = usize::try_from(placed.rank.worker_id - 1).unwrap();
        running[worker] += 1;
        served[worker] += 1;
        waiting.push_back(Booked {
            router,
            id,
            rank: placed.rank,
            prompt,
            prefill_tokens: placed.prefill_tokens,
        });
        if waiting.len() > DELAY {
            let booked = waiting.pop_front().unwrap();
            tell(&mut routers, &booked);
            for router in &mut routers {
                router.prefill_done(&booked.id, 1);
            }
            told.push_back(booked);
        }
        if told.len() > IN_FLIGHT {
            let at = usize::try_from(random.below(told.len() as u64)).unwrap();
            let ended = told.remove(at).unwrap();
            for router in &mut routers {
                assert!(router.free(&ended.id, None).is_some());
            }
            running[usize::try_from(ended.rank.worker_id - 1).unwrap()] -= 1;
            let most = f64::from(*running.iter().max().unwrap());
            let all: u32 = running.iter().sum();
            worst += most * f64::from(u32::try_from(WORKERS).unwrap()) / f64::from(all);
            samples += 1.0;
        }
    }
    let most = f64::from(*served.iter().max().unwrap());
    (most * 8.0 / 3_000.0, worst / samples)
}

#[test]
fn three_routers_with_one_system_prompt_keep_eight_workers_even() {
    for shared_blocks in [8, 64, 256] {
        for seed in 1..4 {
            let (served, running) = run(shared_blocks, seed);
            assert!(
                served < 1.3,
                "{shared_blocks} shared blocks: {served} of the mean served"
            );
            assert!(
                running < 1.3,
                "{shared_blocks} shared blocks: {running} of the mean at once"
            );
        }
    }
}
