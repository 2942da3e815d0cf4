//! The simulated workers and which of them has something to do next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::args::{EngineArgs, InvalidArgs};
use crate::batch::Batch;
use crate::engine::Engine;
use crate::scheduler::RankTotals;
use crate::sequence::Request;

/// Engines with a common clock.
#[derive(Debug)]
pub(super) struct Fleet {
    engines: Vec<Engine>,
    batch: Batch,
    /// (when, worker); an entry that is no longer true is skipped.
    due: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Fleet {
    pub(super) fn new(workers: u32, args: &EngineArgs) -> Result<Self, InvalidArgs> {
        let engines = (0..workers)
            .map(|_| Engine::new(args.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            engines,
            batch: Batch::new(),
            due: BinaryHeap::new(),
        })
    }

    /// When some engine has something to do.
    pub(super) fn next_due(&mut self) -> Option<u64> {
        while let Some(&Reverse((due, worker))) = self.due.peek() {
            if self.engines[worker].next_due() == Some(due) {
                return Some(due);
            }
            self.due.pop();
        }
        None
    }

    /// Hands a request to a worker; `news` is told what came of it at once.
    pub(super) fn submit(
        &mut self,
        worker: usize,
        request: Request,
        now: u64,
        news: &mut impl FnMut(usize, &Batch),
    ) {
        self.engines[worker].submit(request, now, &mut self.batch);
        self.settle(worker, now, news);
    }

    /// Runs every engine that has something to do by `now`.
    pub(super) fn advance(&mut self, now: u64, news: &mut impl FnMut(usize, &Batch)) {
        while self.next_due().is_some_and(|due| due <= now) {
            let Some(Reverse((_, worker))) = self.due.pop() else {
                return;
            };
            self.settle(worker, now, news);
        }
    }

    pub(super) fn totals(&self) -> Vec<RankTotals> {
        self.engines.iter().flat_map(Engine::totals).collect()
    }

    /// A batch that is full stops its engine, so it goes on until nothing comes any more.
    fn settle(&mut self, worker: usize, now: u64, news: &mut impl FnMut(usize, &Batch)) {
        loop {
            self.engines[worker].advance(now, &mut self.batch);
            if self.batch.is_empty() {
                break;
            }
            news(worker, &self.batch);
            self.batch.clear();
        }
        if let Some(due) = self.engines[worker].next_due() {
            self.due.push(Reverse((due, worker)));
        }
    }
}
