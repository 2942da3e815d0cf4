//! Who runs when and for how long, seen from outside through the discrete-event clock.
#![allow(clippy::unwrap_used, missing_docs)]

mod engine;

use dynamo_sim::{EngineArgs, Finish, Outcome, Rejection, Request};
use engine::{MS, args, gaps_ms, prompt, request, run, simulation};

#[test]
fn prefill_comes_first_and_every_decode_step_yields_one_token() {
    let args = EngineArgs {
        block_size: 64,
        num_gpu_blocks: 16_384,
        ..args()
    };
    let outcome = run(args, request(0, prompt(0, 2_048), 4));
    assert_eq!(outcome.tokens.len(), 4);
    assert_eq!(outcome.finish, Some(Finish::Length));
    // prefill(2048) = 49.36; decode at 33 of 16,384 blocks = 5.85
    assert_eq!(gaps_ms(&outcome), [49, 5, 5, 5]);
}

#[test]
fn a_long_prompt_is_computed_in_chunks_while_others_decode() {
    let args = EngineArgs {
        max_num_batched_tokens: 16,
        num_gpu_blocks: 1_024,
        ..args()
    };
    let mut simulation = simulation(args);
    simulation.submit(request(0, prompt(0, 8), 20));
    simulation.run_until(17 * MS); // its prefill is over
    simulation.submit(request(1, prompt(1_000, 60), 2));
    simulation.run();
    let (short, long) = (simulation.outcome(0), simulation.outcome(1));
    // 15 prompt tokens fit beside the decode token: four passes for 60, and the short one has a token in each
    let during = short.token_times_ns.iter();
    let during = during
        .filter(|&&at| at > 25 * MS && at <= long.token_times_ns[0])
        .count();
    assert_eq!(during, 4);
    assert_eq!(simulation.engine.totals()[0].prefill_tokens, 68);
}

#[test]
fn without_chunked_prefill_a_prompt_waits_for_a_pass_that_holds_it_whole() {
    let args = EngineArgs {
        max_num_batched_tokens: 16,
        enable_chunked_prefill: false,
        ..args()
    };
    let mut simulation = simulation(args.clone());
    simulation.submit(request(0, prompt(0, 1), 1));
    simulation.submit(request(1, prompt(100, 10), 1));
    simulation.submit(request(2, prompt(200, 10), 1));
    simulation.run();
    let first = |id| simulation.outcome(id).token_times_ns[0];
    assert!(first(0) < first(1) && first(1) < first(2));
    let refused = run(args, request(0, prompt(0, 17), 1));
    assert_eq!(refused.rejection, Some(Rejection::PromptExceedsPass));
}

#[test]
fn at_most_max_num_seqs_run_and_the_rest_wait_in_order() {
    let mut simulation = simulation(EngineArgs {
        max_num_seqs: 2,
        ..args()
    });
    for id in 0..5 {
        simulation.submit(request(id, prompt(id * 100, 4), 3));
    }
    simulation.run_until(60 * MS);
    let load = simulation.engine.loads()[0];
    assert!(load.running <= 2 && load.waiting > 0);
    simulation.run();
    let ends: Vec<u64> = (0..5)
        .map(|id| *simulation.outcome(id).token_times_ns.last().unwrap())
        .collect();
    assert!(ends.is_sorted());
    assert_eq!(simulation.engine.loads()[0].running, 0);
}

#[test]
fn requests_spread_over_ranks_unless_they_name_one() {
    let mut simulation = simulation(EngineArgs {
        dp_size: 3,
        ..args()
    });
    for id in 0..3 {
        simulation.submit(request(id, prompt(0, 8), 2));
    }
    simulation.submit(Request {
        dp_rank: Some(2),
        ..request(3, prompt(0, 8), 2)
    });
    simulation.submit(Request {
        dp_rank: Some(3),
        ..request(4, prompt(0, 8), 2)
    });
    simulation.run();
    let ranks: Vec<u32> = (0..4).map(|id| simulation.outcome(id).rank).collect();
    assert_eq!(ranks, [0, 1, 2, 2]);
    assert_eq!(
        simulation.outcome(4).rejection,
        Some(Rejection::UnknownRank)
    );
    // each rank has its own cache and tells about it itself
    assert!((0..3).all(|rank| simulation.events().iter().any(|event| event.1 == rank)));
}

#[test]
fn a_request_to_an_idle_engine_begins_when_it_comes() {
    let mut simulation = simulation(args());
    simulation.run_until(1_000 * MS);
    simulation.submit(request(0, prompt(0, 8), 1));
    simulation.run();
    assert_eq!(simulation.outcome(0).token_times_ns[0] / MS, 1_016);
}

#[test]
fn an_id_that_is_used_again_gets_nothing_from_the_pass_of_its_predecessor() {
    let mut simulation = simulation(args());
    simulation.submit(request(0, prompt(0, 8), 9));
    simulation.cancel(0);
    simulation.submit(request(0, prompt(0, 8), 1));
    simulation.run();
    assert_eq!(
        gaps_ms(&simulation.outcome(0)),
        [33],
        "the rest of that pass, then its own"
    );
}

#[test]
fn nothing_runs_before_the_engine_has_started_up() {
    let mut simulation = simulation(EngineArgs {
        startup_time_ns: 500 * MS,
        ..args()
    });
    simulation.submit(request(0, prompt(0, 8), 1));
    simulation.run();
    assert_eq!(simulation.outcome(0).token_times_ns[0] / MS, 516);
}

#[test]
fn an_infinitely_fast_engine_takes_no_time() {
    let mut simulation = simulation(EngineArgs {
        speedup_ratio: 0.0,
        ..args()
    });
    simulation.submit(request(0, prompt(0, 8), 200));
    assert_eq!(simulation.outcome(0).tokens.len(), 200);
    assert_eq!(simulation.now(), 0);
}

#[test]
fn cancelling_frees_the_blocks_at_once_also_in_the_middle_of_a_pass() {
    let mut simulation = simulation(args());
    simulation.submit(request(0, prompt(0, 8), 50));
    simulation.submit(request(1, prompt(100, 8), 3));
    simulation.run_until(40 * MS);
    let held = simulation.engine.loads()[0].active_blocks;
    simulation.cancel(0);
    assert_eq!(simulation.outcome(0).finish, Some(Finish::Cancelled));
    assert!(simulation.engine.loads()[0].active_blocks < held);
    let tokens = simulation.outcome(0).tokens.len();
    simulation.cancel(0); // again: nothing
    simulation.submit(request(0, prompt(700, 8), 2)); // the id is free again
    simulation.run();
    assert_eq!(simulation.outcome(0).tokens.len(), tokens + 2);
    assert_eq!(simulation.outcome(1).finish, Some(Finish::Length));
    assert_eq!(simulation.engine.loads()[0].active_blocks, 0);
}

#[test]
fn two_runs_of_the_same_load_are_equal_to_the_nanosecond() {
    let load = || {
        let mut simulation = simulation(EngineArgs {
            num_gpu_blocks: 40,
            dp_size: 2,
            ..args()
        });
        for id in 0..40 {
            simulation.submit(request(id, prompt(id % 7, 10 + id), 5 + id % 9));
            simulation.run_until(simulation.now() + 3 * MS);
        }
        simulation.run();
        let outcomes: Vec<Outcome> = (0..40).map(|id| simulation.outcome(id)).collect();
        (outcomes, simulation.events().to_vec())
    };
    assert_eq!(load(), load());
}
