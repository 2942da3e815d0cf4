//! One simulated engine: its ranks and all their requests, without a clock of its own.
//!
//! Whoever drives it says what time it is, in nanoseconds since the engine was made: a discrete-event loop jumps from
//! [`Engine::next_due`] to the next one, a live loop sleeps until then.

use std::sync::Arc;

use crate::args::{EngineArgs, InvalidArgs};
use crate::batch::{Batch, Entry};
use crate::scheduler::{Rank, RankLoad, RankTotals};
use crate::sequence::{Finish, Rejection, Request, RequestId, Sequence};
use crate::sequence_table::SequenceTable;

/// One simulated engine.
#[derive(Debug)]
pub struct Engine {
    args: Arc<EngineArgs>,
    ranks: Vec<Rank>,
    table: SequenceTable,
    tickets: u64,
}

impl Engine {
    /// An engine that has just been started.
    ///
    /// # Errors
    /// Names the first setting that no engine can run with.
    pub fn new(args: EngineArgs) -> Result<Self, InvalidArgs> {
        args.validate()?;
        let args = Arc::new(args);
        let ranks = (0..args.dp_size)
            .map(|number| Rank::new(number, Arc::clone(&args)))
            .collect();
        Ok(Self {
            args,
            ranks,
            table: SequenceTable::default(),
            tickets: 0,
        })
    }

    /// Requests that have not ended.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.table.len()
    }

    /// Gauges of every rank.
    #[must_use]
    pub fn loads(&self) -> Vec<RankLoad> {
        self.ranks.iter().map(Rank::load).collect()
    }

    /// Counters of every rank.
    #[must_use]
    pub fn totals(&self) -> Vec<RankTotals> {
        self.ranks.iter().map(Rank::totals).collect()
    }

    /// The ranks, for inspection.
    #[must_use]
    pub fn ranks(&self) -> &[Rank] {
        &self.ranks
    }

    /// Accepts a request, or ends it at once with an error when it could never run.
    pub fn submit(&mut self, request: Request, now: u64, batch: &mut Batch) {
        let id = request.id;
        let rank = request.dp_rank.unwrap_or_else(|| self.least_loaded_rank());
        if let Some(rejection) = self.rejection(&request, rank) {
            batch.end(Entry {
                rejection: Some(rejection),
                ..ended(id, 0, Finish::Error)
            });
            return;
        }
        self.tickets += 1;
        let sequence = Sequence::new(request, rank, self.tickets, Arc::clone(&self.args));
        self.ranks[rank as usize].enqueue(id, &sequence, now);
        self.table.insert(id, sequence);
    }

    /// Ends a request; nothing happens when it has ended already.
    pub fn cancel(&mut self, id: RequestId, batch: &mut Batch) {
        let Some(sequence) = self.table.remove(id) else {
            return;
        };
        let rank = sequence.rank;
        let cached_tokens = sequence.cached_tokens;
        self.ranks[rank as usize].remove(id, sequence);
        batch.end(Entry {
            cached_tokens,
            ..ended(id, rank, Finish::Cancelled)
        });
    }

    /// When [`Engine::advance`] has something to do.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.ranks.iter().filter_map(Rank::next_due).min()
    }

    /// Runs every pass that is due by `now`, unless the batch fills up first.
    pub fn advance(&mut self, now: u64, batch: &mut Batch) {
        let mut busy = true;
        while busy {
            busy = false;
            for rank in &mut self.ranks {
                if batch.is_full() {
                    return;
                }
                busy |= rank.step(now, &mut self.table, batch);
            }
        }
    }

    /// Drops the content of every rank's cache; false if some rank's blocks are in use, which keeps that rank's cache.
    pub fn clear_cache(&mut self, batch: &mut Batch) -> bool {
        let mut all = true;
        for rank in &mut self.ranks {
            all &= rank.clear(batch);
        }
        all
    }

    fn least_loaded_rank(&self) -> u32 {
        let ranks = 0..self.args.dp_size;
        ranks
            .min_by_key(|&rank| self.ranks[rank as usize].requests())
            .unwrap_or(0)
    }

    fn rejection(&self, request: &Request, rank: u32) -> Option<Rejection> {
        let tokens = request.prompt.len();
        if rank >= self.args.dp_size {
            return Some(Rejection::UnknownRank);
        }
        if self.table.get(request.id).is_some() {
            return Some(Rejection::DuplicateId);
        }
        if tokens == 0 {
            return Some(Rejection::EmptyPrompt);
        }
        if tokens > self.args.max_sequence_len() {
            return Some(Rejection::PromptTooLong);
        }
        let exceeds_pass = tokens > self.args.max_num_batched_tokens as usize;
        (exceeds_pass && !self.args.enable_chunked_prefill).then_some(Rejection::PromptExceedsPass)
    }
}

fn ended(id: RequestId, rank: u32, finish: Finish) -> Entry {
    Entry {
        id,
        tokens: 0,
        finish: Some(finish),
        rejection: None,
        rank,
        cached_tokens: 0,
    }
}
