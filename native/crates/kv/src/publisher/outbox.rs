//! Events that wait to be published, encoded already: a batch is its header and its events one after the other, so each
//! event is encoded once and a batch costs nothing more.

use std::collections::VecDeque;

use prost::Message;
use prost::encoding::{message, message::encoded_len};

use crate::wire::{KvEvent, KvEventBatch};

/// Eight thousand blocks, which a router applies in two milliseconds.
const MAX_BATCH_BYTES: usize = 128 << 10;
/// Batches that wait for a publisher that does not come; then the oldest go and routers ask for what they missed.
const MAX_WAITING: usize = 256;
/// Field number of `KvEventBatch.events`.
const EVENTS: u32 = 4;

#[derive(Debug)]
pub(super) struct Outbox {
    header: Vec<u8>,
    full: VecDeque<Vec<u8>>,
    open: Vec<u8>,
    dropped: u64,
}

impl Outbox {
    pub(super) fn new(header: &KvEventBatch) -> Self {
        Self {
            header: header.encode_to_vec(),
            full: VecDeque::new(),
            open: Vec::new(),
            dropped: 0,
        }
    }

    pub(super) fn push(&mut self, event: &KvEvent) {
        if !self.open.is_empty() && self.open.len() + encoded_len(EVENTS, event) > MAX_BATCH_BYTES {
            self.open.shrink_to_fit();
            self.full.push_back(std::mem::take(&mut self.open));
            if self.full.len() > MAX_WAITING {
                self.full.pop_front();
                self.dropped += 1;
            }
        }
        if self.open.is_empty() {
            self.open.extend_from_slice(&self.header);
        }
        message::encode(EVENTS, event, &mut self.open);
    }

    /// The oldest batch.
    pub(super) fn take(&mut self) -> Option<Vec<u8>> {
        let open = || (!self.open.is_empty()).then(|| std::mem::take(&mut self.open));
        self.full.pop_front().or_else(open)
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn bytes(&self) -> usize {
        self.open.capacity() + self.full.iter().map(Vec::capacity).sum::<usize>()
    }
}
