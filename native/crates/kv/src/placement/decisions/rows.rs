//! Candidates as they are kept: a cache line holds two. Rare values are beside, and what decisions have in common, the
//! ranks, is shared between them.

use std::sync::Arc;

use super::record::CandidateRow;
use crate::index::WorkerRank;
use crate::selection::Rejection;

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
    packed: Box<[Packed]>,
    /// Empty when every candidate's are the default ones.
    rare: Box<[Rare]>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Packed {
    active_prefill_tokens: u64,
    potential_decode_blocks: f64,
    device_blocks: u32,
    active_requests: u32,
    cached_blocks: u32,
    rejection: Option<Rejection>,
    approximate: bool,
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

impl Rows {
    /// Keeps the candidates, which are those of the table.
    pub(crate) fn new(table: &Arc<RankTable>, row: impl Fn(usize) -> CandidateRow) -> Self {
        let count = table.ranks.len();
        let mut packed = Vec::with_capacity(count);
        let mut rare = Vec::new();
        for at in 0..count {
            let row = row(at);
            packed.push(Packed::from(&row));
            let beside = Rare::from(&row);
            if beside != USUAL && rare.is_empty() {
                rare.resize(count, USUAL);
            }
            if let Some(kept) = rare.get_mut(at) {
                *kept = beside;
            }
        }
        Self {
            table: Arc::clone(table),
            packed: packed.into_boxed_slice(),
            rare: rare.into_boxed_slice(),
        }
    }

    /// The candidates again.
    pub(crate) fn unpack(&self) -> Vec<CandidateRow> {
        let rows = self.packed.iter().enumerate();
        rows.map(|(at, packed)| {
            let rare = self.rare.get(at).copied().unwrap_or(USUAL);
            CandidateRow {
                rank: self.table.ranks[at],
                device_blocks: packed.device_blocks,
                host_blocks: rare.host_blocks,
                disk_blocks: rare.disk_blocks,
                active_requests: packed.active_requests,
                active_prefill_tokens: packed.active_prefill_tokens,
                potential_decode_blocks: packed.potential_decode_blocks,
                cached_blocks: u64::from(packed.cached_blocks),
                total_kv_blocks: self.table.total_kv_blocks[at],
                taint_factor: rare.taint_factor,
                approximate: packed.approximate,
                rejection: packed.rejection,
            }
        })
        .collect()
    }

    /// Memory of its own.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.packed) + size_of_val(&*self.rare)
    }
}

impl From<&CandidateRow> for Packed {
    fn from(row: &CandidateRow) -> Self {
        Self {
            active_prefill_tokens: row.active_prefill_tokens,
            potential_decode_blocks: row.potential_decode_blocks,
            device_blocks: row.device_blocks,
            active_requests: row.active_requests,
            // Four billion blocks do not fit into a device.
            cached_blocks: u32::try_from(row.cached_blocks).unwrap_or(u32::MAX),
            rejection: row.rejection,
            approximate: row.approximate,
        }
    }
}

impl From<&CandidateRow> for Rare {
    fn from(row: &CandidateRow) -> Self {
        Self {
            host_blocks: row.host_blocks,
            disk_blocks: row.disk_blocks,
            taint_factor: row.taint_factor,
        }
    }
}
