//! Which ranks work on which blocks, counted. A block counts once per rank however many requests share it.

use super::BlockMap;
use super::worker_set::WorkerSet;

/// Weight of one whole block; fractions are kept as whole numbers so that sums return to exactly zero.
pub(crate) const WHOLE: u64 = 1 << 16;

/// Tables that grow one at a time: growing a single one would hold up a placement for milliseconds.
const SHARDS: usize = 64;

#[derive(Debug)]
pub(crate) struct LiveBlocks {
    shards: [BlockMap<u64, Holders>; SHARDS],
}

impl Default for LiveBlocks {
    fn default() -> Self {
        Self {
            shards: std::array::from_fn(|_| BlockMap::default()),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    slot: u32,
    requests: u32,
    weight: u64,
}

/// Most blocks belong to one rank only.
#[derive(Debug)]
enum Holders {
    One(Holder),
    Many(Vec<Holder>),
}

impl LiveBlocks {
    /// One more request of `slot` uses the block; returns by how much the rank's weight grew.
    pub(crate) fn retain(&mut self, hash: u64, slot: u32) -> u64 {
        let new = Holder {
            slot,
            requests: 1,
            weight: WHOLE,
        };
        let shard = &mut self.shards[shard_of(hash)];
        match shard.get_mut(&hash) {
            None => {
                shard.insert(hash, Holders::One(new));
                WHOLE
            }
            Some(holders) => {
                let Some(holder) = holders.find(slot) else {
                    holders.push(new);
                    return WHOLE;
                };
                holder.requests += 1;
                // What two requests share will be needed after one of them is done.
                let grown = WHOLE - holder.weight;
                holder.weight = WHOLE;
                grown
            }
        }
    }

    /// One request of `slot` is done with the block; returns by how much the rank's weight shrank.
    pub(crate) fn release(&mut self, hash: u64, slot: u32) -> u64 {
        let shard = &mut self.shards[shard_of(hash)];
        let Some(holders) = shard.get_mut(&hash) else {
            return 0;
        };
        let Some(holder) = holders.find(slot) else {
            return 0;
        };
        holder.requests -= 1;
        if holder.requests > 0 {
            return 0;
        }
        let weight = holder.weight;
        if holders.remove(slot) {
            shard.remove(&hash);
        }
        weight
    }

    /// Sets the weight of a block that one request alone uses; returns the old weight, or none when it is shared.
    pub(crate) fn reweigh(&mut self, hash: u64, slot: u32, weight: u64) -> Option<u64> {
        let holder = self.shards[shard_of(hash)].get_mut(&hash)?.find(slot)?;
        (holder.requests == 1).then(|| std::mem::replace(&mut holder.weight, weight))
    }

    /// Calls `found(slot, depth)` for each rank of `slots` that works on the first `depth` > 0 blocks of a chain.
    ///
    /// Who works on a block works on all before it, so the ranks are split by bisection: a probe per distinct depth and
    /// halving, not one per block or rank.
    pub(crate) fn depths(
        &self,
        hashes: &[u64],
        slots: WorkerSet,
        found: &mut impl FnMut(u32, usize),
    ) {
        let mut open = vec![(0, hashes.len(), slots)];
        while let Some((low, high, slots)) = open.pop() {
            if slots.is_empty() {
                continue;
            }
            if low == high {
                if low > 0 {
                    slots.iter().for_each(|slot| found(slot, low));
                }
                continue;
            }
            // Short overlaps are common, and long ones reach the end: look at the first and last block before the middle.
            let middle = match low {
                0 if high == hashes.len() => 0,
                1 if high == hashes.len() => high - 1,
                _ => low + (high - low) / 2,
            };
            let deeper = self.holding(hashes[middle], &slots);
            open.push((low, middle, slots.without(&deeper)));
            open.push((middle + 1, high, deeper));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(BlockMap::len).sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        let slots: usize = self.shards.iter().map(BlockMap::capacity).sum();
        slots * (size_of::<(u64, Holders)>() + 1)
    }

    fn holding(&self, hash: u64, among: &WorkerSet) -> WorkerSet {
        let mut held = among.without(among);
        if let Some(holders) = self.shards[shard_of(hash)].get(&hash) {
            for holder in holders.as_slice() {
                if among.contains(holder.slot) {
                    held.insert(holder.slot);
                }
            }
        }
        held
    }
}

/// Middle bits: the tables themselves use the highest and lowest ones.
#[allow(clippy::cast_possible_truncation)]
fn shard_of(hash: u64) -> usize {
    (hash >> 24) as usize % SHARDS
}

impl Holders {
    fn as_slice(&self) -> &[Holder] {
        match self {
            Self::One(holder) => std::slice::from_ref(holder),
            Self::Many(holders) => holders,
        }
    }

    fn find(&mut self, slot: u32) -> Option<&mut Holder> {
        match self {
            Self::One(holder) => (holder.slot == slot).then_some(holder),
            Self::Many(holders) => {
                let position = holders.binary_search_by_key(&slot, |holder| holder.slot);
                position.ok().map(|position| &mut holders[position])
            }
        }
    }

    fn push(&mut self, new: Holder) {
        match self {
            Self::One(holder) => {
                let mut holders = vec![*holder, new];
                holders.sort_unstable_by_key(|holder| holder.slot);
                *self = Self::Many(holders);
            }
            Self::Many(holders) => {
                let position = holders.partition_point(|holder| holder.slot < new.slot);
                holders.insert(position, new);
            }
        }
    }

    /// Drops a rank; `true` when none is left.
    fn remove(&mut self, slot: u32) -> bool {
        match self {
            Self::One(holder) => holder.slot == slot,
            Self::Many(holders) => {
                holders.retain(|holder| holder.slot != slot);
                if let [last] = holders.as_slice() {
                    *self = Self::One(*last);
                }
                false
            }
        }
    }
}
