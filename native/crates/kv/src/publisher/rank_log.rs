//! One rank's numbered events and the recent ones among them.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::events::{CacheEvent, CacheEventData, Coalescer};
use crate::index::{CacheTier, WorkerRank};

/// Larger changes are cut, so that whoever applies an event is done soon.
const MAX_EVENT_BLOCKS: usize = 1024;
/// Blocks in the recent events of one rank, whatever their number.
const MAX_RING_BLOCKS: usize = 1 << 18;

#[derive(Debug)]
pub(super) struct RankLog {
    rank: WorkerRank,
    next_event_id: u64,
    ring: VecDeque<Arc<CacheEvent>>,
    ring_blocks: usize,
    max_events: usize,
    /// Joins what does not come from a stream, which joins by itself.
    direct: Coalescer,
    /// Whether anything was told since the last `Cleared`.
    holds: bool,
}

/// What the recent events say about a range.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// All events from there on.
    Events(Vec<Arc<CacheEvent>>),
    /// The first ones are gone.
    TooOld,
    /// There is nothing yet.
    TooNew,
}

impl RankLog {
    pub(super) fn new(rank: WorkerRank, max_events: usize, max_batch_blocks: usize) -> Self {
        Self {
            rank,
            next_event_id: 1,
            ring: VecDeque::new(),
            ring_blocks: 0,
            max_events,
            direct: Coalescer::new(max_batch_blocks),
            holds: false,
        }
    }

    pub(super) fn last_event_id(&self) -> u64 {
        self.next_event_id - 1
    }

    /// Takes a change that did not come from a stream.
    pub(super) fn push(
        &mut self,
        tier: CacheTier,
        data: CacheEventData,
        mut emit: impl FnMut(Arc<CacheEvent>),
    ) {
        let mut complete = Vec::new();
        self.direct
            .push(tier, data, |tier, data| complete.push((tier, data)));
        for (tier, data) in complete {
            self.append(tier, data, &mut emit);
        }
    }

    /// Takes a change of a stream, after whatever waits.
    pub(super) fn push_joined(
        &mut self,
        tier: CacheTier,
        data: CacheEventData,
        mut emit: impl FnMut(Arc<CacheEvent>),
    ) {
        self.settle(&mut emit);
        self.append(tier, data, &mut emit);
    }

    /// Gives out what waits for a continuation.
    pub(super) fn settle(&mut self, mut emit: impl FnMut(Arc<CacheEvent>)) {
        let mut complete = None;
        self.direct
            .flush(|tier, data| complete = Some((tier, data)));
        if let Some((tier, data)) = complete {
            self.append(tier, data, &mut emit);
        }
    }

    /// Tells an event that changes nothing: whoever missed the one before it finds out.
    pub(super) fn beat(&mut self, mut emit: impl FnMut(Arc<CacheEvent>)) {
        self.settle(&mut emit);
        let nothing = CacheEventData::Removed {
            engine_hashes: Vec::new(),
        };
        let held = self.holds;
        self.number(CacheTier::Device, nothing, &mut emit);
        self.holds = held;
    }

    /// The events from `start` on. They may begin later, with a `Cleared`: what was before it means nothing any more.
    pub(super) fn range(&self, start: u64) -> Range {
        if start >= self.next_event_id {
            return Range::TooNew;
        }
        let Some(first) = self.ring.front() else {
            return Range::TooOld;
        };
        if start < first.event_id && first.data != CacheEventData::Cleared {
            return Range::TooOld;
        }
        let skipped = start.saturating_sub(first.event_id);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        Range::Events(self.ring.iter().skip(skipped).cloned().collect())
    }

    pub(super) fn bytes(&self) -> usize {
        self.ring.capacity() * size_of::<Arc<CacheEvent>>()
            + self.ring.len() * size_of::<CacheEvent>()
            + self.ring_blocks * 16
    }

    fn append(
        &mut self,
        tier: CacheTier,
        data: CacheEventData,
        emit: &mut impl FnMut(Arc<CacheEvent>),
    ) {
        match data {
            CacheEventData::Stored { parent, blocks } => {
                let mut parent = parent;
                for piece in blocks.chunks(MAX_EVENT_BLOCKS) {
                    let blocks = piece.to_vec();
                    let last = blocks.last().map(|block| block.engine_hash);
                    self.number(tier, CacheEventData::Stored { parent, blocks }, emit);
                    parent = last;
                }
            }
            CacheEventData::Removed { engine_hashes } => {
                for piece in engine_hashes.chunks(MAX_EVENT_BLOCKS) {
                    let engine_hashes = piece.to_vec();
                    self.number(tier, CacheEventData::Removed { engine_hashes }, emit);
                }
            }
            CacheEventData::Cleared if self.holds => self.number(tier, data, emit),
            // Nothing was told that a clear could take back.
            CacheEventData::Cleared => {}
        }
    }

    fn number(
        &mut self,
        tier: CacheTier,
        data: CacheEventData,
        emit: &mut impl FnMut(Arc<CacheEvent>),
    ) {
        let event = Arc::new(CacheEvent {
            rank: self.rank,
            event_id: self.next_event_id,
            tier,
            data,
        });
        self.next_event_id += 1;
        self.holds = event.data != CacheEventData::Cleared;
        if !self.holds {
            self.ring.clear();
            self.ring_blocks = 0;
        }
        self.ring_blocks += event.data.len();
        self.ring.push_back(Arc::clone(&event));
        while self.ring.len() > self.max_events || self.ring_blocks > MAX_RING_BLOCKS {
            let oldest = self.ring.pop_front();
            self.ring_blocks -= oldest.map_or(0, |event| event.data.len());
        }
        emit(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::StoredBlock;

    fn log(max_events: usize) -> RankLog {
        RankLog::new(WorkerRank::new(1, 0), max_events, 0)
    }

    fn removed(hashes: std::ops::Range<u64>) -> CacheEventData {
        CacheEventData::Removed {
            engine_hashes: hashes.collect(),
        }
    }

    fn ids(range: Range) -> Vec<u64> {
        match range {
            Range::Events(events) => events.iter().map(|event| event.event_id).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn ranges_are_events_too_old_or_too_new() {
        let mut log = log(3);
        assert_eq!(log.range(1), Range::TooNew);
        for _ in 0..5 {
            log.push_joined(CacheTier::Device, removed(0..1), |_| {});
        }
        assert_eq!(log.range(2), Range::TooOld);
        assert_eq!(ids(log.range(3)), [3, 4, 5]);
        assert_eq!(ids(log.range(5)), [5]);
        assert_eq!(log.range(6), Range::TooNew);
    }

    #[test]
    fn a_clear_answers_for_everything_before_it_and_is_told_once() {
        let mut log = log(100);
        log.push_joined(CacheTier::Device, CacheEventData::Cleared, |_| {});
        assert_eq!(log.last_event_id(), 0);
        for _ in 0..5 {
            log.push_joined(CacheTier::Device, removed(0..1), |_| {});
        }
        log.push_joined(CacheTier::Device, CacheEventData::Cleared, |_| {});
        log.push_joined(CacheTier::Device, CacheEventData::Cleared, |_| {});
        log.push_joined(CacheTier::Device, removed(0..1), |_| {});
        assert_eq!(ids(log.range(2)), [6, 7]);
        assert_eq!(ids(log.range(7)), [7]);
    }

    #[test]
    fn large_changes_are_cut_along_the_chain() {
        let mut log = log(100);
        let block = |engine_hash| StoredBlock {
            engine_hash,
            local_hash: engine_hash,
        };
        let stored = CacheEventData::Stored {
            parent: None,
            blocks: (1..=2_500).map(block).collect(),
        };
        let mut events = Vec::new();
        log.push(CacheTier::Device, stored, |event| events.push(event));
        log.settle(|event| events.push(event));
        log.push_joined(CacheTier::Host, removed(0..1_025), |event| {
            events.push(event);
        });
        let shapes: Vec<_> = events
            .iter()
            .map(|event| match &event.data {
                CacheEventData::Stored { parent, blocks } => (*parent, blocks.len()),
                other => (None, other.len()),
            })
            .collect();
        assert_eq!(
            shapes,
            [
                (None, 1024),
                (Some(1024), 1024),
                (Some(2048), 452),
                (None, 1024),
                (None, 1)
            ]
        );
    }
}
