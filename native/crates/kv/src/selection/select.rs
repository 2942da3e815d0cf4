//! One decision: filter, cost, choose (RP 4.4). The same input and seed always give the same choice.

use std::fmt;

use super::candidates::{Candidates, at};
use super::choice::Chooser;
use super::cost::{CandidateCost, CostModel};
use super::eligibility::Eligibility;
use super::random::SeededRandom;
use super::rejection::Rejection;
use super::request::{SelectRequest, SelectionReason};
use super::settings::{CostSettings, InvalidSetting};
use crate::index::WorkerRank;

/// A choice with what led to it.
#[derive(Debug, Clone, PartialEq)]
pub struct Selection {
    /// Position among the candidates.
    pub index: usize,
    /// The rank.
    pub rank: WorkerRank,
    /// Why.
    pub reason: SelectionReason,
    /// The request's blocks.
    pub required_blocks: u64,
    /// Cached blocks of the chosen rank, each tier by its weight.
    pub effective_overlap_blocks: f64,
    /// The same in tokens.
    pub cached_tokens: u64,
    /// Blocks in use there with this request.
    pub potential_decode_blocks: f64,
    /// Every candidate's cost, in their order.
    pub costs: Vec<CandidateCost>,
}

/// Why nothing was chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SelectError {
    /// No candidate passes the filters.
    NoEndpoints,
    /// Those that pass are all overloaded.
    AllEligibleWorkersOverloaded,
    /// The pinned worker is no candidate or may not be chosen.
    PinnedWorkerUnavailable,
    /// The pinned worker is overloaded.
    PinnedWorkerOverloaded,
    /// A weight cannot be used.
    InvalidSetting(InvalidSetting),
    /// Lists of different lengths, or no block size.
    InvalidInput,
}

impl SelectError {
    /// Stable name.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoEndpoints => "no_endpoints",
            Self::AllEligibleWorkersOverloaded => "all_overloaded",
            Self::PinnedWorkerUnavailable => "pinned_unavailable",
            Self::PinnedWorkerOverloaded => "pinned_overloaded",
            Self::InvalidSetting(_) => "invalid_override",
            Self::InvalidInput => "invalid_input",
        }
    }
}

impl fmt::Display for SelectError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEndpoints => formatter.write_str("no worker passes the request's filters"),
            Self::AllEligibleWorkersOverloaded => {
                formatter.write_str("every worker that may serve the request is overloaded")
            }
            Self::PinnedWorkerUnavailable => {
                formatter.write_str("the pinned worker is not available")
            }
            Self::PinnedWorkerOverloaded => formatter.write_str("the pinned worker is overloaded"),
            Self::InvalidSetting(invalid) => invalid.fmt(formatter),
            Self::InvalidInput => {
                formatter.write_str("lists of candidates differ in length or the block size is 0")
            }
        }
    }
}

impl std::error::Error for SelectError {}

/// Chooses a rank for a request.
///
/// # Errors
/// When no candidate may be chosen, or the input makes no sense.
pub fn select(
    request: &SelectRequest<'_>,
    candidates: &Candidates<'_>,
    settings: &CostSettings,
    random: &mut SeededRandom,
) -> Result<Selection, SelectError> {
    settings.validate().map_err(SelectError::InvalidSetting)?;
    if request.block_size == 0 || !candidates.is_consistent() {
        return Err(SelectError::InvalidInput);
    }
    let rejection = |index| match candidates.rejections.get(index) {
        Some(recorded) => *recorded,
        None => request.eligibility.rejection(candidates, index),
    };
    let rejections: Vec<Option<Rejection>> = (0..candidates.ranks.len()).map(rejection).collect();
    let eligible: Vec<usize> = (0..rejections.len())
        .filter(|index| rejections[*index].is_none())
        .collect();
    if eligible.is_empty() {
        return Err(nothing_eligible(&request.eligibility, &rejections));
    }

    let least = eligible
        .iter()
        .map(|index| at(candidates.active_prefill_tokens, *index))
        .min();
    let model = CostModel {
        settings,
        isl_tokens: request.isl_tokens,
        block_size: request.block_size,
        least_prefill_tokens: least.unwrap_or(0),
        preferred_taints: request.preferred_taints,
    };
    let cost = |(index, rejection): (usize, &Option<Rejection>)| match rejection {
        None => model.cost_in(request.mode, candidates, index),
        Some(_) => CandidateCost {
            rejection: *rejection,
            ..CandidateCost::default()
        },
    };
    let costs = rejections.iter().enumerate().map(cost).collect();
    let mut chooser = Chooser {
        request,
        candidates,
        eligible: &eligible,
        costs,
        random,
    };
    let choice = chooser.choose(settings.temperature);
    Ok(selection(&model, candidates, choice, chooser.costs))
}

fn nothing_eligible(
    eligibility: &Eligibility<'_>,
    rejections: &[Option<Rejection>],
) -> SelectError {
    let is_overloaded = rejections.contains(&Some(Rejection::Overloaded));
    match (eligibility.pinned, is_overloaded) {
        (Some(_), true) => SelectError::PinnedWorkerOverloaded,
        (Some(_), false) => SelectError::PinnedWorkerUnavailable,
        (None, true) => SelectError::AllEligibleWorkersOverloaded,
        (None, false) => SelectError::NoEndpoints,
    }
}

fn selection(
    model: &CostModel<'_>,
    candidates: &Candidates<'_>,
    (index, reason): (usize, SelectionReason),
    costs: Vec<CandidateCost>,
) -> Selection {
    let chosen = costs[index];
    let tokens = chosen.effective_overlap_blocks * super::cost::float(model.block_size);
    // Not negative, and the cast saturates.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let cached_tokens = (tokens as u64).min(model.isl_tokens);
    Selection {
        index,
        rank: candidates.ranks[index],
        reason,
        required_blocks: model.request_blocks(),
        effective_overlap_blocks: chosen.effective_overlap_blocks,
        cached_tokens,
        potential_decode_blocks: chosen.decode_blocks,
        costs,
    }
}
