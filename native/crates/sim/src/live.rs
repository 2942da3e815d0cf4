//! The live clock: one thread per engine that sleeps until the next pass ends and hands over what happened.
//!
//! Passes that end within one tick of 1 ms leave as one delivery. There is at most one delivery that its receiver has not
//! taken; what happens meanwhile is merged into the next one, and when that is full the engine waits, so that a receiver
//! that is slow makes a slow engine and never a large queue.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::args::{EngineArgs, InvalidArgs};
use crate::batch::Batch;
use crate::engine::Engine;
use crate::scheduler::{RankLoad, RankTotals};
use crate::sequence::{Request, RequestId};

/// Shortest time between two deliveries.
const TICK_NS: u64 = 1_000_000;

/// Receives what a live engine produces, on the engine's thread. It must not block.
pub trait Sink: Send + 'static {
    /// Takes one delivery.
    fn deliver(&mut self, delivery: Delivery);
    /// The engine's thread has panicked; nothing follows.
    fn fail(&mut self, reason: String);
}

/// What happened since the last delivery.
#[derive(Debug)]
pub struct Delivery {
    /// Entries in the layout of [`Batch::records`].
    pub records: Vec<u32>,
    /// Token ids of all entries, one entry after the other.
    pub token_ids: Vec<u32>,
    /// Cache events in the layout of [`crate::kv_events`].
    pub events: Vec<u8>,
    /// Gauges of every rank, when one of them has changed.
    pub loads: Option<Vec<RankLoad>>,
    /// Drop it when the delivery has been taken; the next one follows only then.
    pub receipt: Receipt,
}

/// Lets the next delivery go when it is dropped.
#[derive(Debug)]
pub struct Receipt(Arc<Shared>);

impl Drop for Receipt {
    fn drop(&mut self) {
        self.0.lock().delivered = false;
        self.0.wake.notify_one();
    }
}

/// A running engine. Dropping it stops it.
#[derive(Debug)]
pub struct LiveEngine {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    inbox: Mutex<Inbox>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Inbox {
    commands: Vec<Command>,
    totals: Vec<RankTotals>,
    /// A delivery has not been taken yet.
    delivered: bool,
    closing: bool,
}

#[derive(Debug)]
enum Command {
    Submit(Request),
    Cancel(RequestId),
    ClearCache,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LiveEngine {
    /// Starts an engine on a thread of its own.
    ///
    /// # Errors
    /// Names the first setting that no engine can run with.
    ///
    /// # Panics
    /// When the operating system gives no thread.
    pub fn start(args: EngineArgs, sink: impl Sink) -> Result<Self, InvalidArgs> {
        let engine = Engine::new(args)?;
        let shared = Arc::new(Shared::default());
        shared.lock().totals = engine.totals();
        let runner = Runner::new(engine, Arc::clone(&shared), sink);
        let thread = std::thread::Builder::new()
            .name("sim-engine".to_owned())
            .spawn(move || runner.run_guarded())
            .expect("a thread for the simulated engine");
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Hands a request over; its entries follow in deliveries.
    pub fn submit(&self, request: Request) {
        self.command(Command::Submit(request));
    }

    /// Asks for a request's end; it ends with an entry that says so, unless it has ended already.
    pub fn cancel(&self, id: RequestId) {
        self.command(Command::Cancel(id));
    }

    /// Drops the cache of every rank whose blocks are not in use.
    pub fn clear_cache(&self) {
        self.command(Command::ClearCache);
    }

    /// Counters of every rank, as of the last delivery.
    #[must_use]
    pub fn totals(&self) -> Vec<RankTotals> {
        self.shared.lock().totals.clone()
    }

    /// Stops the thread. Requests that run get no end. Idempotent.
    pub fn close(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported to the sink.
            let _ = thread.join();
        }
    }

    fn command(&self, command: Command) {
        let mut inbox = self.shared.lock();
        inbox.commands.push(command);
        let first = inbox.commands.len() == 1;
        drop(inbox);
        if first {
            self.shared.wake.notify_one();
        }
    }
}

impl Drop for LiveEngine {
    fn drop(&mut self) {
        self.close();
    }
}

struct Runner<S> {
    engine: Engine,
    shared: Arc<Shared>,
    sink: S,
    started: Instant,
    batch: Batch,
    loads: Vec<RankLoad>,
    next_delivery: u64,
}

impl<S: Sink> Runner<S> {
    fn new(engine: Engine, shared: Arc<Shared>, sink: S) -> Self {
        Self {
            loads: engine.loads(),
            engine,
            shared,
            sink,
            started: Instant::now(),
            batch: Batch::new(),
            next_delivery: 0,
        }
    }

    fn run_guarded(mut self) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.run())) {
            let reason = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let reason = reason.or_else(|| panic.downcast_ref::<String>().cloned());
            self.sink
                .fail(reason.unwrap_or_else(|| "unknown panic".to_owned()));
        }
    }

    fn run(&mut self) {
        let shared = Arc::clone(&self.shared);
        let mut inbox = shared.lock();
        while !inbox.closing {
            let commands = std::mem::take(&mut inbox.commands);
            let may_deliver = !inbox.delivered;
            drop(inbox);
            let now = self.now();
            self.apply(commands, now);
            self.engine.advance(now, &mut self.batch);
            inbox = shared.lock();
            if may_deliver && now >= self.next_delivery && self.has_news() {
                inbox.delivered = true;
                inbox.totals = self.engine.totals();
                drop(inbox);
                self.deliver(now);
                inbox = shared.lock();
            }
            inbox = self.sleep(inbox);
        }
    }

    fn apply(&mut self, commands: Vec<Command>, now: u64) {
        for command in commands {
            match command {
                Command::Submit(request) => self.engine.submit(request, now, &mut self.batch),
                Command::Cancel(id) => self.engine.cancel(id, &mut self.batch),
                Command::ClearCache => {
                    self.engine.clear_cache(&mut self.batch);
                }
            }
        }
    }

    fn has_news(&self) -> bool {
        !self.batch.is_empty() || self.engine.loads() != self.loads
    }

    fn deliver(&mut self, now: u64) {
        let loads = self.engine.loads();
        self.sink.deliver(Delivery {
            records: self.batch.records(),
            token_ids: self.batch.token_ids(),
            events: self.batch.event_bytes(),
            loads: (loads != self.loads).then(|| loads.clone()),
            receipt: Receipt(Arc::clone(&self.shared)),
        });
        self.loads = loads;
        self.batch.clear();
        self.next_delivery = now + TICK_NS;
    }

    /// Waits for a command, or until something is due. Passes that are due earlier than the next delivery can wait for it.
    fn sleep<'a>(&self, inbox: MutexGuard<'a, Inbox>) -> MutexGuard<'a, Inbox> {
        if inbox.closing || !inbox.commands.is_empty() {
            return inbox;
        }
        let pass = self.engine.next_due().filter(|_| !self.batch.is_full());
        let delivery = (self.has_news() && !inbox.delivered).then_some(self.next_delivery);
        let due = match (pass, delivery) {
            (Some(pass), Some(delivery)) => pass.max(self.next_delivery).min(delivery),
            (Some(pass), None) => pass.max(self.next_delivery),
            (None, Some(delivery)) => delivery,
            (None, None) => {
                return self
                    .shared
                    .wake
                    .wait(inbox)
                    .unwrap_or_else(PoisonError::into_inner);
            }
        };
        let wait = due.saturating_sub(self.now());
        if wait == 0 {
            return inbox;
        }
        let waited = self
            .shared
            .wake
            .wait_timeout(inbox, Duration::from_nanos(wait));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
