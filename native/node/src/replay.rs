//! Recorded requests through a simulated fleet, for JavaScript: flat arrays in and out, the work off the event loop.
use dynamo_sim::replay::{
    Arrivals, Lifetime, ReplayReport, ReplaySettings, Trace, TraceRequest, replay,
};
use napi::bindgen_prelude::{AsyncTask, BigUint64Array, Float64Array, Int32Array, Uint32Array};
use napi_derive::napi;

use crate::error::NativeError;
use crate::job::{Job, start};
use crate::placement::convert::{mode_of, placement_settings};
use crate::placement::shapes::NativePlacementOptions;
use crate::sim::{NativeMockEngineOptions, NativeMockRankTotals, engine_args, totals};

type Thrown = napi::Error<&'static str>;

const NS_PER_MS: f64 = 1e6;

/// Requests in order of arrival; arrays of the same length, but for the hashes.
#[napi(object)]
pub struct NativeReplayTrace {
    /// Tokens per block.
    pub block_size: u32,
    /// Since the first one.
    pub arrival_ms: Float64Array,
    /// Lengths of the prompts.
    pub prompt_tokens: Uint32Array,
    /// Lengths of the answers.
    pub output_tokens: Uint32Array,
    /// How many of the hashes belong to each.
    pub block_counts: Uint32Array,
    /// Local hashes of all requests' complete blocks, one request after the other.
    pub block_hashes: BigUint64Array,
}

/// When each worker of a replay exists: positions of requests in the trace, by the worker's number.
#[napi(object)]
pub struct NativeReplayLifetimes {
    /// First request that it may take.
    pub first: Uint32Array,
    /// Last request that it may take.
    pub last: Uint32Array,
}

/// Fleet and router of a replay.
#[napi(object)]
pub struct NativeReplaySettings {
    /// Every worker's engine.
    pub engine: NativeMockEngineOptions,
    /// Number of workers.
    pub workers: u32,
    /// When each of them exists; all for the whole trace without it.
    #[napi(ts_type = "NativeReplayLifetimes | undefined")]
    pub lifetimes: Option<NativeReplayLifetimes>,
    /// What chooses.
    #[napi(ts_type = "'kv' | 'round-robin' | 'random' | 'least-loaded' | 'power-of-two'")]
    pub mode: String,
    /// How it chooses.
    pub placement: NativePlacementOptions,
    /// Recorded arrivals come so many times faster.
    pub arrival_speedup: f64,
    /// So many requests at a time instead of recorded arrivals.
    #[napi(ts_type = "number | undefined")]
    pub concurrency: Option<u32>,
}

/// What a fleet made of a trace; arrays in order of the trace.
#[napi(object, object_from_js = false)]
pub struct NativeReplayReport {
    /// Worker by number; -1 when nobody could take the request.
    pub workers: Int32Array,
    /// Prompt tokens that the router expected to find cached.
    pub predicted_tokens: Uint32Array,
    /// Prompt tokens that the worker found cached.
    pub cached_tokens: Uint32Array,
    /// Tokens generated.
    pub output_tokens: Uint32Array,
    /// From arrival to the first token; NaN when there was none.
    pub first_token_ms: Float64Array,
    /// From arrival to the last token.
    pub last_token_ms: Float64Array,
    /// Per worker.
    pub totals: Vec<NativeMockRankTotals>,
    /// Virtual time of the last end.
    pub duration_ms: f64,
    /// Prompt tokens that one cache of any size would have held.
    pub ideal_cached_tokens: f64,
}

/// Sends a trace through a simulated fleet.
///
/// # Errors
/// `config.invalid` when trace and settings do not fit together.
#[napi(ts_return_type = "Promise<NativeReplayReport>")]
#[allow(clippy::needless_pass_by_value)] // napi hands arguments over by value
pub fn replay_trace(
    trace: NativeReplayTrace,
    settings: NativeReplaySettings,
) -> Result<AsyncTask<Job<NativeReplayReport>>, Thrown> {
    let settings = replay_settings(settings).map_err(NativeError::into_js)?;
    let trace = trace_of(&trace).map_err(NativeError::into_js)?;
    Ok(start(move || {
        let report = replay(&trace, &settings)
            .map_err(|error| NativeError::new("config.invalid", error.to_string()))?;
        Ok(report_of(&report))
    }))
}

fn replay_settings(settings: NativeReplaySettings) -> Result<ReplaySettings, NativeError> {
    Ok(ReplaySettings {
        engine: engine_args(&settings.engine)
            .map_err(|error| NativeError::new("config.invalid", error.reason.clone()))?,
        workers: settings.workers,
        lifetimes: lifetimes_of(settings.lifetimes.as_ref())?,
        mode: mode_of(&settings.mode)?,
        arrivals: settings.concurrency.map_or(
            Arrivals::Recorded {
                speedup: settings.arrival_speedup,
            },
            |concurrency| Arrivals::Closed {
                concurrency: concurrency as usize,
            },
        ),
        placement: placement_settings(settings.placement)?,
    })
}

fn lifetimes_of(lives: Option<&NativeReplayLifetimes>) -> Result<Vec<Lifetime>, NativeError> {
    let Some(NativeReplayLifetimes { first, last }) = lives else {
        return Ok(Vec::new());
    };
    if first.len() != last.len() {
        return Err(NativeError::new(
            "config.invalid",
            "every lifetime needs a first and a last request",
        ));
    }
    let lives = first.iter().zip(last.iter());
    Ok(lives
        .map(|(&first, &last)| Lifetime {
            first: first as usize,
            last: last as usize,
        })
        .collect())
}

fn trace_of(trace: &NativeReplayTrace) -> Result<Trace, NativeError> {
    let count = trace.arrival_ms.len();
    let lengths = [
        trace.prompt_tokens.len(),
        trace.output_tokens.len(),
        trace.block_counts.len(),
    ];
    if lengths.iter().any(|&length| length != count) {
        return Err(NativeError::new(
            "config.invalid",
            "the arrays of a trace must have the same length",
        ));
    }
    let mut hashes = trace.block_hashes.as_ref();
    let mut requests = Vec::with_capacity(count);
    for index in 0..count {
        let blocks = trace.block_counts[index] as usize;
        let Some((own, rest)) = hashes.split_at_checked(blocks) else {
            return Err(NativeError::new(
                "config.invalid",
                "a trace has fewer hashes than its block counts say",
            ));
        };
        hashes = rest;
        requests.push(TraceRequest {
            arrival_ns: nanoseconds(trace.arrival_ms[index]),
            prompt_tokens: trace.prompt_tokens[index],
            output_tokens: trace.output_tokens[index],
            block_hashes: own.to_vec(),
        });
    }
    Ok(Trace {
        block_size: trace.block_size,
        requests,
    })
}

fn report_of(report: &ReplayReport) -> NativeReplayReport {
    let requests = &report.requests;
    let u32s = |value: fn(&dynamo_sim::replay::ReplayedRequest) -> u32| {
        Uint32Array::new(requests.iter().map(value).collect())
    };
    NativeReplayReport {
        workers: Int32Array::new(
            requests
                .iter()
                .map(|request| {
                    request
                        .worker
                        .map_or(-1, |worker| i32::try_from(worker).unwrap_or(-1))
                })
                .collect(),
        ),
        predicted_tokens: u32s(|request| request.predicted_tokens),
        cached_tokens: u32s(|request| request.cached_tokens),
        output_tokens: u32s(|request| request.output_tokens),
        first_token_ms: Float64Array::new(
            requests
                .iter()
                .map(|request| request.first_token_ns.map_or(f64::NAN, milliseconds))
                .collect(),
        ),
        last_token_ms: Float64Array::new(
            requests
                .iter()
                .map(|request| milliseconds(request.last_token_ns))
                .collect(),
        ),
        totals: report.workers.iter().copied().map(totals).collect(),
        duration_ms: milliseconds(report.duration_ns),
        ideal_cached_tokens: float(report.ideal_cached_tokens),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // negative and NaN arrivals count as 0
fn nanoseconds(ms: f64) -> u64 {
    (ms * NS_PER_MS) as u64
}

#[allow(clippy::cast_precision_loss)]
fn milliseconds(ns: u64) -> f64 {
    ns as f64 / NS_PER_MS
}

#[allow(clippy::cast_precision_loss)]
fn float(value: u64) -> f64 {
    value as f64
}
