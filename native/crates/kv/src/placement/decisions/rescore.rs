//! A recorded decision taken again: with its own settings the choice and every cost are bit-identical, with others it
//! shows what would have been chosen.

use std::fmt;

use prost::Message;

use super::record::RecordedDecision;
use super::rows::CandidateRow;
use crate::index::WorkerRank;
use crate::selection::{
    CandidateCost, Candidates, CostSettings, Eligibility, Pin, Rejection, SeededRandom,
    SelectError, SelectRequest, Selection, SelectionMode, SelectionPolicy, SelectionReason, select,
};
use crate::wire::decision::{Decision, DecisionCandidate, DecisionSettings};

/// Settings to take a decision again with; absent ones are the recorded ones.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct SettingsPatch {
    /// All weights at once.
    pub cost: Option<CostSettings>,
    /// Another mode.
    pub mode: Option<SelectionMode>,
}

/// A decision taken again.
#[derive(Debug, Clone, PartialEq)]
pub struct Rescored {
    /// Position of the choice among the candidates.
    pub chosen: usize,
    /// Why.
    pub reason: SelectionReason,
    /// Cost of each candidate; only those without rejection mean anything.
    pub costs: Vec<f64>,
}

/// Why a decision cannot be taken again.
#[derive(Debug, Clone, PartialEq)]
pub enum RescoreError {
    /// Not a decision, or one of another version.
    Unreadable(&'static str),
    /// Nothing could be chosen.
    NoChoice(SelectError),
}

impl fmt::Display for RescoreError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(what) => write!(formatter, "not a recorded decision: {what}"),
            Self::NoChoice(error) => error.fmt(formatter),
        }
    }
}

impl std::error::Error for RescoreError {}

/// Takes an encoded decision again.
///
/// # Errors
/// When the bytes are no decision, or nothing may be chosen with the settings given.
pub fn rescore(decision: &[u8], patch: &SettingsPatch) -> Result<Rescored, RescoreError> {
    let decision = Decision::decode(decision).map_err(|_| RescoreError::Unreadable("protobuf"))?;
    let settings = decision.settings.as_ref();
    let settings = settings.ok_or(RescoreError::Unreadable("settings are missing"))?;
    let mode = SelectionMode::parse(&decision.mode).ok_or(RescoreError::Unreadable("mode"))?;
    let rows: Result<Vec<CandidateRow>, _> = decision.candidates.iter().map(row).collect();
    let pin =
        |worker_id: Option<u64>, dp_rank| worker_id.map(|worker_id| Pin { worker_id, dp_rank });
    let again = Again {
        rows: &rows?,
        isl_tokens: u64::from(decision.isl_tokens),
        block_size: decision.block_size,
        mode: patch.mode.unwrap_or(mode),
        seed: decision.seed,
        preferred: pin(decision.preferred_worker_id, decision.preferred_dp_rank),
        pinned: pin(decision.pinned_worker_id, decision.pinned_dp_rank),
    };
    let settings = match patch.cost {
        Some(cost) => cost,
        None => recorded_settings(settings)?,
    };
    let selection = again.select(&settings).map_err(RescoreError::NoChoice)?;
    Ok(Rescored {
        chosen: selection.index,
        reason: selection.reason,
        costs: selection.costs.iter().map(|cost| cost.cost).collect(),
    })
}

/// Every candidate's cost in a record.
pub(super) fn costs_of(decision: &RecordedDecision, block_size: u32) -> Vec<CandidateCost> {
    let facts = &decision.facts;
    let again = Again {
        rows: &decision.candidates,
        isl_tokens: facts.isl_tokens,
        block_size,
        mode: facts.mode,
        seed: facts.seed,
        preferred: facts.preferred,
        pinned: facts.pinned,
    };
    // A recorded decision did choose; nothing else could be shown.
    again
        .select(&facts.settings)
        .map_or_else(|_| Vec::new(), |selection| selection.costs)
}

/// The inputs of a decision.
struct Again<'a> {
    rows: &'a [CandidateRow],
    isl_tokens: u64,
    block_size: u32,
    mode: SelectionMode,
    seed: u64,
    preferred: Option<Pin>,
    pinned: Option<Pin>,
}

impl Again<'_> {
    fn select(&self, settings: &CostSettings) -> Result<Selection, SelectError> {
        let candidates = Candidates {
            ranks: &self.list(|row| row.rank),
            device_overlap_blocks: &self.list(|row| row.device_blocks),
            host_overlap_blocks: &self.list(|row| row.host_blocks),
            disk_overlap_blocks: &self.list(|row| row.disk_blocks),
            active_prefill_tokens: &self.list(|row| row.active_prefill_tokens),
            potential_decode_blocks: &self.list(|row| row.potential_decode_blocks),
            active_requests: &self.list(|row| row.active_requests),
            cached_blocks: &self.list(|row| row.cached_blocks),
            total_kv_blocks: &self.list(|row| row.total_kv_blocks),
            taint_factors: &self.list(|row| row.taint_factor),
            rejections: &self.list(|row| row.rejection),
            ..Candidates::default()
        };
        let request = SelectRequest {
            isl_tokens: self.isl_tokens,
            block_size: u64::from(self.block_size),
            eligibility: Eligibility {
                pinned: self.pinned,
                ..Eligibility::default()
            },
            preferred: self.preferred,
            mode: self.mode,
            turn: self.seed,
            ..SelectRequest::default()
        };
        let mut random = SeededRandom::new(self.seed);
        select(&request, &candidates, settings, &mut random)
    }

    fn list<T>(&self, of: impl Fn(&CandidateRow) -> T) -> Vec<T> {
        self.rows.iter().map(of).collect()
    }
}

fn row(candidate: &DecisionCandidate) -> Result<CandidateRow, RescoreError> {
    let rejection = match candidate.rejection.as_str() {
        "" => None,
        name => Some(
            Rejection::ALL
                .into_iter()
                .find(|rejection| rejection.as_str() == name)
                .ok_or(RescoreError::Unreadable("rejection"))?,
        ),
    };
    Ok(CandidateRow {
        rank: WorkerRank::new(candidate.worker_id, candidate.dp_rank),
        device_blocks: candidate.device_blocks,
        host_blocks: candidate.host_blocks,
        disk_blocks: candidate.disk_blocks,
        active_requests: candidate.active_requests,
        active_prefill_tokens: candidate.active_prefill_tokens,
        potential_decode_blocks: candidate.potential_decode_blocks,
        cached_blocks: candidate.cached_blocks,
        total_kv_blocks: candidate.total_kv_blocks,
        taint_factor: candidate.taint_factor,
        approximate: candidate.approximate,
        rejection,
    })
}

fn recorded_settings(settings: &DecisionSettings) -> Result<CostSettings, RescoreError> {
    let policy = SelectionPolicy::parse(&settings.policy);
    Ok(CostSettings {
        policy: policy.ok_or(RescoreError::Unreadable("policy"))?,
        overlap_score_credit: settings.overlap_score_credit,
        overlap_score_credit_decay: settings.overlap_score_credit_decay,
        prefill_load_scale: settings.prefill_load_scale,
        host_cache_hit_weight: settings.host_cache_hit_weight,
        disk_cache_hit_weight: settings.disk_cache_hit_weight,
        shared_cache_multiplier: settings.shared_cache_multiplier,
        decode_active_request_weight: settings.decode_active_request_weight,
        displacement_weight: settings.displacement_weight,
        temperature: settings.temperature,
        track_prefill_tokens: settings.track_prefill_tokens,
    })
}
