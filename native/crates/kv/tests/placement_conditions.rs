//! What a placement guarantees of the conditions of a request: filters, preferences, modes and overrides are respected.

// The values compared are small and whole, and so exact.
#![allow(clippy::float_cmp, clippy::unwrap_used)]

mod fleet;

use dynamo_kv::{
    BusyAbove, Conditions, Overrides, Pin, PlaceRequest, Placement, Prompt, SelectError,
    SelectionMode, SelectionReason, WorkerFacts, WorkerRank,
};
use fleet::{fleet, hashes, request, settings, silent};

fn active(placement: &Placement) -> u32 {
    placement.loads().active_requests.iter().sum()
}

#[test]
fn bad_overrides_are_refused_and_book_nothing() {
    let mut placement = fleet(2, settings());
    let prompt = hashes(1, 4);
    let weights: [fn(f64) -> Overrides; 5] = [
        |w| Overrides {
            overlap_score_credit: Some(w),
            ..Overrides::default()
        },
        |w| Overrides {
            prefill_load_scale: Some(w),
            ..Overrides::default()
        },
        |w| Overrides {
            overlap_score_weight: Some(w),
            ..Overrides::default()
        },
        |w| Overrides {
            temperature: Some(w),
            ..Overrides::default()
        },
        |w| Overrides {
            displacement_weight: Some(w),
            ..Overrides::default()
        },
    ];
    for weight in weights {
        for value in [-1.0, f64::NAN, f64::INFINITY] {
            let bad = PlaceRequest {
                overrides: weight(value),
                ..request("a", &prompt)
            };
            let error = placement.select(&bad).unwrap_err();
            assert_eq!(error.as_str(), "invalid_override");
            assert!(error.to_string().contains("use a finite number from 0"));
            assert_eq!(active(&placement), 0);
        }
    }
}

#[test]
fn an_overlap_weight_of_0_leaves_load_alone() {
    let mut placement = fleet(2, settings());
    let prompt = hashes(1, 40);
    let holder = placement.select(&request("a", &prompt)).unwrap().rank;
    let blind = PlaceRequest {
        overrides: Overrides {
            overlap_score_weight: Some(0.0),
            displacement_weight: Some(0.0),
            ..Overrides::default()
        },
        ..request("b", &prompt)
    };
    let placed = placement.select(&blind).unwrap();
    // The blocks are shared with the running request, so the holder has no more decode blocks than the other would.
    assert_eq!(placed.reason, SelectionReason::Tie);
    let kept = placement.select(&request("c", &prompt)).unwrap();
    assert_eq!(kept.rank, holder);
}

#[test]
fn taints_filter_and_attract() {
    let mut placement = Placement::new(settings()).unwrap();
    for (worker_id, zone) in [(1, "a"), (2, "b"), (3, "b")] {
        placement.set_worker(&WorkerFacts {
            taints: vec![format!("zone={zone}")],
            ..silent(worker_id)
        });
    }
    let prompt = hashes(1, 4);
    let required = vec!["zone=a".to_owned()];
    let unknown = vec!["zone=c".to_owned()];
    let in_a = PlaceRequest {
        required_taints: &required,
        ..request("a", &prompt)
    };
    assert_eq!(placement.select(&in_a).unwrap().rank.worker_id, 1);
    let nowhere = PlaceRequest {
        required_taints: &unknown,
        ..request("b", &prompt)
    };
    assert_eq!(placement.select(&nowhere), Err(SelectError::NoEndpoints));
    let preferred = vec![("zone=b".to_owned(), 3.0)];
    for at in 0..10 {
        let prompt = hashes(at + 100, 4);
        let id = format!("p{at}");
        let towards_b = PlaceRequest {
            preferred_taints: &preferred,
            book: false,
            ..request(&id, &prompt)
        };
        assert_ne!(placement.select(&towards_b).unwrap().rank.worker_id, 1);
    }
}

#[test]
fn pins_and_preferences_choose_a_worker_or_one_of_its_ranks() {
    let mut placement = Placement::new(settings()).unwrap();
    for worker_id in [1, 2] {
        placement.set_worker(&WorkerFacts {
            dp_start: 4,
            dp_size: 2,
            ..silent(worker_id)
        });
    }
    let prompt = hashes(1, 4);
    let pin = |worker_id, dp_rank| Some(Pin { worker_id, dp_rank });
    let pinned = PlaceRequest {
        pinned: pin(2, Some(5)),
        ..request("a", &prompt)
    };
    let placed = placement.select(&pinned).unwrap();
    assert_eq!(
        (placed.rank, placed.reason),
        (WorkerRank::new(2, 5), SelectionReason::Pinned)
    );
    let other = hashes(2, 4);
    let anywhere_there = PlaceRequest {
        preferred: pin(2, None),
        ..request("b", &other)
    };
    let placed = placement.select(&anywhere_there).unwrap();
    // Rank 5 has a request already.
    assert_eq!(
        (placed.rank, placed.reason),
        (WorkerRank::new(2, 4), SelectionReason::Preferred)
    );
    let gone = PlaceRequest {
        pinned: pin(3, None),
        ..request("c", &prompt)
    };
    assert_eq!(
        placement.select(&gone),
        Err(SelectError::PinnedWorkerUnavailable)
    );
    placement.set_overloaded(WorkerRank::new(2, 5), true);
    assert_eq!(
        placement.select(&pinned),
        Err(SelectError::PinnedWorkerOverloaded)
    );
    let all_overloaded = PlaceRequest {
        allowed_workers: Some(&[2]),
        ..request("d", &prompt)
    };
    assert_eq!(
        placement.select(&all_overloaded).unwrap().rank,
        WorkerRank::new(2, 4)
    );
    placement.set_overloaded(WorkerRank::new(2, 4), true);
    assert_eq!(
        placement.select(&all_overloaded),
        Err(SelectError::AllEligibleWorkersOverloaded)
    );
}

#[test]
fn other_modes_choose_as_they_say_under_the_same_filters() {
    let mut placement = fleet(4, settings());
    placement.set_overloaded(WorkerRank::new(4, 0), true);
    let prompt = hashes(1, 4);
    let mut choose = |mode, id: &str| {
        let request = PlaceRequest {
            mode,
            excluded_workers: &[3],
            ..request(id, &prompt)
        };
        let placed = placement.select(&request).unwrap();
        (placed.rank.worker_id, placed.reason)
    };
    let turns: Vec<u64> = (0..4)
        .map(|at| choose(SelectionMode::RoundRobin, &format!("t{at}")).0)
        .collect();
    assert_eq!(turns, [1, 2, 1, 2]);
    choose(SelectionMode::RoundRobin, "one more");
    let (worker, reason) = choose(SelectionMode::LeastLoaded, "least");
    assert_eq!((worker, reason), (2, SelectionReason::LeastLoaded));
    for at in 0..50 {
        let (worker, reason) = choose(SelectionMode::Random, &format!("x{at}"));
        assert!(worker <= 2 && reason == SelectionReason::Random);
        let (worker, reason) = choose(SelectionMode::PowerOfTwo, &format!("y{at}"));
        assert!(worker <= 2 && reason == SelectionReason::PowerOfTwo);
    }
    let loads = placement.loads().active_requests;
    assert_eq!((loads[2], loads[3]), (0, 0));
    // Of two candidates power-of-two always takes the one with fewer requests.
    assert!(loads[0].abs_diff(loads[1]) < 25, "{loads:?}");
}

#[test]
fn a_queue_is_told_how_many_of_the_ranks_that_may_take_a_request_have_room() {
    let mut placement = fleet(4, settings());
    let prompt = hashes(1, 10);
    for (at, id) in ["a", "b"].iter().enumerate() {
        let request = PlaceRequest {
            pinned: Some(Pin {
                worker_id: at as u64 + 1,
                dp_rank: None,
            }),
            ..request(id, &prompt)
        };
        placement.select(&request).unwrap();
    }
    placement.set_overloaded(WorkerRank::new(3, 0), true);
    let count = |placement: &Placement, conditions: Conditions<'_>, above: BusyAbove<'_>| {
        let found = placement.occupancy(&conditions, &above);
        (found.eligible, found.busy, found.overloaded)
    };
    let any = Conditions::default();
    // 160 prompt tokens on each of two.
    let above = |tokens| BusyAbove {
        prefill_tokens: Some(tokens),
        ..BusyAbove::default()
    };
    assert_eq!(count(&placement, any, above(160.0)), (4, 1, 1));
    assert_eq!(count(&placement, any, above(159.0)), (4, 3, 1));
    let not_first = Conditions {
        excluded_workers: &[3, 1],
        ..any
    };
    assert_eq!(count(&placement, not_first, above(159.0)), (2, 1, 0));
    let out = BusyAbove {
        out_of_order: &[4, 3],
        ..above(160.0)
    };
    assert_eq!(count(&placement, any, out), (4, 2, 2));
    let marked = Conditions {
        required_taints: &["gpu".to_owned()],
        ..any
    };
    assert_eq!(count(&placement, marked, out), (0, 0, 0));
    // What they compute at once is not known, and taken to be very much.
    let share = BusyAbove {
        prefill_share: Some(0.000_01),
        ..BusyAbove::default()
    };
    assert_eq!(count(&placement, any, share), (4, 3, 1));
    assert!(placement.prefill_done("a", 5));
    assert_eq!(count(&placement, any, above(159.0)), (4, 2, 1));

    let best = |placement: &mut Placement, conditions| {
        placement.best_overlap(Prompt::Hashes(&prompt), &conditions)
    };
    assert_eq!(best(&mut placement, any), 10);
    let others = Conditions {
        allowed_workers: Some(&[4, 3]),
        ..any
    };
    assert_eq!(best(&mut placement, others), 0);
}
