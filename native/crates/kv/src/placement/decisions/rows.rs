//! Candidates as they are kept: four words each, list after list. Rare values are beside, and the ranks are shared between
//! decisions.

use std::sync::Arc;

use super::record::CandidateRow;
use crate::index::WorkerRank;
use crate::selection::{CandidateCost, Rejection};

const WORDS: usize = 4;
const APPROXIMATE: u32 = 1;

/// What many decisions have in common.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct RankTable {
    pub(crate) ranks: Vec<WorkerRank>,
    pub(crate) total_kv_blocks: Vec<u64>,
}

/// Candidates of one decision.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rows {
    table: Arc<RankTable>,
    /// Prefill tokens of all; decode blocks of all; device blocks and requests of all; cached blocks and flags of all.
    words: Box<[u64]>,
    /// Empty when every candidate's are the usual ones.
    rare: Box<[Rare]>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Rare {
    host_blocks: u32,
    disk_blocks: u32,
    taint_factor: f64,
}

const USUAL: Rare = Rare {
    host_blocks: 0,
    disk_blocks: 0,
    taint_factor: 1.0,
};

/// The lists that a choice was made from; entry `i` of each belongs to rank `i` of the table.
pub(crate) struct RowLists<'a> {
    pub(crate) device_blocks: &'a [u32],
    pub(crate) host_blocks: &'a [u32],
    pub(crate) disk_blocks: &'a [u32],
    pub(crate) active_requests: &'a [u32],
    pub(crate) active_prefill_tokens: &'a [u64],
    pub(crate) potential_decode_blocks: &'a [f64],
    /// May be empty.
    pub(crate) cached_blocks: &'a [u64],
    pub(crate) costs: &'a [CandidateCost],
    /// Whether some rank's taint factor may differ from 1.
    pub(crate) has_taint_factors: bool,
}

impl Rows {
    /// Keeps the candidates.
    pub(crate) fn new(
        table: &Arc<RankTable>,
        lists: &RowLists<'_>,
        approximate: impl Iterator<Item = bool>,
    ) -> Self {
        let count = table.ranks.len();
        let mut words = Vec::with_capacity(WORDS * count);
        words.extend_from_slice(lists.active_prefill_tokens);
        words.extend(lists.potential_decode_blocks.iter().map(|b| b.to_bits()));
        let device = lists.device_blocks.iter().zip(lists.active_requests);
        words.extend(device.map(|(blocks, requests)| pair(*blocks, *requests)));
        // Four billion blocks do not fit into a device.
        let clamped = |blocks: &u64| u32::try_from(*blocks).unwrap_or(u32::MAX);
        let cached = lists.cached_blocks.iter().map(clamped);
        let flags = lists.costs.iter().zip(approximate).map(flags);
        words.extend(
            flags
                .zip(cached.chain(std::iter::repeat(0)))
                .map(|(flags, cached)| pair(cached, flags)),
        );
        Self {
            table: Arc::clone(table),
            words: words.into_boxed_slice(),
            rare: rare(lists),
        }
    }

    /// The candidates again.
    pub(crate) fn unpack(&self) -> Vec<CandidateRow> {
        let count = self.table.ranks.len();
        let word = |list: usize, at: usize| self.words[list * count + at];
        (0..count)
            .map(|at| {
                let rare = self.rare.get(at).copied().unwrap_or(USUAL);
                let (device_blocks, active_requests) = unpair(word(2, at));
                let (cached_blocks, flags) = unpair(word(3, at));
                CandidateRow {
                    rank: self.table.ranks[at],
                    device_blocks,
                    host_blocks: rare.host_blocks,
                    disk_blocks: rare.disk_blocks,
                    active_requests,
                    active_prefill_tokens: word(0, at),
                    potential_decode_blocks: f64::from_bits(word(1, at)),
                    cached_blocks: u64::from(cached_blocks),
                    total_kv_blocks: self.table.total_kv_blocks[at],
                    taint_factor: rare.taint_factor,
                    approximate: flags & APPROXIMATE != 0,
                    rejection: rejection(flags),
                }
            })
            .collect()
    }

    /// Memory of its own.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.words) + size_of_val(&*self.rare)
    }
}

fn rare(lists: &RowLists<'_>) -> Box<[Rare]> {
    let is_plain = |blocks: &[u32]| blocks.iter().all(|blocks| *blocks == 0);
    if !lists.has_taint_factors && is_plain(lists.host_blocks) && is_plain(lists.disk_blocks) {
        return Box::default();
    }
    let blocks = lists.host_blocks.iter().zip(lists.disk_blocks);
    let rows = blocks.zip(lists.costs);
    rows.map(|((host_blocks, disk_blocks), cost)| Rare {
        host_blocks: *host_blocks,
        disk_blocks: *disk_blocks,
        taint_factor: cost.taint_factor,
    })
    .collect()
}

/// Lowest bit: guessed; above it the rejection's position in [`Rejection::ALL`] plus one.
fn flags((cost, approximate): (&CandidateCost, bool)) -> u32 {
    let rejection = cost.rejection.map_or(0, |rejection| rejection as u32 + 1);
    u32::from(approximate) | rejection << 1
}

fn rejection(flags: u32) -> Option<Rejection> {
    let position = (flags >> 1).checked_sub(1)?;
    Rejection::ALL.get(position as usize).copied()
}

fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

#[allow(clippy::cast_possible_truncation)] // the halves
fn unpair(word: u64) -> (u32, u32) {
    (word as u32, (word >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rejection_comes_back() {
        for approximate in [false, true] {
            for expected in Rejection::ALL.into_iter().map(Some).chain([None]) {
                let cost = CandidateCost {
                    rejection: expected,
                    ..CandidateCost::default()
                };
                let flags = flags((&cost, approximate));
                assert_eq!(rejection(flags), expected);
                assert_eq!(flags & 1 == 1, approximate);
            }
        }
    }
}
