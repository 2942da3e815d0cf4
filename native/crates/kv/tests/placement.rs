//! What a placement guarantees of its choices: they follow caches, load and what they would displace.

// The values compared are small and whole, and so exact.
#![allow(clippy::float_cmp, clippy::unwrap_used)]

mod fleet;

use std::time::Duration;

use dynamo_kv::{
    CostSettings, Pin, PlaceRequest, Placement, PlacementSettings, Prompt, SelectionMode,
    SelectionReason, local_block_hashes,
};
use fleet::{BLOCK, fleet, hashes, request, settings};

#[test]
fn the_second_request_with_a_prompt_goes_where_the_first_one_went() {
    let mut placement = fleet(4, settings());
    let prompt = hashes(1, 40);
    let first = placement.select(&request("a", &prompt)).unwrap();
    assert_eq!(
        (first.cached_tokens, first.reason),
        (0, SelectionReason::Tie)
    );
    assert_eq!(first.prefill_tokens, 640);
    placement.free("a", None).unwrap();
    let second = placement.select(&request("b", &prompt)).unwrap();
    assert_eq!(second.rank, first.rank);
    assert_eq!((second.overlap_blocks, second.cached_tokens), (40, 640));
    assert_eq!(second.prefill_tokens, 0);
    let freed = placement.free("b", None).unwrap();
    assert_eq!(freed.predicted_cached_tokens, 640);
}

#[test]
fn tokens_are_hashed_as_blocks_are() {
    let mut placement = fleet(3, settings());
    let ids: Vec<u32> = (0..100).collect();
    let tokens = |lora_name| Prompt::Tokens {
        ids: &ids,
        lora_name,
        salt: "",
    };
    let hashed = local_block_hashes(&ids, BLOCK as usize, dynamo_kv::BlockSeed::default());
    let by_hashes = PlaceRequest {
        prompt_tokens: 100,
        ..request("a", &hashed)
    };
    let rank = placement.select(&by_hashes).unwrap().rank;
    let found = placement.overlap(tokens(""));
    let at = found.ranks.iter().position(|known| *known == rank).unwrap();
    assert_eq!(found.device[at], 6);
    assert!(
        placement
            .overlap(tokens("adapter"))
            .device
            .iter()
            .all(|blocks| *blocks == 0)
    );
}

#[test]
fn a_choice_tells_how_long_the_steps_took_that_it_needed() {
    let mut placement = fleet(3, settings());
    let ids: Vec<u32> = (0..1600).collect();
    let of_tokens = PlaceRequest {
        prompt: Prompt::Tokens {
            ids: &ids,
            lora_name: "",
            salt: "",
        },
        prompt_tokens: 1600,
        ..request("a", &[])
    };
    let times = placement.select(&of_tokens).unwrap().times;
    assert!(times.block_hashing.unwrap() > Duration::ZERO);
    assert!(times.sequence_hashing > Duration::ZERO);
    assert!(times.matching.unwrap() > Duration::ZERO);
    let prompt = hashes(1, 100);
    let hashed = placement.select(&request("b", &prompt)).unwrap().times;
    assert_eq!(hashed.block_hashing, None);
    assert!(hashed.sequence_hashing > Duration::ZERO);
    let by_turns = PlaceRequest {
        mode: SelectionMode::RoundRobin,
        ..request("c", &prompt)
    };
    assert_eq!(placement.select(&by_turns).unwrap().times.matching, None);
}

#[test]
fn a_full_worker_is_spared_what_would_displace_its_cache() {
    let cost = |displacement_weight| PlacementSettings {
        cost: CostSettings {
            displacement_weight,
            ..CostSettings::default()
        },
        ..settings()
    };
    let prompt = hashes(7, 30);
    let mut chosen = Vec::new();
    for weight in [0.0, 4.0] {
        let mut placement = fleet(2, cost(weight));
        for worker in [1, 2] {
            // The first worker's 1,000 blocks are full of content, the second's are free but busy.
            let blocks = if worker == 1 { 990 } else { 40 };
            let content = hashes(worker, blocks);
            let id = format!("w{worker}");
            let filling = PlaceRequest {
                pinned: Some(Pin {
                    worker_id: worker,
                    dp_rank: None,
                }),
                ..request(&id, &content)
            };
            placement.select(&filling).unwrap();
            placement.prefill_done(&id, 1);
            if worker == 1 {
                placement.free(&id, None);
            }
        }
        chosen.push(
            placement
                .select(&request("new", &prompt))
                .unwrap()
                .rank
                .worker_id,
        );
    }
    assert_eq!(chosen, [1, 2]);
}

#[test]
fn settings_without_sense_are_refused() {
    let no_blocks = PlacementSettings {
        block_size: 0,
        ..settings()
    };
    assert!(Placement::new(no_blocks).is_err());
    let bad_weight = PlacementSettings {
        cost: CostSettings {
            temperature: -1.0,
            ..CostSettings::default()
        },
        ..settings()
    };
    let error = Placement::new(bad_weight).unwrap_err();
    assert_eq!(
        error.to_string(),
        "router_temperature is -1: use a finite number from 0"
    );
}
