//! A small engine and requests to it.
#![allow(clippy::unwrap_used, dead_code, missing_docs)] // each test takes what it needs

use dynamo_sim::{EngineArgs, Outcome, Request, Simulation};

pub const MS: u64 = 1_000_000;

pub fn args() -> EngineArgs {
    EngineArgs {
        num_gpu_blocks: 64,
        block_size: 4,
        watermark: 0.0,
        vocabulary: (32..127).collect(),
        ..EngineArgs::default()
    }
}

pub fn simulation(args: EngineArgs) -> Simulation {
    Simulation::new(args).unwrap()
}

pub fn prompt(first: u32, len: u32) -> Vec<u32> {
    (first..first + len).collect()
}

pub fn request(id: u32, prompt: Vec<u32>, max_tokens: u32) -> Request {
    Request {
        id,
        prompt,
        max_tokens: Some(max_tokens),
        ..Request::default()
    }
}

pub fn run(args: EngineArgs, request: Request) -> Outcome {
    let mut simulation = simulation(args);
    let id = request.id;
    simulation.submit(request);
    simulation.run();
    simulation.outcome(id)
}

/// Milliseconds between tokens; the first is the time to the first token.
pub fn gaps_ms(outcome: &Outcome) -> Vec<u64> {
    let times = &outcome.token_times_ns;
    let before = std::iter::once(&0).chain(times);
    times
        .iter()
        .zip(before)
        .map(|(at, before)| (at - before) / MS)
        .collect()
}
