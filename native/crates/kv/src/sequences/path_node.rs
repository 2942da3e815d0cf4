//! A run of blocks that every request which uses one of them uses whole.

/// No node.
pub(super) const NONE: u32 = u32::MAX;

/// Weight of one whole block; fractions are kept as whole numbers so that sums return to exactly zero.
pub(crate) const WHOLE: u64 = 1 << 16;

/// One rank's use of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) slot: u32,
    pub(super) requests: u32,
    /// Weight of each of the node's blocks.
    pub(super) weight: u64,
}

#[derive(Debug, Default)]
pub(super) struct PathNode {
    /// Sequence hashes; never empty in a live node.
    pub(super) hashes: Vec<u64>,
    pub(super) parent: u32,
    pub(super) children: Vec<u32>,
    /// Ascending by slot.
    pub(super) holders: Vec<Holder>,
}

impl PathNode {
    pub(super) fn len(&self) -> u64 {
        self.hashes.len() as u64
    }

    /// How many of its blocks are the next ones of a chain. Hashes are chained: whoever agrees at one position agrees
    /// before it.
    pub(super) fn common(&self, chain: &[u64]) -> usize {
        let length = self.hashes.len().min(chain.len());
        if length == 0 || self.hashes[length - 1] == chain[length - 1] {
            return length;
        }
        let (mut low, mut high) = (0, length - 1);
        while low < high {
            let middle = low.midpoint(high);
            if self.hashes[middle] == chain[middle] {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// One more request of `slot`; returns by how much the rank's weight grew.
    pub(super) fn retain(&mut self, slot: u32) -> u64 {
        let grown = match self.position(slot) {
            Ok(at) => {
                let holder = &mut self.holders[at];
                holder.requests += 1;
                // What two requests share will be needed after one of them is done.
                WHOLE - std::mem::replace(&mut holder.weight, WHOLE)
            }
            Err(at) => {
                let holder = Holder {
                    slot,
                    requests: 1,
                    weight: WHOLE,
                };
                self.holders.insert(at, holder);
                WHOLE
            }
        };
        grown * self.len()
    }

    /// One request of `slot` is done; returns by how much the rank's weight shrank.
    pub(super) fn release(&mut self, slot: u32) -> u64 {
        let Ok(at) = self.position(slot) else {
            return 0;
        };
        let holder = &mut self.holders[at];
        holder.requests -= 1;
        if holder.requests > 0 {
            return 0;
        }
        let weight = holder.weight;
        self.holders.remove(at);
        weight * self.len()
    }

    /// Sets the weight of blocks that one request of `slot` alone uses; returns the old weight of all of them, or none
    /// when they are shared.
    pub(super) fn reweigh(&mut self, slot: u32, weight: u64) -> Option<u64> {
        let at = self.position(slot).ok()?;
        let length = self.len();
        let holder = &mut self.holders[at];
        (holder.requests == 1).then(|| std::mem::replace(&mut holder.weight, weight) * length)
    }

    fn position(&self, slot: u32) -> Result<usize, usize> {
        self.holders
            .binary_search_by_key(&slot, |holder| holder.slot)
    }
}
