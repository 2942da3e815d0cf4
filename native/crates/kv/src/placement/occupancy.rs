//! Whether a request finds room before it is placed: what a queue asks of all ranks at once (RP 4.6).

use std::borrow::Cow;

use super::placement::Placement;
use super::request::Prompt;
use super::taints::numbers_of;
use crate::selection::{Candidates, Eligibility, Pin, Rejection};

/// What a rank computes at once when it does not say.
const UNKNOWN_MAX_BATCHED_TOKENS: u64 = 10_000_000;

/// Which ranks may take a request, whatever they have to do.
#[derive(Debug, Clone, Copy, Default)]
pub struct Conditions<'a> {
    /// The only workers that may; all when none.
    pub allowed_workers: Option<&'a [u64]>,
    /// Workers that may not.
    pub excluded_workers: &'a [u64],
    /// The only worker that may.
    pub pinned: Option<Pin>,
    /// Taints that the worker must have.
    pub required_taints: &'a [String],
}

/// When a rank counts as busy for a request that waits.
#[derive(Debug, Clone, Copy, Default)]
pub struct BusyAbove<'a> {
    /// With more prompt tokens to compute.
    pub prefill_tokens: Option<f64>,
    /// With more than so many times what it computes at once.
    pub prefill_share: Option<f64>,
    /// These are as full as those over their busy thresholds.
    pub out_of_order: &'a [u64],
}

/// How many of the ranks that may take a request have room for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// May take it.
    pub eligible: u32,
    /// Of them, busy for it or over their busy thresholds.
    pub busy: u32,
    /// Of them, over their busy thresholds or out of order.
    pub overloaded: u32,
}

impl Placement {
    /// Counts the ranks that may take a request and those that are too busy for it.
    #[must_use]
    pub fn occupancy(&self, conditions: &Conditions<'_>, above: &BusyAbove<'_>) -> Occupancy {
        let out_of_order = ascending(above.out_of_order);
        let mut counted = Occupancy::default();
        self.each_eligible(conditions, |at, is_overloaded| {
            let rank = self.fleet.ranks[at];
            let is_out = out_of_order.binary_search(&rank.worker_id).is_ok();
            counted.eligible += 1;
            if is_overloaded || is_out {
                counted.overloaded += 1;
                counted.busy += 1;
            } else if self.is_prefilling_much(at, above) {
                counted.busy += 1;
            }
        });
        counted
    }

    /// Most blocks of a prompt that the device of a rank holds which may take it.
    pub fn best_overlap(&mut self, prompt: Prompt<'_>, conditions: &Conditions<'_>) -> u32 {
        self.with_overlaps(prompt, |placement, overlaps| {
            let mut best = 0;
            placement.each_eligible(conditions, |at, _| best = best.max(overlaps.device[at]));
            best
        })
    }

    /// Calls `visit` with the position of every rank that may take a request, and whether it is over a busy threshold.
    fn each_eligible(&self, conditions: &Conditions<'_>, mut visit: impl FnMut(usize, bool)) {
        let required = numbers_of(&self.fleet, conditions.required_taints);
        let taints: Vec<&[u32]> = match required.as_slice() {
            [] => Vec::new(),
            _ => self.fleet.taints.iter().map(Vec::as_slice).collect(),
        };
        let allowed = conditions.allowed_workers.map(ascending);
        let excluded = ascending(conditions.excluded_workers);
        let eligibility = Eligibility {
            allowed_workers: allowed.as_deref(),
            excluded_workers: &excluded,
            pinned: conditions.pinned,
            dp_ranks: None,
            required_taints: &required,
        };
        let candidates = Candidates {
            ranks: &self.fleet.ranks,
            overloaded: &self.fleet.overloaded,
            taints: &taints,
            ..Candidates::default()
        };
        for at in 0..self.fleet.ranks.len() {
            match eligibility.rejection(&candidates, at) {
                None => visit(at, false),
                Some(Rejection::Overloaded) => visit(at, true),
                Some(_) => {}
            }
        }
    }

    #[allow(clippy::cast_precision_loss)] // token counts are far below 2^52
    fn is_prefilling_much(&self, at: usize, above: &BusyAbove<'_>) -> bool {
        let tokens = self.sequences.load(self.fleet.ranks[at]).prefill_tokens as f64;
        if above.prefill_tokens.is_some_and(|most| tokens > most) {
            return true;
        }
        let at_once = match self.fleet.max_batched_tokens[at] {
            0 => UNKNOWN_MAX_BATCHED_TOKENS,
            known => known,
        };
        above
            .prefill_share
            .is_some_and(|share| tokens > share * at_once as f64)
    }
}

/// The ids in ascending order, as they are searched.
pub(super) fn ascending(ids: &[u64]) -> Cow<'_, [u64]> {
    if ids.is_sorted() {
        return Cow::Borrowed(ids);
    }
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    Cow::Owned(sorted)
}
