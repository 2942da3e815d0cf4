//! Recorded decisions: what they hold, how long, and that taking them again gives the same choice bit for bit.

#![allow(clippy::unwrap_used)] // a test may panic

mod fleet;

use dynamo_kv::{
    CostSettings, OutcomeKind, Overrides, Pin, PlaceRequest, Placement, PlacementSettings, Prompt,
    RequestOutcome, RescoreError, SelectError, SelectionMode, SelectionPolicy, SettingsPatch,
    WorkerFacts, WorkerRank, encode_line, encode_message, rescore,
};
use fleet::{Lcg, fleet, hashes, request, settings, silent};

/// Encodes a decision of a placement.
fn encoded(placement: &Placement, id: &str) -> Vec<u8> {
    encode_message(
        placement.decision_context(),
        &placement.decision(id).unwrap(),
    )
}

/// A fleet of various workers with all kinds of settings.
fn random_placement(random: &mut Lcg) -> Placement {
    let share = |random: &mut Lcg| f64::from(u32::try_from(random.below(40)).unwrap()) / 16.0;
    let policy = match random.below(4) {
        0 => SelectionPolicy::Lmetric,
        _ => SelectionPolicy::Linear,
    };
    let temperature = if random.below(2) == 0 {
        0.0
    } else {
        share(random)
    };
    let mut placement = Placement::new(PlacementSettings {
        cost: CostSettings {
            policy,
            overlap_score_credit_decay: share(random),
            decode_active_request_weight: share(random),
            displacement_weight: share(random),
            track_prefill_tokens: random.below(5) > 0,
            temperature,
            ..CostSettings::default()
        },
        seed: random.below(1 << 40),
        decision_ring_bytes: 64 << 20,
        ..settings()
    })
    .unwrap();
    for worker_id in 1..=2 + random.below(8) {
        placement.set_worker(&WorkerFacts {
            dp_size: 1 + u32::try_from(random.below(2)).unwrap(),
            total_kv_blocks: random.below(3) * 30,
            taints: vec![format!("zone={}", random.below(3))],
            ..silent(worker_id)
        });
    }
    placement
}

/// One request of any kind; the choice may fail.
fn place(placement: &mut Placement, random: &mut Lcg, number: u64) -> Option<(String, WorkerRank)> {
    let prompt = hashes(random.below(6), 1 + random.below(40));
    let id = format!("r{number}");
    let worker = |random: &mut Lcg| Pin {
        worker_id: 1 + random.below(6),
        dp_rank: [None, Some(0), Some(1)][usize::try_from(random.below(3)).unwrap()],
    };
    let excluded = [1 + random.below(6)];
    let required = ["zone=0".to_owned()];
    let preferred = [("zone=1".to_owned(), 0.7), ("zone=2".to_owned(), -0.4)];
    let mode = SelectionMode::ALL[usize::try_from(random.below(9).saturating_sub(4)).unwrap()];
    let placed = placement.select(&PlaceRequest {
        mode,
        prompt_tokens: prompt.len() as u64 * 16 + random.below(16),
        excluded_workers: if random.below(4) == 0 { &excluded } else { &[] },
        pinned: (random.below(9) == 0).then(|| worker(random)),
        preferred: (random.below(6) == 0).then(|| worker(random)),
        required_taints: if random.below(8) == 0 { &required } else { &[] },
        preferred_taints: if random.below(3) == 0 {
            &preferred
        } else {
            &[]
        },
        overrides: Overrides {
            displacement_weight: (random.below(5) == 0).then_some(2.5),
            temperature: (random.below(5) == 0).then_some(0.3),
            ..Overrides::default()
        },
        ..request(&id, &prompt)
    });
    if random.below(3) == 0 {
        placement.free(
            &format!("r{}", number.saturating_sub(random.below(20))),
            None,
        );
    }
    if random.below(10) == 0 {
        let overloaded = random.below(2) == 0;
        placement.set_overloaded(WorkerRank::new(1 + random.below(6), 0), overloaded);
    }
    placed.ok().map(|placed| (placed.decision_id, placed.rank))
}

#[test]
fn a_decision_taken_again_has_the_same_choice_and_costs_bit_for_bit() {
    let mut random = Lcg(11);
    let mut compared = 0;
    let mut reasons = std::collections::BTreeSet::new();
    while compared < 2_000 {
        let mut placement = random_placement(&mut random);
        for number in 0..120 {
            let Some((id, rank)) = place(&mut placement, &mut random, number) else {
                continue;
            };
            let bytes = encoded(&placement, &id);
            let decision = Decision::read(&bytes);
            let again = rescore(&bytes, &SettingsPatch::default()).unwrap();
            assert_eq!(again.chosen, decision.chosen);
            assert_eq!(again.reason.as_str(), decision.reason);
            assert_eq!(decision.ranks[again.chosen], rank);
            let bits = |costs: &[f64]| costs.iter().map(|cost| cost.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&again.costs), bits(&decision.costs));
            reasons.insert(decision.reason);
            compared += 1;
        }
    }
    assert_eq!(reasons.len(), 10, "{reasons:?}");
}

#[test]
fn other_settings_show_what_they_would_have_chosen() {
    let mut placement = fleet(2, settings());
    let prompt = hashes(1, 60);
    let holder = placement.select(&request("a", &prompt)).unwrap().rank;
    let placed = placement.select(&request("b", &prompt)).unwrap();
    assert_eq!(placed.rank, holder);
    let bytes = encoded(&placement, &placed.decision_id);
    let with = |mode| SettingsPatch {
        mode: Some(mode),
        ..SettingsPatch::default()
    };
    let least = rescore(&bytes, &with(SelectionMode::LeastLoaded)).unwrap();
    assert_eq!(least.reason.as_str(), "least_loaded");
    assert_ne!(Decision::read(&bytes).ranks[least.chosen], holder);
    let invalid = SettingsPatch {
        cost: Some(CostSettings {
            temperature: f64::NAN,
            ..CostSettings::default()
        }),
        ..SettingsPatch::default()
    };
    assert!(matches!(
        rescore(&bytes, &invalid),
        Err(RescoreError::NoChoice(SelectError::InvalidSetting(_)))
    ));
    assert!(matches!(
        rescore(&[0xff, 1, 2], &SettingsPatch::default()),
        Err(RescoreError::Unreadable(_))
    ));
    assert!(rescore(&[], &SettingsPatch::default()).is_err());
}

#[test]
fn a_line_has_snake_case_names_decimal_strings_and_the_outcome() {
    let mut placement = fleet(2, settings());
    let prompt = [u64::MAX, 1];
    let id = placement
        .select(&PlaceRequest {
            trace_id: "trace",
            expected_output_tokens: Some(7),
            queued_ms: 1.5,
            policy_class: "batch",
            ..request("a", &prompt)
        })
        .unwrap()
        .decision_id;
    let outcome = RequestOutcome {
        kind: OutcomeKind::Completed,
        cached_tokens: Some(0),
        output_tokens: Some(5),
        ttft_ms: Some(12.5),
        itl_ms: None,
        error_code: None,
    };
    placement.free("a", Some(outcome)).unwrap();
    let drained = placement.drain_decisions(10);
    let mut lines = Vec::new();
    encode_line(
        placement.decision_context(),
        &drained.decisions[0],
        &mut lines,
    );
    let text = String::from_utf8(lines).unwrap();
    assert!(text.ends_with("}\n"));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["decision_id"], id);
    assert_eq!(json["router_id"], "9");
    assert_eq!(json["block_hashes_le"], "//////////8BAAAAAAAAAA==");
    assert_eq!(json["candidates"][1]["worker_id"], "2");
    assert_eq!(json["outcome"]["kind"], "completed");
    assert_eq!(json["outcome"]["cached_tokens"], 0);
    assert_eq!(json["outcome"]["ttft_ms"], 12.5);
    assert_eq!(json["outcome"].get("itl_ms"), None);
    assert_eq!(json["expected_output_tokens"], 7);
    assert_eq!(json["queued_ms"], 1.5);
    assert_eq!(json["policy_class"], "batch");
    assert_eq!(json.get("pinned_worker_id"), None);
    assert!(json["seed"].is_string());
}

#[test]
fn the_ring_keeps_its_budget_and_says_what_it_lost() {
    let mut placement = fleet(
        4,
        PlacementSettings {
            decision_ring_bytes: 40_000,
            ..settings()
        },
    );
    let mut ids = Vec::new();
    for number in 0..200 {
        let id = format!("r{number}");
        let prompt = hashes(number, 32);
        ids.push(
            placement
                .select(&request(&id, &prompt))
                .unwrap()
                .decision_id,
        );
        if number < 190 {
            placement.free(&id, None);
        }
    }
    let recent = placement.recent_decisions(1_000);
    assert!((10..60).contains(&recent.len()), "{}", recent.len());
    assert!(placement.decision(&ids[0]).is_none());
    assert!(placement.decision(&ids[199]).is_some());
    let drained = placement.drain_decisions(5);
    assert_eq!(drained.decisions.len(), 5);
    assert_eq!(drained.dropped, 200 - recent.len() as u64);
    let rest = placement.drain_decisions(1_000);
    assert_eq!(rest.decisions.len(), recent.len() - 10 - 5);
    assert_eq!(rest.dropped, 0);
    // The ten that run end later, each once.
    for number in 190..200 {
        placement.free(&format!("r{number}"), None);
    }
    assert_eq!(placement.drain_decisions(1_000).decisions.len(), 10);
    assert!(placement.drain_decisions(1_000).decisions.is_empty());
}

#[test]
fn nothing_is_recorded_when_it_is_not_wanted() {
    let prompt = hashes(1, 4);
    let mut off = fleet(
        2,
        PlacementSettings {
            decision_ring_bytes: 0,
            ..settings()
        },
    );
    assert_eq!(off.select(&request("a", &prompt)).unwrap().decision_id, "");
    let mut on = fleet(2, settings());
    let unrecorded = PlaceRequest {
        record: false,
        ..request("a", &prompt)
    };
    assert_eq!(on.select(&unrecorded).unwrap().decision_id, "");
    assert!(on.recent_decisions(10).is_empty());
    assert!(on.overlap(Prompt::Hashes(&prompt)).device.contains(&4));
}

/// What the comparison needs of an encoded decision, read by its own declaration of the message.
struct Decision {
    chosen: usize,
    reason: String,
    ranks: Vec<WorkerRank>,
    costs: Vec<f64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Message {
    #[prost(message, repeated, tag = "14")]
    candidates: Vec<Candidate>,
    #[prost(uint32, tag = "15")]
    chosen: u32,
    #[prost(string, tag = "16")]
    reason: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Candidate {
    #[prost(uint64, tag = "1")]
    worker_id: u64,
    #[prost(uint32, tag = "2")]
    dp_rank: u32,
    #[prost(double, tag = "15")]
    cost: f64,
}

impl Decision {
    fn read(bytes: &[u8]) -> Self {
        let message = <Message as prost::Message>::decode(bytes).unwrap();
        let candidates = &message.candidates;
        Self {
            chosen: message.chosen as usize,
            reason: message.reason,
            ranks: candidates
                .iter()
                .map(|row| WorkerRank::new(row.worker_id, row.dp_rank))
                .collect(),
            costs: candidates.iter().map(|row| row.cost).collect(),
        }
    }
}
