//! What an answer consists of and when it ends, seen from outside through the discrete-event clock.
#![allow(clippy::unwrap_used, missing_docs)]

mod engine;

use std::sync::Arc;

use dynamo_sim::{EngineArgs, Finish, Request};
use engine::{args, prompt, request, run};

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
