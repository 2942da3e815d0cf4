//! Traces through simulated fleets.
#![allow(clippy::unwrap_used, missing_docs)]

use std::sync::Arc;

use dynamo_kv::{CostSettings, PlacementSettings, SelectionMode};
use dynamo_sim::EngineArgs;
use dynamo_sim::replay::{
    Arrivals, InvalidReplay, Lifetime, ReplayReport, ReplaySettings, Trace, TraceRequest, replay,
};

const BLOCK: u32 = 16;

/// `count` requests over `prefixes` long shared prefixes, each with an end of its own, one every 20 ms.
fn shared_prefixes(count: u64, prefixes: u64) -> Trace {
    let requests = (0..count).map(|number| {
        let prefix = (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32) % prefixes;
        let mut block_hashes: Vec<u64> = (0..30).map(|block| prefix * 1000 + block + 1).collect();
        block_hashes.push(1_000_000 + number);
        TraceRequest {
            arrival_ns: number * 20_000_000,
            prompt_tokens: 31 * BLOCK + 5,
            output_tokens: 8 + u32::try_from(number % 7).unwrap(),
            block_hashes,
        }
    });
    Trace {
        block_size: BLOCK,
        requests: requests.collect(),
    }
}

fn settings(mode: SelectionMode) -> ReplaySettings {
    ReplaySettings {
        engine: EngineArgs {
            num_gpu_blocks: 160,
            block_size: BLOCK,
            vocabulary: Arc::from([65, 66, 67]),
            ..EngineArgs::default()
        },
        workers: 4,
        lifetimes: Vec::new(),
        mode,
        placement: PlacementSettings {
            block_size: BLOCK,
            use_kv_events: true,
            track_active_blocks: true,
            assume_kv_reuse: true,
            cost: CostSettings {
                displacement_weight: 1.0,
                ..CostSettings::default()
            },
            seed: 7,
            ..PlacementSettings::default()
        },
        arrivals: Arrivals::Recorded { speedup: 1.0 },
    }
}

fn cached_share(report: &ReplayReport, trace: &Trace) -> f64 {
    let cached: u32 = report
        .requests
        .iter()
        .map(|request| request.cached_tokens)
        .sum();
    let prompts: u32 = trace
        .requests
        .iter()
        .map(|request| request.prompt_tokens)
        .sum();
    f64::from(cached) / f64::from(prompts)
}

#[test]
fn is_the_same_every_time_for_the_same_seed_and_differs_for_another() {
    let trace = shared_prefixes(300, 16);
    for mode in SelectionMode::ALL {
        let mut settings = settings(mode);
        settings.placement.cost.temperature = 0.5;
        let first = replay(&trace, &settings).unwrap();
        assert_eq!(first, replay(&trace, &settings).unwrap(), "{mode:?}");
        settings.placement.seed = 8;
        let other = replay(&trace, &settings).unwrap();
        let draws = !matches!(mode, SelectionMode::RoundRobin);
        assert_eq!(first != other, draws, "{mode:?}");
    }
}

#[test]
fn placing_by_cached_prefixes_finds_more_of_them_than_taking_turns() {
    let trace = shared_prefixes(400, 16);
    let share = |mode| cached_share(&replay(&trace, &settings(mode)).unwrap(), &trace);
    let (kv, turns) = (share(SelectionMode::Kv), share(SelectionMode::RoundRobin));
    assert!(kv > 0.8, "kv {kv}");
    assert!(kv > turns + 0.2, "kv {kv}, round-robin {turns}");
    let report = replay(&trace, &settings(SelectionMode::Kv)).unwrap();
    #[allow(clippy::cast_precision_loss)]
    let ideal = report.ideal_cached_tokens as f64
        / trace
            .requests
            .iter()
            .map(|r| f64::from(r.prompt_tokens))
            .sum::<f64>();
    assert!(kv <= ideal, "kv {kv}, ideal {ideal}");
}

#[test]
fn what_the_router_predicts_is_what_the_engines_find() {
    let trace = shared_prefixes(200, 8);
    let mut settings = settings(SelectionMode::Kv);
    settings.engine.num_gpu_blocks = 4096;
    let report = replay(&trace, &settings).unwrap();
    let wrong = report
        .requests
        .iter()
        .filter(|request| request.predicted_tokens != request.cached_tokens)
        .count();
    // A prefix that is being computed when its next request comes is not announced yet.
    assert!(wrong < 20, "{wrong} of 200 predictions were wrong");
}

#[test]
fn every_request_gets_its_tokens_and_none_is_early() {
    let trace = shared_prefixes(100, 8);
    let report = replay(&trace, &settings(SelectionMode::LeastLoaded)).unwrap();
    for (request, got) in trace.requests.iter().zip(&report.requests) {
        assert_eq!(got.output_tokens, request.output_tokens);
        assert!(got.first_token_ns.unwrap() > 0);
        assert!(got.last_token_ns >= got.first_token_ns.unwrap());
    }
    assert!(report.duration_ns > 99 * 20_000_000);
    let generated: u64 = report
        .workers
        .iter()
        .map(|totals| totals.generated_tokens)
        .sum();
    let expected: u64 = trace
        .requests
        .iter()
        .map(|r| u64::from(r.output_tokens))
        .sum();
    assert_eq!(generated, expected);
}

#[test]
fn workers_take_requests_only_while_they_exist() {
    let trace = shared_prefixes(200, 8);
    let life = |first, last| Lifetime { first, last };
    // Two of four were restarted at half time; a fifth was there for a moment.
    let lifetimes = vec![
        life(0, 99),
        life(0, 199),
        life(0, 99),
        life(0, 199),
        life(100, 199),
        life(100, 199),
        life(150, 159),
    ];
    for mode in SelectionMode::ALL {
        for arrivals in [
            Arrivals::Recorded { speedup: 1.0 },
            Arrivals::Closed { concurrency: 8 },
        ] {
            let settings = ReplaySettings {
                workers: 7,
                lifetimes: lifetimes.clone(),
                arrivals,
                ..settings(mode)
            };
            let report = replay(&trace, &settings).unwrap();
            assert_eq!(report, replay(&trace, &settings).unwrap(), "{mode:?}");
            let mut used = [false; 7];
            for (position, request) in report.requests.iter().enumerate() {
                let worker = request.worker.unwrap() as usize;
                let life = lifetimes[worker];
                assert!((life.first..=life.last).contains(&position), "{mode:?}");
                assert!(request.output_tokens > 0, "what it runs ends by itself");
                used[worker] = true;
            }
            assert_eq!(used, [true; 7], "{mode:?}");
        }
    }
}

#[test]
fn lifetimes_that_cover_the_trace_change_nothing() {
    let trace = shared_prefixes(120, 8);
    let mut settings = settings(SelectionMode::Kv);
    settings.placement.cost.temperature = 0.5;
    let without = replay(&trace, &settings).unwrap();
    settings.lifetimes = vec![
        Lifetime {
            first: 0,
            last: 119
        };
        4
    ];
    assert_eq!(without, replay(&trace, &settings).unwrap());
}

#[test]
fn a_closed_loop_runs_as_many_at_a_time_as_wanted() {
    let trace = shared_prefixes(60, 4);
    let run = |concurrency| {
        let arrivals = Arrivals::Closed { concurrency };
        replay(
            &trace,
            &ReplaySettings {
                arrivals,
                ..settings(SelectionMode::RoundRobin)
            },
        )
        .unwrap()
    };
    let one = run(1);
    let sum: u64 = one
        .requests
        .iter()
        .map(|request| request.last_token_ns)
        .sum();
    assert_eq!(one.duration_ns, sum, "one request follows the other");
    assert!(run(8).duration_ns < one.duration_ns / 2);
    assert!(one.requests.iter().all(|request| request.output_tokens > 0));
}

#[test]
fn a_request_that_no_engine_can_run_does_not_stop_the_others() {
    let mut trace = shared_prefixes(10, 2);
    trace.requests[3].prompt_tokens = 1_000_000;
    let report = replay(&trace, &settings(SelectionMode::Kv)).unwrap();
    assert_eq!(report.requests[3].output_tokens, 0);
    assert!(report.requests[3].first_token_ns.is_none());
    assert_eq!(
        report
            .requests
            .iter()
            .filter(|r| r.output_tokens > 0)
            .count(),
        9
    );
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let trace = shared_prefixes(2, 1);
    let refused = |change: fn(&mut ReplaySettings)| {
        let mut settings = settings(SelectionMode::Kv);
        change(&mut settings);
        replay(&trace, &settings).unwrap_err()
    };
    assert!(matches!(
        refused(|s| s.workers = 0),
        InvalidReplay::Other(_)
    ));
    assert!(matches!(
        refused(|s| s.lifetimes = vec![Lifetime { first: 0, last: 1 }]),
        InvalidReplay::Other(_)
    ));
    assert!(matches!(
        refused(|s| s.placement.block_size = 8),
        InvalidReplay::Other(_)
    ));
    assert!(matches!(
        refused(|s| s.engine.max_num_seqs = 0),
        InvalidReplay::Engine(_)
    ));
    assert!(matches!(
        refused(|s| s.arrivals = Arrivals::Recorded { speedup: 0.0 }),
        InvalidReplay::Other(_)
    ));
    let empty = Trace {
        block_size: BLOCK,
        requests: Vec::new(),
    };
    let report = replay(&empty, &settings(SelectionMode::Kv)).unwrap();
    assert_eq!((report.requests.len(), report.duration_ns), (0, 0));
}
