//! What is kept of each booked request besides its load.

use std::collections::HashMap;

use crate::index::WorkerRank;

/// A booked request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Booking {
    pub(super) rank: WorkerRank,
    /// What its decision promised.
    pub(super) predicted_cached_tokens: u64,
    /// The part of it that the worker's own events vouch for and the engine can report.
    pub(super) vouched_tokens: u64,
    /// Sequence of its recorded decision.
    pub(super) decision: Option<u64>,
    pub(super) expected_output_tokens: Option<u32>,
    pub(super) output_blocks: u32,
}

impl Booking {
    /// A booking of another router.
    pub(super) fn remote(rank: WorkerRank) -> Self {
        Self {
            rank,
            predicted_cached_tokens: 0,
            vouched_tokens: 0,
            decision: None,
            expected_output_tokens: None,
            output_blocks: 0,
        }
    }

    /// Share of the answer that is still to come; none when its length is not known.
    pub(super) fn remaining(&self, block_size: u32) -> Option<f64> {
        let expected = self.expected_output_tokens.filter(|tokens| *tokens > 0)?;
        let done = f64::from(self.output_blocks) * f64::from(block_size);
        Some((1.0 - done / f64::from(expected)).max(0.0))
    }
}

/// Bookings by id.
#[derive(Debug, Default)]
pub(super) struct Bookings(HashMap<Box<str>, Booking>);

impl Bookings {
    pub(super) fn insert(&mut self, id: &str, booking: Booking) {
        self.0.insert(id.into(), booking);
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Booking> {
        self.0.get_mut(id)
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Booking> {
        self.0.remove(id)
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.capacity() * (size_of::<Booking>() + 48)
    }
}
