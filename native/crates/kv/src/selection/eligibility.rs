//! Who may be chosen at all, before any cost (RP 4.5).

use super::candidates::{Candidates, at};
use super::rejection::Rejection;
use crate::index::WorkerRank;

/// A worker that the request must run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// The worker.
    pub worker_id: u64,
    /// Its rank; any when none.
    pub dp_rank: Option<u32>,
}

impl Pin {
    /// Whether a rank is meant.
    #[must_use]
    pub fn covers(self, rank: WorkerRank) -> bool {
        self.worker_id == rank.worker_id && self.dp_rank.is_none_or(|dp| dp == rank.dp_rank)
    }
}

/// Hard conditions of one request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Eligibility<'a> {
    /// The only workers that may be chosen, ascending; all when none.
    pub allowed_workers: Option<&'a [u64]>,
    /// Workers that may not be chosen, ascending, such as those that failed this request before.
    pub excluded_workers: &'a [u64],
    /// The only worker that may be chosen.
    pub pinned: Option<Pin>,
    /// First rank and number of ranks that may be chosen; all when none.
    pub dp_ranks: Option<(u32, u32)>,
    /// Taints that a rank must have, ascending or not.
    pub required_taints: &'a [u32],
}

impl Eligibility<'_> {
    /// Why candidate `index` may not be chosen; overload is looked at last, so that it alone means "later perhaps".
    pub(crate) fn rejection(&self, candidates: &Candidates<'_>, index: usize) -> Option<Rejection> {
        let rank = candidates.ranks[index];
        let is_allowed = |allowed: &[u64]| allowed.binary_search(&rank.worker_id).is_ok();
        if !self.allowed_workers.is_none_or(is_allowed) {
            return Some(Rejection::NotAllowed);
        }
        let excluded = self.excluded_workers;
        if excluded.binary_search(&rank.worker_id).is_ok() {
            return Some(Rejection::Excluded);
        }
        if !self.pinned.is_none_or(|pin| pin.covers(rank)) {
            return Some(Rejection::NotPinned);
        }
        let is_in_range = |(start, count): (u32, u32)| {
            rank.dp_rank
                .checked_sub(start)
                .is_some_and(|offset| offset < count)
        };
        if !self.dp_ranks.is_none_or(is_in_range) {
            return Some(Rejection::RankOutOfRange);
        }
        let taints = candidates.taints_of(index);
        if !self
            .required_taints
            .iter()
            .all(|taint| taints.contains(taint))
        {
            return Some(Rejection::MissingTaint);
        }
        at(candidates.overloaded, index).then_some(Rejection::Overloaded)
    }
}
