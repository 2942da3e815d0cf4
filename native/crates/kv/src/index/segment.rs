//! A run of blocks without a branch.

use std::sync::atomic::{AtomicU32, Ordering};

use super::holders::Holders;

pub(super) const NONE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    pub(super) sequence: u64,
    pub(super) local: u64,
}

/// Place of a block: a segment and the block's depth in the prompt. It stays valid when the segment is split, because
/// splits leave a forwarding note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) depth: u32,
}

#[derive(Debug)]
pub(super) struct Segment {
    /// Depth of the first block.
    pub(super) start: u32,
    pub(super) parent: u32,
    /// Segment this one was split from, which forwards to it; [`NONE`] when it began as its own.
    pub(super) origin: u32,
    pub(super) children: u32,
    touched: AtomicU32,
    /// Evicted, but tables may still point to it: nothing finds it, and nothing is added to it.
    pub(super) is_doomed: bool,
    pub(super) blocks: Vec<Block>,
    pub(super) holders: Holders,
    /// Where the blocks went that were split off: (first depth, segment).
    pub(super) forwards: Vec<(u32, u32)>,
}

impl Segment {
    pub(super) fn new(start: u32, parent: u32, blocks: Vec<Block>) -> Self {
        Self {
            start,
            parent,
            origin: NONE,
            children: 0,
            touched: AtomicU32::new(0),
            is_doomed: false,
            blocks,
            holders: Holders::default(),
            forwards: Vec::new(),
        }
    }

    /// A freed segment has no blocks.
    pub(super) fn is_live(&self) -> bool {
        !self.blocks.is_empty()
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.blocks.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn end(&self) -> u32 {
        self.start + self.len()
    }

    /// Blocks in common with the start of `sequence`. Chained hashes that are equal once were equal before, so the last
    /// one decides, and the first difference is found by halving.
    pub(super) fn common(&self, sequence: &[u64]) -> usize {
        let len = self.blocks.len().min(sequence.len());
        if len == 0 || self.blocks[len - 1].sequence == sequence[len - 1] {
            return len;
        }
        let (mut low, mut high) = (0, len - 1);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.blocks[middle].sequence == sequence[middle] {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// Notes a use; written only when the tick moved, so that readers of a hot segment do not fight over its line.
    pub(super) fn touch(&self, tick: u32) {
        if self.touched.load(Ordering::Relaxed) != tick {
            self.touched.store(tick, Ordering::Relaxed);
        }
    }

    pub(super) fn last_touched(&self) -> u32 {
        self.touched.load(Ordering::Relaxed)
    }

    /// Bytes beside its own.
    pub(super) fn bytes(&self) -> usize {
        self.blocks.capacity() * size_of::<Block>()
            + self.holders.bytes()
            + self.forwards.capacity() * size_of::<(u32, u32)>()
    }
}
