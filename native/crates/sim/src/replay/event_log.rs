//! A worker's cache events as routers get them: numbered without gaps from 1, encoded. A router that has seen nothing of a
//! rank before its event 1 has missed nothing and asks for nothing.

use dynamo_kv::{
    KvBlocksRemoved, KvBlocksStored, KvCacheCleared, KvEventBatch, KvEventData, hashes_to_bytes,
};
use prost::Message;

use crate::kv_events::{BlockHash, KvEvent};

/// Numbers one worker's events.
#[derive(Debug)]
pub(super) struct EventLog {
    worker_id: u64,
    block_size: u32,
    last_event_id: u64,
}

/// Publishers start their epoch at 1 here: they never restart.
pub(super) const EPOCH: u64 = 1;

impl EventLog {
    pub(super) fn new(worker_id: u64, block_size: u32) -> Self {
        Self {
            worker_id,
            block_size,
            last_event_id: 0,
        }
    }

    /// The events as one encoded batch; none when there are none.
    pub(super) fn encode(&mut self, events: &[(u32, KvEvent)]) -> Option<Vec<u8>> {
        if events.is_empty() {
            return None;
        }
        let events = events.iter().map(|(rank, event)| {
            self.last_event_id += 1;
            dynamo_kv::KvEvent {
                event_id: self.last_event_id,
                dp_rank: *rank,
                tier: 0,
                data: Some(data_of(event)),
            }
        });
        let batch = KvEventBatch {
            events: events.collect(),
            worker_id: self.worker_id,
            epoch: EPOCH,
            block_size: self.block_size,
        };
        Some(batch.encode_to_vec())
    }
}

fn data_of(event: &KvEvent) -> KvEventData {
    match event {
        KvEvent::Stored { parent, blocks } => KvEventData::Stored(KvBlocksStored {
            parent_hash: *parent,
            block_hashes_le: words(blocks, |block| block.sequence),
            tokens_hashes_le: words(blocks, |block| block.local),
        }),
        KvEvent::Removed { hashes } => KvEventData::Removed(KvBlocksRemoved {
            block_hashes_le: hashes_to_bytes(hashes.iter().copied()),
        }),
        KvEvent::Cleared => KvEventData::Cleared(KvCacheCleared {}),
    }
}

fn words(blocks: &[BlockHash], word: impl Fn(&BlockHash) -> u64) -> Vec<u8> {
    hashes_to_bytes(blocks.iter().map(word))
}
