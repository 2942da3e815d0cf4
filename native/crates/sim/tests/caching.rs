//! Prefix reuse and what the cache reports, seen from outside through the discrete-event clock.
#![allow(clippy::unwrap_used, missing_docs)]

mod engine;

use dynamo_sim::kv_events::KvEvent;
use dynamo_sim::{EngineArgs, Request};
use engine::{args, prompt, request, simulation};

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
