//! Behaviour of the scheduler and its cache, seen from outside through the discrete-event clock.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use dynamo_sim::kv_events::KvEvent;
use dynamo_sim::{EngineArgs, Finish, Outcome, PreemptionMode, Rejection, Request, Simulation};

const MS: u64 = 1_000_000;

fn args() -> EngineArgs {
    EngineArgs {
        num_gpu_blocks: 64,
        block_size: 4,
        watermark: 0.0,
        vocabulary: (32..127).collect(),
        ..EngineArgs::default()
    }
}

fn simulation(args: EngineArgs) -> Simulation {
    Simulation::new(args).unwrap()
}

fn prompt(first: u32, len: u32) -> Vec<u32> {
    (first..first + len).collect()
}

fn request(id: u32, prompt: Vec<u32>, max_tokens: u32) -> Request {
    Request {
        id,
        prompt,
        max_tokens: Some(max_tokens),
        ..Request::default()
    }
}

fn run(args: EngineArgs, request: Request) -> Outcome {
    let mut simulation = simulation(args);
    let id = request.id;
    simulation.submit(request);
    simulation.run();
    simulation.outcome(id)
}

/// Milliseconds between tokens; the first is the time to the first token.
fn gaps_ms(outcome: &Outcome) -> Vec<u64> {
    let times = &outcome.token_times_ns;
    let before = std::iter::once(&0).chain(times);
    times
        .iter()
        .zip(before)
        .map(|(at, before)| (at - before) / MS)
        .collect()
}

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
fn a_repeated_prefix_is_reused_and_counted_and_makes_the_first_token_come_sooner() {
    let mut simulation = simulation(EngineArgs {
        num_gpu_blocks: 4_096,
        ..args()
    });
    simulation.submit(request(0, prompt(0, 4_000), 1));
    simulation.run();
    let cold = simulation.outcome(0).token_times_ns[0];
    let start = simulation.now();
    simulation.submit(request(1, prompt(0, 4_000), 1));
    simulation.run();
    let warm = simulation.outcome(1);
    assert_eq!(simulation.outcome(0).cached_tokens, 0);
    assert_eq!(
        warm.cached_tokens, 3_996,
        "the last block is computed again: one token must be"
    );
    assert!(warm.token_times_ns[0] - start < cold / 4);
    assert_eq!(simulation.outcome(0).tokens, warm.tokens);
}

#[test]
fn adapters_and_salts_do_not_share_blocks() {
    let mut simulation = simulation(args());
    let salted = |id, salt: &str, lora: &str| Request {
        cache_salt: salt.to_owned(),
        lora_name: lora.to_owned(),
        ..request(id, prompt(0, 40), 1)
    };
    let identities = [("", ""), ("a", ""), ("", "a"), ("a", "")];
    let mut cached = Vec::new();
    for (id, (salt, lora)) in (0..).zip(identities) {
        simulation.submit(salted(id, salt, lora));
        simulation.run();
        cached.push(simulation.outcome(id).cached_tokens);
    }
    assert_eq!(cached, [0, 0, 0, 36]);
}

#[test]
fn without_prefix_caching_nothing_is_reused_or_reported() {
    let mut simulation = simulation(EngineArgs {
        enable_prefix_caching: false,
        ..args()
    });
    for id in 0..2 {
        simulation.submit(request(id, prompt(0, 40), 9));
        simulation.run();
    }
    assert_eq!(simulation.outcome(1).cached_tokens, 0);
    assert!(simulation.events().is_empty());
    assert_eq!(simulation.engine.ranks()[0].pool().free(), 64);
}

#[test]
fn blocks_are_reported_at_the_end_of_the_pass_that_filled_them_with_their_parent() {
    let mut simulation = simulation(args());
    let tokens = prompt(1, 12);
    simulation.submit(request(0, tokens.clone(), 5));
    assert!(
        simulation.events().is_empty(),
        "nothing is visible when the pass begins"
    );
    simulation.run();
    let local = dynamo_kv::local_block_hashes(&tokens, 4, dynamo_kv::BlockSeed::default());
    let sequence = dynamo_kv::sequence_hashes(&local);
    let (
        at,
        rank,
        KvEvent::Stored {
            parent: None,
            blocks,
        },
    ) = &simulation.events()[0]
    else {
        panic!("{:?}", simulation.events());
    };
    assert_eq!((*at, *rank), (simulation.outcome(0).token_times_ns[0], 0));
    assert_eq!(
        blocks
            .iter()
            .map(|block| block.sequence)
            .collect::<Vec<_>>(),
        sequence
    );
    assert_eq!(
        blocks.iter().map(|block| block.local).collect::<Vec<_>>(),
        local
    );
    let (_, _, KvEvent::Stored { parent, blocks }) = &simulation.events()[1] else {
        panic!("{:?}", simulation.events());
    };
    assert_eq!(
        (*parent, blocks.len()),
        (Some(sequence[2]), 1),
        "the answer's first block"
    );
}

#[test]
fn a_full_cache_evicts_and_reports_what_it_evicted_before_what_it_stored() {
    let mut simulation = simulation(EngineArgs {
        num_gpu_blocks: 8,
        ..args()
    });
    for id in 0..3 {
        simulation.submit(request(id, prompt(id * 100, 20), 1));
        simulation.run();
    }
    let mut cached = std::collections::BTreeSet::new();
    for (_, _, event) in simulation.events() {
        match event {
            KvEvent::Stored { blocks, .. } => {
                assert!(blocks.iter().all(|block| cached.insert(block.sequence)));
            }
            KvEvent::Removed { hashes } => {
                assert!(hashes.iter().all(|hash| cached.remove(hash)));
            }
            KvEvent::Cleared => cached.clear(),
        }
        assert!(cached.len() <= 8);
    }
    let pool = simulation.engine.ranks()[0].pool();
    assert_eq!(cached.len(), pool.inactive());
    assert!(simulation.engine.totals()[0].evictions > 0);
}

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

#[test]
fn the_beginning_of_an_old_prompt_outlives_its_end() {
    let mut simulation = simulation(EngineArgs {
        num_gpu_blocks: 16,
        ..args()
    });
    for (id, len) in [(0, 41), (1, 40)] {
        simulation.submit(request(id, prompt(id * 500, len), 1));
        simulation.run();
    }
    simulation.submit(request(2, prompt(0, 41), 1));
    simulation.run();
    assert_eq!(
        simulation.outcome(2).cached_tokens,
        24,
        "6 of 10 blocks are left"
    );
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
fn stop_ids_end_an_answer_and_are_shown_but_not_before_min_tokens() {
    let free = run(args(), request(0, prompt(0, 8), 40));
    let stop = free.tokens[20];
    let first = free.tokens.iter().position(|&token| token == stop).unwrap();
    let stopping = Request {
        stop_token_ids: vec![stop],
        ..request(0, prompt(0, 8), 40)
    };
    let stopped = run(args(), stopping.clone());
    assert_eq!(
        (stopped.finish, &stopped.tokens[..]),
        (Some(Finish::Stop), &free.tokens[..=first])
    );
    let patient = run(
        args(),
        Request {
            min_tokens: 40,
            ..stopping
        },
    );
    assert_eq!(
        (patient.finish, patient.tokens.len()),
        (Some(Finish::Length), 40)
    );
}

#[test]
fn without_a_token_limit_the_answer_ends_by_itself() {
    let open = Request {
        max_tokens: None,
        ..request(0, prompt(0, 8), 0)
    };
    let args = EngineArgs {
        num_gpu_blocks: 1_024,
        ..args()
    };
    let outcome = run(args.clone(), open.clone());
    assert_eq!(outcome.finish, Some(Finish::Eos));
    assert!((1..=256).contains(&outcome.tokens.len()));
    let ignoring = run(
        args,
        Request {
            ignore_eos: true,
            ..open
        },
    );
    assert_eq!(
        (ignoring.tokens, ignoring.finish),
        (outcome.tokens, Some(Finish::Length))
    );
}

#[test]
fn a_request_moved_to_another_engine_goes_on_and_ends_as_if_it_had_stayed() {
    let args = EngineArgs {
        num_gpu_blocks: 1_024,
        ..args()
    };
    for first in 0..20 {
        let open = Request {
            max_tokens: None,
            seed: Some(3),
            ..request(0, prompt(first, 30), 0)
        };
        let stayed = run(args.clone(), open.clone());
        for cut in [0, 1, stayed.tokens.len() / 2, stayed.tokens.len() - 1] {
            let cut = cut.min(stayed.tokens.len() - 1);
            let mut moved = open.clone();
            moved.prompt.extend_from_slice(&stayed.tokens[..cut]);
            let moved = run(args.clone(), moved);
            assert_eq!(
                (&moved.tokens[..], moved.finish),
                (&stayed.tokens[cut..], stayed.finish)
            );
        }
    }
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
fn clearing_the_cache_is_reported_and_refused_while_blocks_are_in_use() {
    let mut simulation = simulation(args());
    simulation.submit(request(0, prompt(0, 8), 5));
    let mut batch = dynamo_sim::Batch::new();
    assert!(!simulation.engine.clear_cache(&mut batch));
    simulation.run();
    assert!(simulation.engine.clear_cache(&mut batch));
    assert_eq!(batch.events(), [(0, KvEvent::Cleared)]);
    assert_eq!(simulation.engine.ranks()[0].pool().free(), 64);
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

#[test]
fn the_vocabulary_is_all_that_is_ever_generated() {
    let vocabulary: Arc<[u32]> = Arc::from([7, 11, 500]);
    let args = EngineArgs {
        vocabulary: Arc::clone(&vocabulary),
        ..args()
    };
    let outcome = run(args, request(0, prompt(0, 8), 100));
    assert!(
        outcome
            .tokens
            .iter()
            .all(|token| vocabulary.contains(token))
    );
}
