//! The discrete-event clock: runs an engine from event to event, as fast as the machine can, with the same result
//! every time.

use crate::args::{EngineArgs, InvalidArgs};
use crate::batch::Batch;
use crate::engine::Engine;
use crate::kv_events::KvEvent;
use crate::sequence::{Finish, Rejection, Request, RequestId};

/// What one request got.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Generated tokens.
    pub tokens: Vec<u32>,
    /// When each of them came out, in nanoseconds.
    pub token_times_ns: Vec<u64>,
    /// How it ended.
    pub finish: Option<Finish>,
    /// Why it was refused.
    pub rejection: Option<Rejection>,
    /// Prompt tokens reused from the cache.
    pub cached_tokens: u32,
    /// Rank that served it.
    pub rank: u32,
}

/// An engine, its virtual clock and everything it has produced.
#[derive(Debug)]
pub struct Simulation {
    /// The engine.
    pub engine: Engine,
    now: u64,
    batch: Batch,
    outcomes: Vec<Outcome>,
    events: Vec<(u64, u32, KvEvent)>,
}

impl Simulation {
    /// A simulation at time 0.
    ///
    /// # Errors
    /// Names the first setting that no engine can run with.
    pub fn new(args: EngineArgs) -> Result<Self, InvalidArgs> {
        Ok(Self {
            engine: Engine::new(args)?,
            now: 0,
            batch: Batch::new(),
            outcomes: Vec::new(),
            events: Vec::new(),
        })
    }

    /// Virtual time in nanoseconds.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.now
    }

    /// Cache events so far: time, rank, event.
    #[must_use]
    pub fn events(&self) -> &[(u64, u32, KvEvent)] {
        &self.events
    }

    /// What a request has got so far.
    #[must_use]
    pub fn outcome(&self, id: RequestId) -> Outcome {
        self.outcomes.get(id as usize).cloned().unwrap_or_default()
    }

    /// Submits a request now.
    pub fn submit(&mut self, request: Request) {
        self.engine.submit(request, self.now, &mut self.batch);
        self.settle();
    }

    /// Cancels a request now.
    pub fn cancel(&mut self, id: RequestId) {
        self.engine.cancel(id, &mut self.batch);
        self.settle();
    }

    /// Lets time pass until `until`, event by event.
    pub fn run_until(&mut self, until: u64) {
        while let Some(due) = self.engine.next_due().filter(|&due| due <= until) {
            self.now = self.now.max(due);
            self.settle();
        }
        self.now = self.now.max(until);
    }

    /// Lets time pass until every request has ended.
    pub fn run(&mut self) {
        while let Some(due) = self.engine.next_due() {
            self.run_until(due.max(self.now));
        }
    }

    fn settle(&mut self) {
        loop {
            self.engine.advance(self.now, &mut self.batch);
            if self.batch.is_empty() {
                return;
            }
            self.collect();
        }
    }

    fn collect(&mut self) {
        let tokens = self.batch.token_ids();
        let mut start = 0;
        for entry in self.batch.entries() {
            let end = start + entry.tokens as usize;
            let slot = entry.id as usize;
            if slot >= self.outcomes.len() {
                self.outcomes.resize(slot + 1, Outcome::default());
            }
            let outcome = &mut self.outcomes[slot];
            outcome.tokens.extend_from_slice(&tokens[start..end]);
            outcome
                .token_times_ns
                .resize(outcome.tokens.len(), self.now);
            outcome.finish = entry.finish;
            outcome.rejection = entry.rejection;
            outcome.cached_tokens = entry.cached_tokens;
            outcome.rank = entry.rank;
            start = end;
        }
        let events = self.batch.events().iter().cloned();
        self.events
            .extend(events.map(|(rank, event)| (self.now, rank, event)));
        self.batch.clear();
    }
}
