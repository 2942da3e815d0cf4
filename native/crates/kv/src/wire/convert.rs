//! Cache events to messages and back. What a message says is checked here once, so that nothing after it has to.

use super::events::{KvBlocksRemoved, KvBlocksStored, KvCacheCleared, KvEvent, KvEventData};
use super::hashes::{hashes_from_bytes, hashes_to_bytes};
use crate::events::{CacheEvent, CacheEventData};
use crate::index::{CacheTier, StoredBlock, WorkerRank};

impl KvEvent {
    /// The event as a message; its worker is the batch's.
    #[must_use]
    pub fn from_cache_event(event: &CacheEvent) -> Self {
        let data = match &event.data {
            CacheEventData::Stored { parent, blocks } => KvEventData::Stored(KvBlocksStored {
                parent_hash: *parent,
                block_hashes_le: hashes_to_bytes(blocks.iter().map(|block| block.engine_hash)),
                tokens_hashes_le: hashes_to_bytes(blocks.iter().map(|block| block.local_hash)),
            }),
            CacheEventData::Removed { engine_hashes } => KvEventData::Removed(KvBlocksRemoved {
                block_hashes_le: hashes_to_bytes(engine_hashes.iter().copied()),
            }),
            CacheEventData::Cleared => KvEventData::Cleared(KvCacheCleared {}),
        };
        Self {
            event_id: event.event_id,
            dp_rank: event.rank.dp_rank,
            tier: tier_to_wire(event.tier),
            data: Some(data),
        }
    }

    /// The event of a worker; none when it says nothing that can be understood.
    #[must_use]
    pub fn to_cache_event(&self, worker_id: u64) -> Option<CacheEvent> {
        let data = match self.data.as_ref()? {
            KvEventData::Stored(stored) => CacheEventData::Stored {
                parent: stored.parent_hash,
                blocks: stored.blocks()?,
            },
            KvEventData::Removed(removed) => CacheEventData::Removed {
                engine_hashes: hashes_from_bytes(&removed.block_hashes_le)?.collect(),
            },
            KvEventData::Cleared(_) => CacheEventData::Cleared,
        };
        Some(CacheEvent {
            rank: WorkerRank::new(worker_id, self.dp_rank),
            event_id: self.event_id,
            tier: tier_from_wire(self.tier)?,
            data,
        })
    }
}

impl KvBlocksStored {
    fn blocks(&self) -> Option<Vec<StoredBlock>> {
        let engine = hashes_from_bytes(&self.block_hashes_le)?;
        let local = hashes_from_bytes(&self.tokens_hashes_le)?;
        (engine.len() == local.len()).then(|| {
            engine
                .zip(local)
                .map(|(engine_hash, local_hash)| StoredBlock {
                    engine_hash,
                    local_hash,
                })
                .collect()
        })
    }
}

/// `CacheTier` of the proto, which counts from 1.
fn tier_to_wire(tier: CacheTier) -> i32 {
    match tier {
        CacheTier::Device => 1,
        CacheTier::Host => 2,
        CacheTier::Disk => 3,
        CacheTier::External => 4,
    }
}

/// The tier of a number; 0 is left out on the wire and means the device.
fn tier_from_wire(tier: i32) -> Option<CacheTier> {
    let position = usize::try_from(tier).ok()?.saturating_sub(1);
    CacheTier::ALL.get(position).copied()
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    fn event(data: CacheEventData) -> CacheEvent {
        CacheEvent {
            rank: WorkerRank::new(7, 3),
            event_id: 11,
            tier: CacheTier::Disk,
            data,
        }
    }

    fn blocks() -> Vec<StoredBlock> {
        [(u64::MAX, 1), (2, u64::MAX - 1)]
            .map(|(engine_hash, local_hash)| StoredBlock {
                engine_hash,
                local_hash,
            })
            .to_vec()
    }

    #[test]
    fn every_event_survives_the_wire() {
        let all = [
            CacheEventData::Stored {
                parent: Some(0),
                blocks: blocks(),
            },
            CacheEventData::Stored {
                parent: None,
                blocks: Vec::new(),
            },
            CacheEventData::Removed {
                engine_hashes: vec![5, u64::MAX],
            },
            CacheEventData::Cleared,
        ];
        for data in all {
            let event = event(data);
            let bytes = KvEvent::from_cache_event(&event).encode_to_vec();
            let decoded = KvEvent::decode(bytes.as_slice()).unwrap();
            assert_eq!(decoded.to_cache_event(7), Some(event));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let whole = KvEvent::from_cache_event(&event(CacheEventData::Stored {
            parent: None,
            blocks: blocks(),
        }));
        let with = |stored: KvBlocksStored| KvEvent {
            data: Some(KvEventData::Stored(stored)),
            ..whole.clone()
        };
        let refused = [
            KvEvent {
                data: None,
                ..whole.clone()
            },
            KvEvent {
                tier: 5,
                ..whole.clone()
            },
            KvEvent {
                tier: -1,
                ..whole.clone()
            },
            with(KvBlocksStored {
                block_hashes_le: vec![1; 9],
                tokens_hashes_le: vec![1; 9],
                parent_hash: None,
            }),
            with(KvBlocksStored {
                block_hashes_le: vec![1; 16],
                tokens_hashes_le: vec![1; 8],
                parent_hash: None,
            }),
        ];
        for event in refused {
            assert_eq!(event.to_cache_event(7), None);
        }
        let unspecified = KvEvent { tier: 0, ..whole };
        let tier = unspecified.to_cache_event(7).map(|event| event.tier);
        assert_eq!(tier, Some(CacheTier::Device));
    }
}
