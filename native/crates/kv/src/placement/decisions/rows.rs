//! Candidates as words: four each, list after list, and two more where something is unusual. The ranks are shared between
//! decisions.

use std::slice::ChunksExactMut;

use super::super::source::Source;
use crate::index::WorkerRank;
use crate::selection::{CandidateCost, Candidates, Rejection};

const USUAL_WORDS: usize = 4;
const RARE_WORDS: usize = 2;
const APPROXIMATE: u32 = 1;

/// One candidate as the choice saw it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct CandidateRow {
    /// The rank.
    pub(crate) rank: WorkerRank,
    /// Blocks of the prompt's beginning in device memory.
    pub(crate) device_blocks: u32,
    /// Further ones in host memory.
    pub(crate) host_blocks: u32,
    /// Further ones on disk.
    pub(crate) disk_blocks: u32,
    /// Requests not finished.
    pub(crate) active_requests: u32,
    /// Prompt tokens not computed yet.
    pub(crate) active_prefill_tokens: u64,
    /// Blocks in use with this request.
    pub(crate) potential_decode_blocks: f64,
    /// Blocks cached on the device.
    pub(crate) cached_blocks: u64,
    /// Blocks it can hold.
    pub(crate) total_kv_blocks: u64,
    /// Factor of preferred taints.
    pub(crate) taint_factor: f64,
    /// Its content was guessed from routing.
    pub(crate) approximate: bool,
    /// Why it could not be chosen.
    pub(crate) rejection: Option<Rejection>,
}

/// What many decisions have in common.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct RankTable {
    pub(crate) ranks: Vec<WorkerRank>,
    pub(crate) total_kv_blocks: Vec<u64>,
}

/// The lists that a choice was made from; entry `i` of each belongs to rank `i` of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowLists<'a> {
    /// Ranks and their capacities are in the table.
    pub(crate) candidates: Candidates<'a>,
    pub(crate) costs: &'a [CandidateCost],
    pub(crate) sources: &'a [Source],
    /// Whether some rank's taint factor may differ from 1.
    pub(crate) has_taint_factors: bool,
}

impl RowLists<'_> {
    /// Words that the rows take.
    pub(super) fn words(&self) -> usize {
        let each = if self.has_rare() { RARE_WORDS } else { 0 } + USUAL_WORDS;
        self.costs.len() * each
    }

    /// Writes the rows: prefill tokens of all; decode blocks of all; device blocks and requests of all; cached blocks and
    /// flags of all; if there is anything rare, host and disk blocks of all and taint factors of all.
    pub(super) fn write(&self, words: &mut [u64]) {
        let is_rare = words.len() > self.costs.len() * USUAL_WORDS;
        let known = &self.candidates;
        let mut lists = words.chunks_exact_mut(self.costs.len().max(1));
        put(&mut lists, known.active_prefill_tokens.iter().copied());
        let decode = known.potential_decode_blocks.iter();
        put(&mut lists, decode.map(|blocks| blocks.to_bits()));
        let requests = known.active_requests;
        put(&mut lists, pairs(known.device_overlap_blocks, requests));
        // Four billion blocks do not fit into a device.
        let clamped = |blocks: &u64| u32::try_from(*blocks).unwrap_or(u32::MAX);
        let cached = known.cached_blocks.iter().map(clamped);
        let flags = self.costs.iter().zip(self.sources).map(flags);
        let cached = cached.chain(std::iter::repeat(0)).zip(flags);
        put(
            &mut lists,
            cached.map(|(cached, flags)| pair(cached, flags)),
        );
        if is_rare {
            let disk = known.disk_overlap_blocks;
            put(&mut lists, pairs(known.host_overlap_blocks, disk));
            let factors = self.costs.iter().map(|cost| cost.taint_factor.to_bits());
            put(&mut lists, factors);
        }
    }

    fn has_rare(&self) -> bool {
        let is_plain = |blocks: &[u32]| blocks.iter().all(|blocks| *blocks == 0);
        let known = &self.candidates;
        self.has_taint_factors
            || !is_plain(known.host_overlap_blocks)
            || !is_plain(known.disk_overlap_blocks)
    }
}

/// The rows that were written.
pub(super) fn read_rows(table: &RankTable, words: &[u64]) -> Vec<CandidateRow> {
    let count = table.ranks.len();
    let word = |list: usize, at: usize| words.get(list * count + at).copied();
    let usual = |list: usize, at: usize| word(list, at).unwrap_or_default();
    let row = |at: usize| {
        let (device_blocks, active_requests) = unpair(usual(2, at));
        let (cached_blocks, flags) = unpair(usual(3, at));
        let (host_blocks, disk_blocks) = unpair(usual(4, at));
        CandidateRow {
            rank: table.ranks[at],
            device_blocks,
            host_blocks,
            disk_blocks,
            active_requests,
            active_prefill_tokens: usual(0, at),
            potential_decode_blocks: f64::from_bits(usual(1, at)),
            cached_blocks: u64::from(cached_blocks),
            total_kv_blocks: table.total_kv_blocks[at],
            taint_factor: word(5, at).map_or(1.0, f64::from_bits),
            approximate: flags & APPROXIMATE != 0,
            rejection: rejection(flags),
        }
    };
    (0..count).map(row).collect()
}

/// Lowest bit: guessed; above it the rejection's position in [`Rejection::ALL`] plus one.
fn flags((cost, source): (&CandidateCost, &Source)) -> u32 {
    let rejection = cost.rejection.map_or(0, |rejection| rejection as u32 + 1);
    u32::from(*source != Source::Events) | rejection << 1
}

fn rejection(flags: u32) -> Option<Rejection> {
    let position = (flags >> 1).checked_sub(1)?;
    Rejection::ALL.get(position as usize).copied()
}

fn put(lists: &mut ChunksExactMut<'_, u64>, values: impl Iterator<Item = u64>) {
    for (word, value) in lists.next().unwrap_or_default().iter_mut().zip(values) {
        *word = value;
    }
}

fn pairs<'a>(low: &'a [u32], high: &'a [u32]) -> impl Iterator<Item = u64> + 'a {
    low.iter().zip(high).map(|(low, high)| pair(*low, *high))
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
        for source in [Source::Events, Source::Routing] {
            for expected in Rejection::ALL.into_iter().map(Some).chain([None]) {
                let cost = CandidateCost {
                    rejection: expected,
                    ..CandidateCost::default()
                };
                let flags = flags((&cost, &source));
                assert_eq!(rejection(flags), expected);
                assert_eq!(flags & APPROXIMATE == 0, source == Source::Events);
            }
        }
    }
}
