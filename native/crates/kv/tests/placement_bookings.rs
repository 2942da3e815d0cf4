//! What a placement guarantees of its bookings: they count as load, and every one of them ends.

// The values compared are small and whole, and so exact.
#![allow(clippy::float_cmp, clippy::unwrap_used)]

mod fleet;

use dynamo_kv::{
    Overrides, Pin, PlaceRequest, Placement, PlacementSettings, Prompt, RemoteBooking, SelectError,
    WorkerFacts, WorkerRank,
};
use fleet::{fleet, hashes, request, settings, silent};

fn active(placement: &Placement) -> u32 {
    placement.loads().active_requests.iter().sum()
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
