//! Live events that wait while a recovery runs.

use std::collections::BTreeMap;

use crate::events::CacheEvent;

/// Events kept; older ones go, and what is missing then is asked for again.
const MAX_EVENTS: usize = 1024;
/// Blocks kept in them, 1 MiB: a thousand ranks that recover at once, as when a router starts, may all have so many.
const MAX_BLOCKS: usize = 1 << 16;

/// Events of one start of a publisher, by id.
#[derive(Debug, Default)]
pub(super) struct EventBuffer {
    epoch: u64,
    events: BTreeMap<u64, CacheEvent>,
    blocks: usize,
}

impl EventBuffer {
    /// Adds an event; those of another start than the last one seen go.
    pub(super) fn push(&mut self, epoch: u64, event: CacheEvent) {
        if epoch != self.epoch {
            self.clear();
            self.epoch = epoch;
        }
        self.blocks += event.data.len();
        if let Some(same) = self.events.insert(event.event_id, event) {
            self.blocks -= same.data.len();
        }
        while self.events.len() > MAX_EVENTS || self.blocks > MAX_BLOCKS {
            self.pop();
        }
    }

    pub(super) fn pop(&mut self) -> Option<CacheEvent> {
        let (_, event) = self.events.pop_first()?;
        self.blocks -= event.data.len();
        Some(event)
    }

    /// The oldest event.
    pub(super) fn first(&self) -> Option<&CacheEvent> {
        self.events.first_key_value().map(|(_, event)| event)
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn bytes(&self) -> usize {
        self.events.len() * (size_of::<CacheEvent>() + 16) + self.blocks * 16
    }
}
