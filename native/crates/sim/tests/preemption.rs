//! Who yields when the cache is full, seen from outside through the discrete-event clock.
#![allow(clippy::unwrap_used, missing_docs)]

mod engine;

use dynamo_sim::{EngineArgs, Finish, Outcome, PreemptionMode, Rejection};
use engine::{MS, args, prompt, request, run, simulation};

/// Two requests that fit alone but not together; both must finish, with the tokens of an undisturbed run.
fn crowded(preemption_mode: PreemptionMode) -> (Vec<Outcome>, u64) {
    let args = EngineArgs {
        num_gpu_blocks: 12,
        preemption_mode,
        ..args()
    };
    let requests = [
        request(0, prompt(0, 16), 24),
        request(1, prompt(500, 16), 24),
    ];
    let mut simulation = simulation(args.clone());
    for request in requests.clone() {
        simulation.submit(request);
    }
    simulation.run();
    for request in requests {
        let id = request.id;
        assert_eq!(
            simulation.outcome(id).cached_tokens,
            0,
            "what it lost itself was not cached"
        );
        assert_eq!(
            simulation.outcome(id).tokens,
            run(args.clone(), request).tokens
        );
    }
    let outcomes = (0..2).map(|id| simulation.outcome(id)).collect();
    (outcomes, simulation.engine.totals()[0].preemptions)
}

#[test]
fn a_preempted_request_goes_on_before_those_that_wait() {
    let args = EngineArgs {
        num_gpu_blocks: 12,
        max_num_seqs: 2,
        ..args()
    };
    let mut simulation = simulation(args);
    for id in 0..3 {
        simulation.submit(request(id, prompt(id * 500, 16), 24));
    }
    simulation.run();
    assert!(simulation.engine.totals()[0].preemptions > 0);
    let first = simulation.outcome(2).token_times_ns[0];
    assert!(
        first > ended_at(&simulation.outcome(0)),
        "the third fitted earlier, but had to wait"
    );
}

#[test]
fn when_the_oldest_yields_the_others_still_get_their_token() {
    let args = EngineArgs {
        num_gpu_blocks: 15,
        preemption_mode: PreemptionMode::Fifo,
        ..args()
    };
    let mut simulation = simulation(args);
    for (id, len) in [(0, 14), (1, 16), (2, 16)] {
        simulation.submit(request(id, prompt(id * 500, len), 10));
    }
    simulation.run();
    assert!(simulation.engine.totals()[0].preemptions > 0);
    let times = |id| simulation.outcome(id).token_times_ns;
    assert_eq!(times(1), times(2), "both are in every pass");
    assert_ne!(times(0), times(1));
}

fn ended_at(outcome: &Outcome) -> u64 {
    *outcome.token_times_ns.last().unwrap()
}

#[test]
fn lifo_preemption_makes_the_newest_request_yield_and_recompute() {
    let (outcomes, preemptions) = crowded(PreemptionMode::Lifo);
    assert!(preemptions > 0);
    assert!(ended_at(&outcomes[0]) < ended_at(&outcomes[1]));
}

#[test]
fn fifo_preemption_makes_the_oldest_request_yield_and_recompute() {
    let (outcomes, preemptions) = crowded(PreemptionMode::Fifo);
    assert!(preemptions > 0);
    assert!(ended_at(&outcomes[1]) < ended_at(&outcomes[0]));
}

#[test]
fn a_request_that_outgrows_the_cache_ends_instead_of_preempting_itself_for_ever() {
    let args = EngineArgs {
        num_gpu_blocks: 4,
        ..args()
    };
    let outcome = run(args.clone(), request(0, prompt(0, 8), 1_000));
    assert_eq!(
        (outcome.tokens.len(), outcome.finish),
        (8, Some(Finish::Length))
    );
    let whole = run(args.clone(), request(0, prompt(0, 16), 1_000));
    assert_eq!(
        (whole.tokens.len(), whole.finish),
        (1, Some(Finish::Length))
    );
    let refused = run(args, request(0, prompt(0, 17), 1));
    assert_eq!(refused.finish, Some(Finish::Error));
    assert_eq!(refused.rejection, Some(Rejection::PromptTooLong));
}

#[test]
fn the_watermark_keeps_blocks_free_but_lets_a_lone_request_in() {
    let args = EngineArgs {
        num_gpu_blocks: 10,
        watermark: 0.5,
        ..args()
    };
    let mut simulation = simulation(args);
    simulation.submit(request(0, prompt(0, 39), 1));
    simulation.run();
    assert_eq!(simulation.outcome(0).finish, Some(Finish::Length));
    simulation.submit(request(1, prompt(100, 8), 3));
    simulation.submit(request(2, prompt(200, 16), 3));
    simulation.run_until(simulation.now() + MS);
    assert_eq!(
        (
            simulation.engine.loads()[0].running,
            simulation.engine.loads()[0].waiting
        ),
        (1, 1)
    );
    simulation.run();
    assert_eq!(simulation.outcome(2).tokens.len(), 3);
}
