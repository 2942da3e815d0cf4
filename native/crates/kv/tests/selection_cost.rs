//! What a candidate costs: examples of RP 14.4, tiers, policies, displacement, taints.

// The values compared are small multiples of powers of two, and so exact.
#![allow(clippy::float_cmp)]

mod candidates;

use candidates::{RANKS, choose, costs, documented, near, request};
use dynamo_kv::{Candidates, CostSettings, SelectRequest, SelectionPolicy, SelectionReason};

#[test]
fn the_documented_example_chooses_the_second_worker() {
    let selection = choose(&request(), &documented(), &CostSettings::default()).expect("choice");
    assert_eq!(costs(&selection), [18.0, 10.0, 11.0]);
    assert_eq!(selection.rank, RANKS[1]);
    assert_eq!(selection.reason, SelectionReason::LowestCost);
    assert_eq!(
        (selection.required_blocks, selection.cached_tokens),
        (10, 80)
    );
}

#[test]
fn one_request_of_backlog_halves_the_credit() {
    let settings = CostSettings {
        overlap_score_credit_decay: 1.0,
        ..CostSettings::default()
    };
    let candidates = Candidates {
        ranks: &RANKS[..2],
        device_overlap_blocks: &[8, 8],
        active_prefill_tokens: &[500, 660],
        ..Candidates::default()
    };
    let selection = choose(&request(), &candidates, &settings).expect("choice");
    let credits: Vec<f64> = selection
        .costs
        .iter()
        .map(|cost| cost.credit_blocks)
        .collect();
    assert_eq!(credits, [8.0, 4.0]);
}

#[test]
fn tiers_count_by_their_weights() {
    let candidates = Candidates {
        ranks: &RANKS[..1],
        device_overlap_blocks: &[4],
        host_overlap_blocks: &[4],
        disk_overlap_blocks: &[0],
        ..Candidates::default()
    };
    let selection = choose(&request(), &candidates, &CostSettings::default()).expect("choice");
    assert_eq!(selection.costs[0].credit_blocks, 7.0);
    assert_eq!(selection.cached_tokens, 112);
}

#[test]
fn lmetric_multiplies_and_ignores_load_when_all_is_cached() {
    let settings = CostSettings {
        policy: SelectionPolicy::Lmetric,
        ..CostSettings::default()
    };
    let candidates = Candidates {
        ranks: &RANKS[..2],
        device_overlap_blocks: &[5, 10],
        potential_decode_blocks: &[7.0, 1000.0],
        ..Candidates::default()
    };
    let selection = choose(&request(), &candidates, &settings).expect("choice");
    assert_eq!(costs(&selection), [40.0, 0.0]);
}

#[test]
fn decode_ranks_save_what_need_not_be_transferred() {
    let settings = CostSettings {
        track_prefill_tokens: false,
        decode_active_request_weight: 0.5,
        ..CostSettings::default()
    };
    let candidates = Candidates {
        active_requests: &[4, 0, 0],
        ..documented()
    };
    let selection = choose(&request(), &candidates, &settings).expect("choice");
    assert_eq!(costs(&selection), [10.0, 0.0, 1.0]);
}

#[test]
fn a_full_cache_costs_what_would_be_displaced() {
    let settings = CostSettings {
        displacement_weight: 2.0,
        ..CostSettings::default()
    };
    let candidates = Candidates {
        cached_blocks: &[100, 97, 10],
        total_kv_blocks: &[100, 100, 0],
        ..documented()
    };
    let selection = choose(&request(), &candidates, &settings).expect("choice");
    let costs = costs(&selection);
    near(costs[0], 18.0 + 16.0);
    // Two blocks do not fit; the three that do take what is left of a cache that is nearly full.
    let room = 100.0 * (1.0 - 0.97_f64.powi(3)) / 3.0;
    near(costs[1], 10.0 + 2.0 * (2.0 + room));
    near(costs[2], 11.0);
}

#[test]
fn room_costs_little_in_an_empty_cache_and_more_as_it_fills() {
    let displaced = |cached: u64| {
        let candidates = Candidates {
            cached_blocks: &[cached; 3],
            total_kv_blocks: &[1000; 3],
            device_overlap_blocks: &[],
            ..documented()
        };
        let settings = CostSettings::default();
        let selection = choose(&request(), &candidates, &settings).expect("choice");
        let new = selection.required_blocks;
        #[allow(clippy::cast_precision_loss)] // a few blocks
        let share = selection.costs[0].displaced_blocks / new as f64;
        share
    };
    assert!(displaced(0) < 0.001);
    assert!((displaced(500) - 0.25).abs() < 0.02);
    assert!((displaced(900) - 0.81).abs() < 0.02);
    near(displaced(1000), 1.0);
    near(displaced(2000), 1.0);
}

#[test]
fn preferred_taints_move_the_cost_by_a_bounded_factor() {
    let taints: [&[u32]; 3] = [&[4], &[], &[9]];
    let candidates = Candidates {
        taints: &taints,
        ..documented()
    };
    let preferred = SelectRequest {
        preferred_taints: &[(4, 100.0), (9, -100.0)],
        ..request()
    };
    let selection = choose(&preferred, &candidates, &CostSettings::default()).expect("choice");
    let costs = costs(&selection);
    near(costs[0], 18.0 * (-1.0_f64).exp());
    near(costs[2], 11.0 * 1.0_f64.exp());
    assert_eq!(selection.index, 0);
}
