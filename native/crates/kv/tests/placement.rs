//! What a placement guarantees: choices follow caches and load, every booking ends, filters and overrides are respected.

// The values compared are small and whole, and so exact.
#![allow(clippy::float_cmp, clippy::unwrap_used)]

mod fleet;

use std::time::Duration;

use dynamo_kv::{
    BusyAbove, Conditions, CostSettings, Overrides, Pin, PlaceRequest, Placement,
    PlacementSettings, Prompt, RemoteBooking, SelectError, SelectionMode, SelectionReason,
    WorkerFacts, WorkerRank, local_block_hashes,
};
use fleet::{BLOCK, fleet, hashes, request, settings, silent};

fn active(placement: &Placement) -> u32 {
    placement.loads().active_requests.iter().sum()
}

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
fn load_moves_requests_away_and_ends_with_them() {
    let mut placement = fleet(4, settings());
    for at in 0..40 {
        let prompt = hashes(at + 10, 8);
        placement
            .select(&request(&format!("r{at}"), &prompt))
            .unwrap();
    }
    let loads = placement.loads();
    assert_eq!(loads.active_requests, [10; 4]);
    assert_eq!(loads.prefill_tokens, [1280; 4]);
    assert_eq!(loads.decode_blocks, [80.0; 4]);
    for at in 0..40 {
        assert!(placement.prefill_done(&format!("r{at}"), 5));
        assert!(placement.free(&format!("r{at}"), None).is_some());
        assert!(placement.free(&format!("r{at}"), None).is_none());
    }
    let loads = placement.loads();
    assert_eq!(loads.active_requests, [0; 4]);
    assert_eq!(loads.decode_blocks, [0.0; 4]);
}

#[test]
fn placing_an_id_again_replaces_its_booking() {
    let mut placement = fleet(2, settings());
    let prompt = hashes(1, 4);
    for _ in 0..5 {
        placement.select(&request("same", &prompt)).unwrap();
        assert_eq!(active(&placement), 1);
    }
    // Also when nothing can be chosen any more: the caller has given the former place up.
    let impossible = PlaceRequest {
        excluded_workers: &[1, 2],
        ..request("same", &prompt)
    };
    assert_eq!(placement.select(&impossible), Err(SelectError::NoEndpoints));
    assert_eq!(active(&placement), 0);
}

#[test]
fn an_advisory_choice_leaves_no_trace_but_its_record() {
    let mut placement = fleet(2, settings());
    let prompt = hashes(1, 4);
    let advisory = PlaceRequest {
        book: false,
        ..request("a", &prompt)
    };
    let placed = placement.select(&advisory).unwrap();
    assert_eq!(active(&placement), 0);
    assert!(placement.free("a", None).is_none());
    assert_eq!(placement.select(&advisory).unwrap().cached_tokens, 0);
    assert!(placement.decision(&placed.decision_id).is_some());
}

#[test]
fn a_partial_block_counts_as_load_and_is_not_shared() {
    let mut placement = fleet(1, settings());
    let prompt = hashes(1, 2);
    for id in ["a", "b"] {
        let longer = PlaceRequest {
            prompt_tokens: 35,
            ..request(id, &prompt)
        };
        placement.select(&longer).unwrap();
    }
    // Two shared blocks and a partial one each.
    assert_eq!(placement.loads().decode_blocks, [4.0]);
}

#[test]
fn without_reuse_nothing_is_shared_and_without_tracking_nothing_counts() {
    let prompt = hashes(1, 10);
    let mut private = fleet(
        1,
        PlacementSettings {
            assume_kv_reuse: false,
            ..settings()
        },
    );
    private.select(&request("a", &prompt)).unwrap();
    private.select(&request("b", &prompt)).unwrap();
    assert_eq!(private.loads().decode_blocks, [20.0]);
    let shared = Overrides {
        assume_kv_reuse: Some(true),
        ..Overrides::default()
    };
    let with_override = PlaceRequest {
        overrides: shared,
        ..request("c", &prompt)
    };
    private.select(&with_override).unwrap();
    assert_eq!(private.loads().decode_blocks, [30.0]);

    let mut untracked = fleet(
        1,
        PlacementSettings {
            track_active_blocks: false,
            ..settings()
        },
    );
    untracked.select(&request("a", &prompt)).unwrap();
    assert_eq!(untracked.loads().decode_blocks, [0.0]);
    assert_eq!(untracked.loads().active_requests, [1]);
}

#[test]
fn output_blocks_count_only_when_they_are_tracked() {
    let prompt = hashes(1, 2);
    for (track_output_blocks, blocks) in [(false, 2.0), (true, 3.0)] {
        let mut placement = fleet(
            1,
            PlacementSettings {
                track_output_blocks,
                ..settings()
            },
        );
        placement.select(&request("a", &prompt)).unwrap();
        assert!(placement.output_block("a", 2));
        assert!(!placement.output_block("other", 2));
        assert_eq!(placement.loads().decode_blocks, [blocks]);
    }
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

#[test]
fn a_retired_worker_is_not_chosen_and_its_bookings_end_when_they_end() {
    let mut placement = fleet(2, settings());
    let prompt = hashes(1, 10);
    let rank = placement.select(&request("a", &prompt)).unwrap().rank;
    placement.retire_worker(rank.worker_id);
    assert_eq!(placement.loads().ranks.len(), 1);
    for id in ["b", "c"] {
        assert_ne!(placement.select(&request(id, &prompt)).unwrap().rank, rank);
    }
    assert!(placement.prefill_done("a", 5));
    // It may come back while they run.
    placement.set_worker(&silent(rank.worker_id));
    assert_eq!(active(&placement), 3);
    placement.retire_worker(rank.worker_id);
    assert_eq!(placement.free("a", None).unwrap().rank, rank);
    placement.set_worker(&silent(rank.worker_id));
    assert_eq!(active(&placement), 2);
}

#[test]
fn a_worker_that_leaves_takes_its_bookings_and_blocks_along() {
    let mut placement = fleet(2, settings());
    let prompt = hashes(1, 10);
    let rank = placement.select(&request("a", &prompt)).unwrap().rank;
    assert_eq!(placement.remove_worker(rank.worker_id), ["a"]);
    assert!(placement.free("a", None).is_none());
    placement.set_worker(&silent(rank.worker_id));
    assert!(
        placement
            .overlap(Prompt::Hashes(&prompt))
            .device
            .iter()
            .all(|blocks| *blocks == 0)
    );
    assert_eq!(active(&placement), 0);
}

#[test]
fn ranks_that_a_worker_has_no_more_are_forgotten() {
    let mut placement = Placement::new(settings()).unwrap();
    let wide = WorkerFacts {
        dp_size: 3,
        ..silent(1)
    };
    placement.set_worker(&wide);
    let prompt = hashes(1, 4);
    let on_rank_2 = PlaceRequest {
        pinned: Some(Pin {
            worker_id: 1,
            dp_rank: Some(2),
        }),
        ..request("a", &prompt)
    };
    placement.select(&on_rank_2).unwrap();
    placement.set_worker(&WorkerFacts { dp_size: 2, ..wide });
    assert_eq!(placement.loads().ranks.len(), 2);
    assert_eq!(active(&placement), 0);
    assert!(placement.free("a", None).is_none());
}

#[test]
fn forgotten_bookings_expire_and_what_was_heard_of_lives_on() {
    let mut placement = fleet(2, settings());
    let prompt = hashes(1, 4);
    placement.select(&request("quiet", &prompt)).unwrap();
    placement.select(&request("alive", &prompt)).unwrap();
    assert!(placement.expire(50_000).is_empty());
    assert!(placement.output_block("alive", 50_000));
    assert_eq!(placement.expire(60_001), ["quiet"]);
    assert!(placement.expire(60_002).is_empty());
    assert_eq!(placement.expire(110_000), ["alive"]);
    assert_eq!(active(&placement), 0);
}

#[test]
fn bookings_of_other_routers_are_load_and_promise_content() {
    let mut placement = fleet(2, settings());
    let prompt = hashes(1, 20);
    let remote = RemoteBooking {
        id: "other/1",
        rank: WorkerRank::new(2, 0),
        block_hashes: &prompt,
        prompt_tokens: 325,
        prefill_tokens: 325,
        now_ms: 1,
        predict: true,
    };
    assert!(placement.add_remote(&remote));
    assert!(!placement.add_remote(&remote));
    let unknown = RemoteBooking {
        id: "other/2",
        rank: WorkerRank::new(3, 0),
        ..remote
    };
    assert!(!placement.add_remote(&unknown));
    let loads = placement.loads();
    assert_eq!(loads.decode_blocks, [0.0, 21.0]);
    assert_eq!(loads.prefill_tokens, [0, 325]);
    assert_eq!(
        placement
            .select(&request("a", &prompt))
            .unwrap()
            .rank
            .worker_id,
        1
    );
    assert!(placement.prefill_done("other/1", 2));
    let warm = PlaceRequest {
        overrides: Overrides {
            prefill_load_scale: Some(1.0),
            ..Overrides::default()
        },
        excluded_workers: &[1],
        ..request("b", &prompt)
    };
    assert_eq!(placement.select(&warm).unwrap().overlap_blocks, 20);
    assert!(placement.free("other/1", None).is_some());
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
