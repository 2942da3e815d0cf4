//! Result of a lookup.

use super::types::{CacheTier, WorkerRank};

/// How much of a prompt one rank holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Match {
    /// The rank.
    pub rank: WorkerRank,
    /// Blocks per tier, each tier counted from where the tier above it ends, in the order of [`CacheTier::ALL`].
    pub blocks: [u32; 4],
}

impl Match {
    /// Blocks that need no transfer from a slower tier.
    #[must_use]
    pub fn device_blocks(&self) -> u32 {
        self.blocks[CacheTier::Device.index()]
    }

    /// Blocks of all tiers.
    #[must_use]
    pub fn total_blocks(&self) -> u32 {
        self.blocks.iter().sum()
    }
}

/// Ranks that hold the start of a prompt, ascending by the order in which the index learned of them. Keep one and reuse
/// it: a lookup then allocates nothing.
#[derive(Debug, Clone, Default)]
pub struct Matches {
    pub(super) rows: Vec<Match>,
    pub(super) search: Vec<Candidate>,
    pub(super) matched_depth: usize,
}

impl Matches {
    /// The ranks.
    #[must_use]
    pub fn rows(&self) -> &[Match] {
        &self.rows
    }

    /// The match of one rank.
    #[must_use]
    pub fn get(&self, rank: WorkerRank) -> Option<&Match> {
        self.rows.iter().find(|row| row.rank == rank)
    }

    /// Longest prefix, in blocks, that the index knows at all, whoever holds it.
    #[must_use]
    pub fn matched_depth(&self) -> usize {
        self.matched_depth
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.search.clear();
        self.matched_depth = 0;
    }

    /// Takes for each rank the larger of both totals; ranks known to one side only are kept. Orders rows by rank.
    pub(super) fn merge_max(&mut self, other: &mut Self) {
        self.matched_depth = self.matched_depth.max(other.matched_depth);
        self.rows.append(&mut other.rows);
        self.rows
            .sort_unstable_by_key(|row| (row.rank, row.total_blocks()));
        self.rows.dedup_by(|later, earlier| {
            let same = later.rank == earlier.rank;
            if same {
                *earlier = *later;
            }
            same
        });
    }
}

/// A rank still holding everything so far: its number, its row, and the tier it has come to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) rank: u32,
    pub(super) row: u32,
    pub(super) tier: u32,
}
