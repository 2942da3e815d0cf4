//! Joins neighbouring changes of one rank: removals of a tier with each other, stores that continue the block before.

use super::cache_event::CacheEventData;
use crate::index::{CacheTier, StoredBlock};

#[derive(Debug)]
pub(crate) struct Coalescer {
    pending: Option<(CacheTier, CacheEventData)>,
    max_blocks: usize,
}

impl Coalescer {
    /// Events grow to `max_blocks` blocks at most, unless an engine's own event is larger.
    pub(crate) fn new(max_blocks: usize) -> Self {
        Self {
            pending: None,
            max_blocks,
        }
    }

    /// Adds a change; gives back those that are complete.
    pub(crate) fn push(
        &mut self,
        tier: CacheTier,
        data: CacheEventData,
        mut emit: impl FnMut(CacheTier, CacheEventData),
    ) {
        let joined = match &mut self.pending {
            Some((pending_tier, pending)) if *pending_tier == tier => {
                join(pending, data, self.max_blocks)
            }
            _ => Some(data),
        };
        if let Some(data) = joined
            && let Some((tier, complete)) = self.pending.replace((tier, data))
        {
            emit(tier, complete);
        }
        let is_barrier = matches!(self.pending, Some((_, CacheEventData::Cleared)));
        let blocks = self
            .pending
            .as_ref()
            .map_or(0, |(_, pending)| pending.len());
        if is_barrier || blocks >= self.max_blocks {
            self.flush(emit);
        }
    }

    /// Gives back what waits for a continuation.
    pub(crate) fn flush(&mut self, mut emit: impl FnMut(CacheTier, CacheEventData)) {
        if let Some((tier, data)) = self.pending.take() {
            emit(tier, data);
        }
    }

    /// Drops what waits: the cache it belonged to is gone.
    pub(crate) fn discard(&mut self) {
        self.pending = None;
    }
}

/// Appends `next` to `pending`, or gives it back when it does not continue it.
fn join(
    pending: &mut CacheEventData,
    next: CacheEventData,
    max_blocks: usize,
) -> Option<CacheEventData> {
    if pending.len() + next.len() > max_blocks {
        return Some(next);
    }
    match (pending, next) {
        (
            CacheEventData::Removed { engine_hashes },
            CacheEventData::Removed {
                engine_hashes: more,
            },
        ) => engine_hashes.extend(more),
        (
            CacheEventData::Stored { parent, blocks },
            CacheEventData::Stored {
                parent: Some(last),
                blocks: more,
            },
        ) if continues(*parent, blocks, last, &more) => blocks.extend(more),
        (_, next) => return Some(next),
    }
    None
}

/// Whether `more` comes right after `blocks` and repeats none of them, which one event must not.
fn continues(parent: Option<u64>, blocks: &[StoredBlock], last: u64, more: &[StoredBlock]) -> bool {
    let repeats = |block: &StoredBlock| {
        parent == Some(block.engine_hash)
            || blocks
                .iter()
                .any(|known| known.engine_hash == block.engine_hash)
    };
    blocks.last().is_some_and(|block| block.engine_hash == last) && !more.iter().any(repeats)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(parent: Option<u64>, hashes: &[u64]) -> CacheEventData {
        let blocks = hashes
            .iter()
            .map(|&hash| StoredBlock {
                engine_hash: hash,
                local_hash: hash + 100,
            })
            .collect();
        CacheEventData::Stored { parent, blocks }
    }

    fn removed(hashes: &[u64]) -> CacheEventData {
        CacheEventData::Removed {
            engine_hashes: hashes.to_vec(),
        }
    }

    fn run(max_blocks: usize, changes: &[(CacheTier, CacheEventData)]) -> Vec<CacheEventData> {
        let mut coalescer = Coalescer::new(max_blocks);
        let mut out = Vec::new();
        for (tier, data) in changes {
            coalescer.push(*tier, data.clone(), |_, data| out.push(data));
        }
        coalescer.flush(|_, data| out.push(data));
        out
    }

    #[test]
    fn stores_join_along_the_chain_and_removals_always() {
        let device = CacheTier::Device;
        let changes = [
            (device, stored(None, &[1, 2])),
            (device, stored(Some(2), &[3])),
            (device, stored(Some(1), &[9])),
            (device, removed(&[3])),
            (device, removed(&[9])),
            (CacheTier::Host, removed(&[9])),
        ];
        assert_eq!(
            run(128, &changes),
            [
                stored(None, &[1, 2, 3]),
                stored(Some(1), &[9]),
                removed(&[3, 9]),
                removed(&[9]),
            ]
        );
    }

    #[test]
    fn a_clear_is_a_barrier_and_full_events_go_out() {
        let device = CacheTier::Device;
        let changes = [
            (device, removed(&[1])),
            (device, CacheEventData::Cleared),
            (device, removed(&[2, 3])),
            (device, removed(&[4])),
        ];
        assert_eq!(
            run(2, &changes),
            [
                removed(&[1]),
                CacheEventData::Cleared,
                removed(&[2, 3]),
                removed(&[4]),
            ]
        );
    }

    #[test]
    fn a_chain_that_returns_to_itself_is_not_joined() {
        let device = CacheTier::Device;
        let changes = [
            (device, stored(None, &[1, 2])),
            (device, stored(Some(2), &[1])),
        ];
        assert_eq!(run(128, &changes).len(), 2);
    }
}
