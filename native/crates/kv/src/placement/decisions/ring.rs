//! The latest decisions within a budget of bytes. Decisions whose request has ended wait here to be drained; what is
//! pushed out before counts as dropped.

use std::collections::VecDeque;
use std::sync::Arc;

use super::record::{DecisionRecord, RequestOutcome};

/// Hashes that a list may have room for beyond twice what it holds.
const MAX_SLACK: usize = 64;

/// A decision with what became of it.
#[derive(Debug, Clone)]
pub struct RecordedDecision {
    /// The decision.
    pub(crate) record: Arc<DecisionRecord>,
    /// None while the request runs, or when nobody said.
    pub(crate) outcome: Option<Arc<RequestOutcome>>,
}

/// What a drain gives.
#[derive(Debug, Clone, Default)]
pub struct DrainedDecisions {
    /// Decisions whose request has ended, in the order of their ends.
    pub decisions: Vec<RecordedDecision>,
    /// Decisions that went before they could be drained, since the last drain.
    pub dropped: u64,
}

#[derive(Debug)]
struct Entry {
    decision: RecordedDecision,
    bytes: usize,
    has_ended: bool,
    is_drained: bool,
}

#[derive(Debug)]
pub(crate) struct DecisionRing {
    entries: VecDeque<Entry>,
    /// Sequence of the first entry; the others follow without gaps.
    first: u64,
    /// Ended and not drained, some of them gone.
    ended: VecDeque<u64>,
    bytes: usize,
    limit: usize,
    dropped: u64,
    /// Memory of a decision that is gone, for the hashes of the next one: the ring then lives without the allocator.
    spare: Vec<u64>,
}

impl DecisionRing {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            entries: VecDeque::new(),
            first: 1,
            ended: VecDeque::new(),
            bytes: 0,
            limit,
            dropped: 0,
            spare: Vec::new(),
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.limit > 0
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Takes a decision whose sequence is the next one.
    pub(crate) fn push(&mut self, mut record: DecisionRecord) {
        // Short prompts must not keep the memory of long ones.
        if record.block_hashes.capacity() > 2 * record.block_hashes.len() + MAX_SLACK {
            record.block_hashes.shrink_to_fit();
        }
        let bytes = record.bytes() + size_of::<Entry>() + 16;
        self.entries.push_back(Entry {
            decision: RecordedDecision {
                record: Arc::new(record),
                outcome: None,
            },
            bytes,
            has_ended: false,
            is_drained: false,
        });
        self.bytes += bytes;
        self.shrink();
    }

    /// An empty list for a prompt's hashes. It comes back through [`Self::push`] or [`Self::give_spare`].
    pub(crate) fn take_spare(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.spare)
    }

    pub(crate) fn give_spare(&mut self, hashes: Vec<u64>) {
        self.spare = hashes;
        self.spare.clear();
    }

    /// The request of a decision has ended; said twice, the first time counts.
    pub(crate) fn end(&mut self, sequence: u64, outcome: Option<RequestOutcome>) {
        let Some(entry) = self.entry_mut(sequence) else {
            return;
        };
        if entry.has_ended {
            return;
        }
        entry.has_ended = true;
        entry.decision.outcome = outcome.map(Arc::new);
        self.ended.push_back(sequence);
    }

    pub(crate) fn get(&self, sequence: u64) -> Option<&RecordedDecision> {
        let at = sequence.checked_sub(self.first)?;
        let entry = self.entries.get(usize::try_from(at).ok()?)?;
        Some(&entry.decision)
    }

    /// The newest decisions, newest first.
    pub(crate) fn recent(&self, limit: usize) -> Vec<RecordedDecision> {
        let newest = self.entries.iter().rev().take(limit);
        newest.map(|entry| entry.decision.clone()).collect()
    }

    pub(crate) fn drain(&mut self, limit: usize) -> DrainedDecisions {
        let mut decisions = Vec::new();
        while decisions.len() < limit
            && let Some(sequence) = self.ended.pop_front()
        {
            if let Some(entry) = self.entry_mut(sequence) {
                entry.is_drained = true;
                decisions.push(entry.decision.clone());
            }
        }
        DrainedDecisions {
            decisions,
            dropped: std::mem::take(&mut self.dropped),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes + (self.ended.capacity() + self.spare.capacity()) * 8
    }

    fn entry_mut(&mut self, sequence: u64) -> Option<&mut Entry> {
        let at = sequence.checked_sub(self.first)?;
        self.entries.get_mut(usize::try_from(at).ok()?)
    }

    fn shrink(&mut self) {
        while self.bytes > self.limit
            && let Some(entry) = self.entries.pop_front()
        {
            self.first += 1;
            self.bytes -= entry.bytes;
            self.dropped += u64::from(!entry.is_drained);
            if let Ok(record) = Arc::try_unwrap(entry.decision.record) {
                self.give_spare(record.block_hashes);
            }
        }
        // Ends of decisions that are gone; without anyone draining they would pile up.
        while self
            .ended
            .front()
            .is_some_and(|sequence| *sequence < self.first)
        {
            self.ended.pop_front();
        }
    }
}
