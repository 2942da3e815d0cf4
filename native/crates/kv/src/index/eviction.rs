//! Keeping a byte budget: over it, the segments at the ends of prompts that were used longest ago go, whole.

use std::collections::HashSet;

use super::arena::Arena;
use super::ranks::Ranks;

/// Under a full budget this share is freed at once, so that evictions, which visit every table, are rare.
const FREED_SHARE: usize = 8;
/// Memory is measured after this many stored blocks, or one in 32 of what is known when that is more.
const MEASURED_EVERY: usize = 1024;
/// Enough to empty an index whose tables give memory back in halves only.
const ROUNDS: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Budget {
    limit: Option<usize>,
    stored: usize,
    due_at: usize,
    evicted: u64,
}

impl Budget {
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(super) fn note(&mut self, stored: usize) {
        self.stored += stored;
    }

    pub(super) fn is_due(&self) -> bool {
        self.limit.is_some() && self.stored >= self.due_at
    }

    /// Measures, and evicts until the index is an eighth under its budget.
    pub(super) fn enforce(&mut self, arena: &mut Arena, ranks: &mut Ranks, now: u32) {
        self.stored = 0;
        let Some(limit) = self.limit else { return };
        let mut bytes = arena.bytes() + ranks.bytes();
        if bytes > limit {
            let target = limit - limit / FREED_SHARE;
            for _ in 0..ROUNDS {
                if bytes <= target || arena.blocks() == 0 {
                    break;
                }
                let share = (bytes - target).saturating_mul(arena.blocks()) / bytes;
                self.evicted += evict(arena, ranks, share.max(1), now);
                bytes = arena.bytes() + ranks.bytes();
            }
        }
        self.due_at = MEASURED_EVERY.max(arena.blocks() / 32);
    }
}

/// Drops the coldest leaves, at least `wanted` blocks or all there are; returns how many holdings that ended.
fn evict(arena: &mut Arena, ranks: &mut Ranks, wanted: usize, now: u32) -> u64 {
    let mut leaves: Vec<_> = arena
        .live()
        .filter(|(_, segment)| segment.children == 0)
        .map(|(number, segment)| (now.wrapping_sub(segment.last_touched()), number))
        .collect();
    leaves.sort_unstable_by(|a, b| b.cmp(a));
    let mut blocks = 0;
    let chosen: HashSet<u32> = leaves
        .into_iter()
        .map(|(_, number)| number)
        .take_while(|&number| {
            let go_on = blocks < wanted;
            blocks += arena.get(number).blocks.len();
            go_on
        })
        .collect();
    let ended = forget(arena, ranks, &chosen);
    for number in chosen {
        arena.get_mut(number).holders.clear();
        arena.tidy(number);
    }
    arena.shrink();
    ended
}

/// Removes the engine hashes of all blocks in the chosen segments.
fn forget(arena: &Arena, ranks: &mut Ranks, chosen: &HashSet<u32>) -> u64 {
    let mut ended = 0;
    for (_, table) in ranks.tables_mut() {
        let before = table.places.len();
        table
            .places
            .retain(|_, place| !chosen.contains(&arena.resolve(*place).segment));
        ended += before - table.places.len();
        table.shrink();
        if !table.aliases.is_empty() {
            let gone: HashSet<u64> = chosen
                .iter()
                .flat_map(|&number| &arena.get(number).blocks)
                .map(|block| block.sequence)
                .collect();
            table.aliases.retain(|sequence, _| !gone.contains(sequence));
        }
    }
    ended as u64
}
