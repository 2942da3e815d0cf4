//! The loop of a replay.

use std::fmt;

use dynamo_kv::{InvalidPlacement, PlacementSettings, SelectionMode};

use super::fleet::Fleet;
use super::ideal::ideal_cached_tokens;
use super::lifetimes::{Lifetime, Roster};
use super::prompt::synthetic_prompt;
use super::report::{ReplayReport, ReplayedRequest};
use super::router::Router;
use super::trace::{Trace, TraceRequest};
use crate::args::{EngineArgs, InvalidArgs};
use crate::batch::{Batch, Entry};
use crate::sequence::Request;

const NS_PER_MS: u64 = 1_000_000;

/// When requests come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Arrivals {
    /// As recorded, this many times faster.
    Recorded {
        /// More than 0.
        speedup: f64,
    },
    /// So many at a time, in order: the next one when one has ended.
    Closed {
        /// At least 1.
        concurrency: usize,
    },
}

/// The fleet and the router of a replay.
#[derive(Debug, Clone)]
pub struct ReplaySettings {
    /// Every worker's engine; one rank each.
    pub engine: EngineArgs,
    /// Workers; at least 1.
    pub workers: u32,
    /// When each worker exists, by number; empty when all exist for the whole trace.
    pub lifetimes: Vec<Lifetime>,
    /// What chooses.
    pub mode: SelectionMode,
    /// How it chooses. Block sizes of trace, engine and placement must be equal.
    pub placement: PlacementSettings,
    /// When requests come.
    pub arrivals: Arrivals,
}

/// Settings or a trace that cannot be replayed.
#[derive(Debug, Clone, PartialEq)]
pub enum InvalidReplay {
    /// An engine setting.
    Engine(InvalidArgs),
    /// A router setting.
    Placement(InvalidPlacement),
    /// Something else, in words.
    Other(&'static str),
}

impl fmt::Display for InvalidReplay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine(error) => error.fmt(formatter),
            Self::Placement(error) => error.fmt(formatter),
            Self::Other(problem) => formatter.write_str(problem),
        }
    }
}

impl std::error::Error for InvalidReplay {}

/// Sends a trace through a simulated fleet, as fast as the machine can.
///
/// # Errors
/// When trace and settings do not fit together or make no sense.
pub fn replay(trace: &Trace, settings: &ReplaySettings) -> Result<ReplayReport, InvalidReplay> {
    check(trace, settings)?;
    let mut run = Run::new(trace, settings)?;
    run.start();
    while let Some(at) = run.next_event() {
        run.advance(at);
    }
    Ok(run.report())
}

fn check(trace: &Trace, settings: &ReplaySettings) -> Result<(), InvalidReplay> {
    let block_size = settings.placement.block_size;
    let problem = if settings.workers == 0 {
        "workers must be at least 1"
    } else if !(settings.lifetimes.is_empty()
        || settings.lifetimes.len() == settings.workers as usize)
    {
        "there must be a lifetime for each worker, or none at all"
    } else if settings.lifetimes.iter().any(|life| life.last < life.first) {
        "a lifetime ends before it begins"
    } else if block_size == 0 || trace.block_size != block_size {
        "the block size must be that of the trace"
    } else if settings.engine.block_size != block_size || settings.engine.dp_size != 1 {
        "every worker needs the trace's block size and one rank"
    } else if trace.requests.len() > u32::MAX as usize / 2 {
        "the trace is too long"
    } else {
        match settings.arrivals {
            Arrivals::Recorded { speedup } if !(speedup.is_finite() && speedup > 0.0) => {
                "the speed-up of arrivals must be more than 0"
            }
            Arrivals::Closed { concurrency: 0 } => "concurrency must be at least 1",
            _ => return Ok(()),
        }
    };
    Err(InvalidReplay::Other(problem))
}

/// One request on its way.
#[derive(Debug, Clone)]
struct Running {
    /// Position in the trace.
    number: usize,
    /// Booking.
    id: String,
    arrived_ns: u64,
    prompt_tokens: usize,
}

struct Run<'a> {
    trace: &'a Trace,
    settings: &'a ReplaySettings,
    roster: Roster,
    fleet: Fleet,
    desk: Desk,
    /// Next request of the trace.
    next: usize,
    now_ns: u64,
}

/// What the loop tells when an engine has news; apart from the fleet, which is borrowed meanwhile.
struct Desk {
    router: Router,
    block_size: usize,
    /// Requests by the number that engines know them by.
    running: Vec<Option<Running>>,
    free_slots: Vec<u32>,
    results: Vec<ReplayedRequest>,
    now_ns: u64,
    ended: usize,
}

impl<'a> Run<'a> {
    fn new(trace: &'a Trace, settings: &'a ReplaySettings) -> Result<Self, InvalidReplay> {
        let ReplaySettings {
            engine,
            workers,
            mode,
            placement,
            ..
        } = settings;
        let router = Router::new(placement.clone(), *mode, *workers, engine)
            .map_err(InvalidReplay::Placement)?;
        Ok(Self {
            trace,
            settings,
            roster: Roster::new(*workers, &settings.lifetimes),
            fleet: Fleet::new(*workers, engine).map_err(InvalidReplay::Engine)?,
            desk: Desk {
                router,
                block_size: placement.block_size as usize,
                running: Vec::new(),
                free_slots: Vec::new(),
                results: vec![ReplayedRequest::default(); trace.requests.len()],
                now_ns: 0,
                ended: 0,
            },
            next: 0,
            now_ns: 0,
        })
    }

    /// Lets in what may come at the beginning.
    fn start(&mut self) {
        self.admit();
    }

    /// When something happens next; none when all is done.
    fn next_event(&mut self) -> Option<u64> {
        let arrival = self.next_arrival();
        let due = self.fleet.next_due();
        match (arrival, due) {
            (Some(arrival), Some(due)) => Some(arrival.min(due)),
            (arrival, due) => arrival.or(due),
        }
    }

    fn advance(&mut self, at: u64) {
        self.now_ns = self.now_ns.max(at);
        self.desk.now_ns = self.now_ns;
        let desk = &mut self.desk;
        self.fleet
            .advance(self.now_ns, &mut |worker, batch| desk.take(worker, batch));
        self.admit();
    }

    /// Places every request that has arrived.
    fn admit(&mut self) {
        while self.next_arrival().is_some_and(|at| at <= self.now_ns) {
            let number = self.next;
            self.next += 1;
            self.submit(number);
        }
    }

    fn next_arrival(&self) -> Option<u64> {
        let request = self.trace.requests.get(self.next)?;
        match self.settings.arrivals {
            Arrivals::Recorded { speedup } => Some(scaled(request.arrival_ns, speedup)),
            Arrivals::Closed { concurrency } => {
                let open = self.next - self.desk.ended;
                (open < concurrency).then_some(self.now_ns)
            }
        }
    }

    fn submit(&mut self, number: usize) {
        while let Some(change) = self.roster.next_before(number) {
            self.desk.router.change(change);
        }
        let request = &self.trace.requests[number];
        let prompt = synthetic_prompt(request, number, self.trace.block_size);
        let Some((worker, slot)) = self.desk.place(number, &prompt) else {
            return;
        };
        let request = engine_request(slot, prompt, request);
        let desk = &mut self.desk;
        self.fleet
            .submit(worker, request, self.now_ns, &mut |worker, batch| {
                desk.take(worker, batch);
            });
    }

    fn report(self) -> ReplayReport {
        ReplayReport {
            requests: self.desk.results,
            workers: self.fleet.totals(),
            ideal_cached_tokens: ideal_cached_tokens(self.trace),
            duration_ns: self.now_ns,
        }
    }
}

/// Ends when it is as long as recorded, wherever the simulated text would end.
fn engine_request(slot: u32, prompt: Vec<u32>, request: &TraceRequest) -> Request {
    let output = request.output_tokens.max(1);
    Request {
        id: slot,
        prompt,
        max_tokens: Some(output),
        min_tokens: output,
        dp_rank: Some(0),
        ..Request::default()
    }
}

impl Desk {
    /// Worker and slot of a request; none when nobody can take it.
    fn place(&mut self, number: usize, prompt: &[u32]) -> Option<(usize, u32)> {
        let id = number.to_string();
        let Ok(placed) = self.router.place(&id, prompt, self.now_ms()) else {
            self.ended += 1;
            return None;
        };
        let worker = u32::try_from(placed.rank.worker_id).unwrap_or(u32::MAX);
        let result = &mut self.results[number];
        result.worker = Some(worker);
        result.predicted_tokens = u32::try_from(placed.cached_tokens).unwrap_or(u32::MAX);
        let running = Running {
            number,
            id,
            arrived_ns: self.now_ns,
            prompt_tokens: prompt.len(),
        };
        Some((worker as usize, self.take_slot(running)))
    }

    fn take_slot(&mut self, running: Running) -> u32 {
        if let Some(slot) = self.free_slots.pop() {
            self.running[slot as usize] = Some(running);
            return slot;
        }
        self.running.push(Some(running));
        u32::try_from(self.running.len() - 1).unwrap_or(u32::MAX)
    }

    /// An engine has news: its events first, because they are older than the tokens' arrival anywhere.
    fn take(&mut self, worker: usize, batch: &Batch) {
        let now_ms = self.now_ms();
        self.router.learn(worker, batch.events(), now_ms);
        for entry in batch.entries() {
            self.note(entry);
        }
    }

    fn note(&mut self, entry: &Entry) {
        let now_ms = self.now_ms();
        let slot = entry.id as usize;
        let Some(running) = self.running[slot].as_ref() else {
            return;
        };
        let result = &mut self.results[running.number];
        result.cached_tokens = entry.cached_tokens;
        if entry.tokens > 0 {
            let since_arrival = self.now_ns - running.arrived_ns;
            if result.first_token_ns.is_none() {
                result.first_token_ns = Some(since_arrival);
                self.router.prefill_done(&running.id, now_ms);
            }
            result.last_token_ns = since_arrival;
            let before = running.prompt_tokens + result.output_tokens as usize;
            result.output_tokens += entry.tokens;
            let after = running.prompt_tokens + result.output_tokens as usize;
            for _ in before / self.block_size..after / self.block_size {
                self.router.output_block(&running.id, now_ms);
            }
        }
        if entry.finish.is_some() {
            self.router.free(&running.id);
            self.running[slot] = None;
            self.free_slots.push(entry.id);
            self.ended += 1;
        }
    }

    fn now_ms(&self) -> u64 {
        self.now_ns / NS_PER_MS
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]
fn scaled(arrival_ns: u64, speedup: f64) -> u64 {
    (arrival_ns as f64 / speedup) as u64
}
