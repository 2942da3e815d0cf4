//! The latest decisions within a budget of bytes. Decisions whose request has ended wait here to be drained; what is
//! pushed out before counts as dropped.

use std::collections::VecDeque;
use std::sync::Arc;

use super::record::{DecisionFacts, NewDecision, RecordedDecision, RequestNames, RequestOutcome};
use super::rows::{RankTable, read_rows};
use super::tape::{Extent, Tape};
use super::texts::{read_text, text_words, write_text};

/// What a drain gives.
#[derive(Debug, Clone, Default)]
pub struct DrainedDecisions {
    /// Decisions whose request has ended, in the order of their ends.
    pub decisions: Vec<RecordedDecision>,
    /// Decisions that went before they could be drained, since the last drain.
    pub dropped: u64,
}

/// A decision whose lists and texts are on the tape.
#[derive(Debug)]
struct Entry {
    facts: DecisionFacts,
    table: Arc<RankTable>,
    extent: Extent,
    /// Block hashes; the first words of the extent.
    hashes: usize,
    /// Bytes of each; the last words of the extent.
    names: RequestNames<usize>,
    outcome: Option<RequestOutcome>,
    has_ended: bool,
    is_drained: bool,
}

/// Lives without the allocator: a decision is one copy into memory that an older one had.
#[derive(Debug)]
pub(crate) struct DecisionRing {
    entries: VecDeque<Entry>,
    /// Sequence of the first entry; the others follow without gaps.
    first: u64,
    /// Ended and not drained, some of them gone.
    ended: VecDeque<u64>,
    tape: Tape,
    /// 0 when nothing is kept.
    most_entries: usize,
    dropped: u64,
}

impl DecisionRing {
    /// Three quarters of the limit are for lists and texts.
    pub(crate) fn new(limit_bytes: usize) -> Self {
        let for_entries = limit_bytes / 4;
        Self {
            entries: VecDeque::new(),
            first: 1,
            ended: VecDeque::new(),
            tape: Tape::new((limit_bytes - for_entries) / size_of::<u64>()),
            most_entries: for_entries.div_ceil(size_of::<Entry>() + size_of::<u64>()),
            dropped: 0,
        }
    }

    pub(crate) fn is_on(&self) -> bool {
        self.most_entries > 0
    }

    /// Keeps a decision; returns its sequence.
    pub(crate) fn push(&mut self, decision: &NewDecision<'_>) -> u64 {
        let sequence = self.first + self.entries.len() as u64;
        let hashes = decision.block_hashes.len();
        let rows = decision.lists.words();
        let names = decision.names;
        let texts = [names.request_id, names.trace_id, names.policy_class];
        let words = hashes
            + rows
            + texts
                .map(|text| text_words(text.len()))
                .iter()
                .sum::<usize>();
        let extent = self.tape.write(words, |words| {
            let (list, words) = words.split_at_mut(hashes);
            list.copy_from_slice(decision.block_hashes);
            let (list, mut words) = words.split_at_mut(rows);
            decision.lists.write(list);
            for text in texts {
                words = write_text(text, words);
            }
        });
        self.entries.push_back(Entry {
            facts: decision.facts,
            table: Arc::clone(decision.table),
            extent,
            hashes,
            names: RequestNames {
                request_id: names.request_id.len(),
                trace_id: names.trace_id.len(),
                policy_class: names.policy_class.len(),
            },
            outcome: None,
            has_ended: false,
            is_drained: false,
        });
        self.shrink();
        sequence
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
        entry.outcome = outcome;
        self.ended.push_back(sequence);
    }

    pub(crate) fn get(&self, sequence: u64) -> Option<RecordedDecision> {
        let at = usize::try_from(sequence.checked_sub(self.first)?).ok()?;
        self.read(self.entries.get(at)?, sequence)
    }

    /// The newest decisions, newest first.
    pub(crate) fn recent(&self, limit: usize) -> Vec<RecordedDecision> {
        let end = self.first + self.entries.len() as u64;
        let newest = (self.first..end).rev().take(limit);
        newest.filter_map(|sequence| self.get(sequence)).collect()
    }

    pub(crate) fn drain(&mut self, limit: usize) -> DrainedDecisions {
        let mut decisions = Vec::new();
        while decisions.len() < limit
            && let Some(sequence) = self.ended.pop_front()
        {
            let Some(entry) = self.entry_mut(sequence) else {
                continue;
            };
            entry.is_drained = true;
            match self.get(sequence) {
                Some(decision) => decisions.push(decision),
                None => self.dropped += 1,
            }
        }
        DrainedDecisions {
            decisions,
            dropped: std::mem::take(&mut self.dropped),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.tape.bytes()
            + self.entries.capacity() * size_of::<Entry>()
            + self.ended.capacity() * size_of::<u64>()
    }

    fn entry_mut(&mut self, sequence: u64) -> Option<&mut Entry> {
        let at = sequence.checked_sub(self.first)?;
        self.entries.get_mut(usize::try_from(at).ok()?)
    }

    fn read(&self, entry: &Entry, sequence: u64) -> Option<RecordedDecision> {
        let words = self.tape.read(entry.extent)?;
        let (hashes, words) = words.split_at(entry.hashes);
        let names = entry.names;
        let lengths = [names.request_id, names.trace_id, names.policy_class];
        let texts: usize = lengths.map(text_words).iter().sum();
        let (rows, mut words) = words.split_at(words.len() - texts);
        let [request_id, trace_id, policy_class] = lengths.map(|bytes| {
            let (text, rest) = read_text(bytes, words);
            words = rest;
            text
        });
        Some(RecordedDecision {
            sequence,
            facts: entry.facts,
            names: RequestNames {
                request_id,
                trace_id,
                policy_class,
            },
            block_hashes: hashes.to_vec(),
            candidates: read_rows(&entry.table, rows),
            outcome: entry.outcome.clone(),
        })
    }

    /// Lets go of the oldest: those that were written over, and those that are too many.
    fn shrink(&mut self) {
        while let Some(oldest) = self.entries.front()
            && (self.entries.len() > self.most_entries || self.tape.read(oldest.extent).is_none())
        {
            self.dropped += u64::from(!oldest.is_drained);
            self.entries.pop_front();
            self.first += 1;
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
