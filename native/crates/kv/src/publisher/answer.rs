//! Items of an answer to a router that asks for what it missed.

use std::sync::Arc;

use prost::Message;

use super::options::PublisherOptions;
use crate::events::CacheEvent;
use crate::wire::{
    KvEvent, KvEventBatch, KvQueryInvalidRange, KvQueryResult, KvQueryTooNew, KvSnapshotChunk,
    WorkerKvQueryRequest, WorkerKvQueryResponse,
};

const MAX_ITEM_BYTES: usize = 1 << 20;

/// Makes items for one rank.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answer<'a> {
    pub(super) options: &'a PublisherOptions,
    pub(super) request: &'a WorkerKvQueryRequest,
    pub(super) last_event_id: u64,
}

impl Answer<'_> {
    pub(super) fn error(&self, message: impl Into<String>) -> Vec<Vec<u8>> {
        vec![self.item(KvQueryResult::Error(message.into()))]
    }

    pub(super) fn invalid_range(&self) -> Vec<Vec<u8>> {
        vec![self.item(KvQueryResult::InvalidRange(KvQueryInvalidRange {}))]
    }

    pub(super) fn too_new(&self) -> Vec<Vec<u8>> {
        vec![self.item(KvQueryResult::TooNew(KvQueryTooNew {
            newest_event_id: self.last_event_id,
        }))]
    }

    /// The events in as few items as fit.
    pub(super) fn events(&self, events: &[Arc<CacheEvent>]) -> Vec<Vec<u8>> {
        let mut items = Vec::new();
        let mut open: Vec<KvEvent> = Vec::new();
        let mut bytes = 0;
        for event in events {
            let event = KvEvent::from_cache_event(event);
            let size = event.encoded_len() + 8;
            if bytes + size > MAX_ITEM_BYTES && !open.is_empty() {
                items.push(self.batch(std::mem::take(&mut open)));
                bytes = 0;
            }
            bytes += size;
            open.push(event);
        }
        items.push(self.batch(open));
        items
    }

    /// A snapshot in parts.
    pub(super) fn snapshot(&self, snapshot: &[u8]) -> Vec<Vec<u8>> {
        let parts = snapshot.chunks(MAX_ITEM_BYTES);
        let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
        (0..)
            .zip(parts)
            .map(|(index, part)| {
                self.item(KvQueryResult::Snapshot(KvSnapshotChunk {
                    index,
                    count,
                    data: part.to_vec(),
                }))
            })
            .collect()
    }

    fn batch(&self, events: Vec<KvEvent>) -> Vec<u8> {
        self.item(KvQueryResult::Events(KvEventBatch {
            worker_id: self.options.worker_id,
            epoch: self.options.epoch,
            block_size: u32::try_from(self.options.format.block_size).unwrap_or(u32::MAX),
            events,
        }))
    }

    fn item(&self, result: KvQueryResult) -> Vec<u8> {
        WorkerKvQueryResponse {
            worker_id: self.options.worker_id,
            dp_rank: self.request.dp_rank,
            epoch: self.options.epoch,
            last_event_id: self.last_event_id,
            result: Some(result),
        }
        .encode_to_vec()
    }
}
