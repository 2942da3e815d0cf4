//! Cost examples of RP 14.4 and the rules of choice.

// The values compared are small multiples of powers of two, and so exact.
#![allow(clippy::float_cmp)]

use dynamo_kv::{
    Candidates, CostSettings, Eligibility, Pin, Rejection, SeededRandom, SelectError,
    SelectRequest, Selection, SelectionPolicy, SelectionReason, WorkerRank, select,
};

const RANKS: [WorkerRank; 3] = [
    WorkerRank {
        worker_id: 1,
        dp_rank: 0,
    },
    WorkerRank {
        worker_id: 2,
        dp_rank: 0,
    },
    WorkerRank {
        worker_id: 3,
        dp_rank: 1,
    },
];

fn request() -> SelectRequest<'static> {
    SelectRequest {
        isl_tokens: 160,
        block_size: 16,
        ..SelectRequest::default()
    }
}

/// The documentation's example: costs 18, 10, 11.
fn documented() -> Candidates<'static> {
    Candidates {
        ranks: &RANKS,
        device_overlap_blocks: &[2, 5, 8],
        potential_decode_blocks: &[10.0, 5.0, 9.0],
        ..Candidates::default()
    }
}

fn choose(
    request: &SelectRequest<'_>,
    candidates: &Candidates<'_>,
    settings: &CostSettings,
) -> Result<Selection, SelectError> {
    select(request, candidates, settings, &mut SeededRandom::new(1))
}

fn costs(selection: &Selection) -> Vec<f64> {
    selection.costs.iter().map(|cost| cost.cost).collect()
}

fn near(left: f64, right: f64) {
    assert!((left - right).abs() < 1e-6, "{left} is not {right}");
}

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
fn temperature_gives_the_documented_probabilities_and_draws_by_them() {
    let expected = [
        (0.1, [0.000_035, 0.777_272, 0.222_692]),
        (0.5, [0.070_703, 0.522_429, 0.406_868]),
        (1.0, [0.163_475, 0.444_370, 0.392_155]),
    ];
    for (temperature, probabilities) in expected {
        let settings = CostSettings {
            temperature,
            ..CostSettings::default()
        };
        let mut random = SeededRandom::new(7);
        let mut drawn = [0_u32; 3];
        for _ in 0..20_000 {
            let selection =
                select(&request(), &documented(), &settings, &mut random).expect("choice");
            drawn[selection.index] += 1;
            for (cost, probability) in selection.costs.iter().zip(probabilities) {
                near(cost.probability, probability);
            }
        }
        for (drawn, probability) in drawn.into_iter().zip(probabilities) {
            assert!((f64::from(drawn) / 20_000.0 - probability).abs() < 0.02);
        }
    }
}

#[test]
fn a_seed_gives_the_same_choices_again() {
    let settings = CostSettings {
        temperature: 1.0,
        ..CostSettings::default()
    };
    let run = |seed| {
        let mut random = SeededRandom::new(seed);
        let next = |_| {
            select(&request(), &documented(), &settings, &mut random)
                .expect("choice")
                .index
        };
        (0..100).map(next).collect::<Vec<_>>()
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn ties_are_drawn_evenly() {
    let mut random = SeededRandom::new(3);
    let candidates = Candidates {
        ranks: &RANKS,
        ..Candidates::default()
    };
    let mut drawn = [0_u32; 3];
    for _ in 0..9000 {
        let selection = select(
            &request(),
            &candidates,
            &CostSettings::default(),
            &mut random,
        )
        .expect("choice");
        assert_eq!(selection.reason, SelectionReason::Tie);
        drawn[selection.index] += 1;
    }
    assert!(
        drawn.iter().all(|count| (2800..3200).contains(count)),
        "{drawn:?}"
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

#[test]
fn each_filter_says_whom_it_rejected() {
    let taints: [&[u32]; 3] = [&[4], &[4], &[]];
    let candidates = Candidates {
        taints: &taints,
        overloaded: &[false, true, false],
        ..documented()
    };
    let cases = [
        (
            Eligibility {
                allowed_workers: Some(&[1]),
                ..Eligibility::default()
            },
            Rejection::NotAllowed,
        ),
        (
            Eligibility {
                excluded_workers: &[2, 3],
                ..Eligibility::default()
            },
            Rejection::Excluded,
        ),
        (
            Eligibility {
                pinned: Some(Pin {
                    worker_id: 1,
                    dp_rank: Some(0),
                }),
                ..Eligibility::default()
            },
            Rejection::NotPinned,
        ),
        (
            Eligibility {
                dp_ranks: Some((0, 1)),
                ..Eligibility::default()
            },
            Rejection::RankOutOfRange,
        ),
        (
            Eligibility {
                required_taints: &[4],
                ..Eligibility::default()
            },
            Rejection::MissingTaint,
        ),
    ];
    for (eligibility, rejection) in cases {
        let filtered = SelectRequest {
            eligibility,
            ..request()
        };
        let selection = choose(&filtered, &candidates, &CostSettings::default()).expect("choice");
        assert_eq!(selection.index, 0);
        assert_eq!(selection.costs[2].rejection, Some(rejection));
        assert!(selection.costs[1].rejection.is_some());
    }
}

#[test]
fn a_preferred_rank_wins_unless_it_may_not_be_chosen() {
    let preferred = SelectRequest {
        preferred: Some(Pin {
            worker_id: RANKS[0].worker_id,
            dp_rank: Some(RANKS[0].dp_rank),
        }),
        ..request()
    };
    let selection = choose(&preferred, &documented(), &CostSettings::default()).expect("choice");
    assert_eq!(
        (selection.index, selection.reason),
        (0, SelectionReason::Preferred)
    );
    let candidates = Candidates {
        overloaded: &[true, false, false],
        ..documented()
    };
    let selection = choose(&preferred, &candidates, &CostSettings::default()).expect("choice");
    assert_eq!(
        (selection.index, selection.reason),
        (1, SelectionReason::LowestCost)
    );
}

#[test]
fn errors_say_whether_waiting_may_help() {
    let settings = CostSettings::default();
    let busy = Candidates {
        overloaded: &[true; 3],
        ..documented()
    };
    let pinned = |worker_id| SelectRequest {
        eligibility: Eligibility {
            pinned: Some(Pin {
                worker_id,
                dp_rank: None,
            }),
            ..Eligibility::default()
        },
        ..request()
    };
    let outcome = |request: &SelectRequest<'_>, candidates: &Candidates<'_>| {
        choose(request, candidates, &settings).err()
    };
    assert_eq!(
        outcome(&request(), &busy),
        Some(SelectError::AllEligibleWorkersOverloaded)
    );
    assert_eq!(
        outcome(&pinned(1), &busy),
        Some(SelectError::PinnedWorkerOverloaded)
    );
    assert_eq!(
        outcome(&pinned(9), &busy),
        Some(SelectError::PinnedWorkerUnavailable)
    );
    assert_eq!(
        outcome(&request(), &Candidates::default()),
        Some(SelectError::NoEndpoints)
    );
    let short = Candidates {
        active_requests: &[1],
        ..documented()
    };
    assert_eq!(outcome(&request(), &short), Some(SelectError::InvalidInput));
    let settings = CostSettings {
        temperature: -1.0,
        ..settings
    };
    let error = choose(&request(), &documented(), &settings).expect_err("negative");
    assert_eq!(
        error.to_string(),
        "router_temperature is -1: use a finite number from 0"
    );
}

#[test]
fn extreme_weights_still_choose() {
    let settings = CostSettings {
        prefill_load_scale: f64::MAX,
        temperature: f64::MIN_POSITIVE,
        ..CostSettings::default()
    };
    let candidates = Candidates {
        potential_decode_blocks: &[f64::NAN, f64::INFINITY, 1.0],
        ..documented()
    };
    let selection = choose(&request(), &candidates, &settings).expect("choice");
    let total: f64 = selection.costs.iter().map(|cost| cost.probability).sum();
    near(total, 1.0);
}
