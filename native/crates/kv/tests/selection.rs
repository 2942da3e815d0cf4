//! Who is chosen: temperature, seeds, ties, filters, preferences, and errors when nobody can be.

// The values compared are small multiples of powers of two, and so exact.
#![allow(clippy::float_cmp)]

mod candidates;

use candidates::{RANKS, choose, documented, near, request};
use dynamo_kv::{
    Candidates, CostSettings, Eligibility, Pin, Rejection, SeededRandom, SelectError,
    SelectRequest, SelectionReason, select,
};

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
