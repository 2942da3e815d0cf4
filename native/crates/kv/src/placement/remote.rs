//! Bookings of other routers: they count as load here and, for a while, as content.

use super::bookings::Booking;
use super::placement::Placement;
use super::scratch::chain;
use crate::index::WorkerRank;
use crate::sequences::NewRequest;

/// A booking that another router has made.
#[derive(Debug, Clone, Copy)]
pub struct RemoteBooking<'a> {
    /// Unique over all routers.
    pub id: &'a str,
    /// Where it runs.
    pub rank: WorkerRank,
    /// Local hashes of the prompt.
    pub block_hashes: &'a [u64],
    /// Length of the prompt; 0 when unknown.
    pub prompt_tokens: u64,
    /// Prompt tokens to compute.
    pub prefill_tokens: u64,
    /// The caller's clock.
    pub now_ms: u64,
    /// Take the prompt as held there soon.
    pub predict: bool,
}

impl Placement {
    /// Takes another router's booking over; returns false when the id is booked already or the rank is not known here.
    pub fn add_remote(&mut self, remote: &RemoteBooking<'_>) -> bool {
        let Some(at) = self.fleet.position(remote.rank) else {
            return false;
        };
        let mut sequence = std::mem::take(&mut self.sequence);
        chain(remote.block_hashes, &mut sequence);
        let blocks = remote
            .prompt_tokens
            .div_ceil(u64::from(self.settings.block_size))
            .max(remote.block_hashes.len() as u64);
        let is_sharing = self.settings.track_active_blocks && self.settings.assume_kv_reuse;
        let shared: &[u64] = if is_sharing { &sequence } else { &[] };
        let private = if self.settings.track_active_blocks {
            blocks - shared.len() as u64
        } else {
            0
        };
        let added = self.sequences.add(&NewRequest {
            id: remote.id,
            rank: remote.rank,
            sequence_hashes: shared,
            private_blocks: u32::try_from(private).unwrap_or(u32::MAX),
            prefill_tokens: remote.prefill_tokens,
            now_ms: remote.now_ms,
        });
        self.sequence = sequence;
        if added.is_err() {
            return false;
        }
        self.bookings
            .insert(remote.id, Booking::remote(remote.rank));
        if remote.predict {
            let source = self.sources[at];
            self.knowledge
                .routed(remote.rank, source, remote.block_hashes, remote.now_ms);
        }
        true
    }
}
