//! The choice among candidates whose costs are known.

use super::candidates::Candidates;
use super::cost::{CandidateCost, float};
use super::mode::SelectionMode;
use super::random::SeededRandom;
use super::request::{SelectRequest, SelectionReason};

/// A choice: position among the candidates, and why.
pub(super) type Choice = (usize, SelectionReason);

/// Chooses; notes in the costs how likely each candidate was.
pub(super) struct Chooser<'a> {
    pub(super) request: &'a SelectRequest<'a>,
    pub(super) candidates: &'a Candidates<'a>,
    /// Positions of those that may be chosen; not empty.
    pub(super) eligible: &'a [usize],
    pub(super) costs: Vec<CandidateCost>,
    pub(super) random: &'a mut SeededRandom,
}

impl Chooser<'_> {
    pub(super) fn choose(&mut self, temperature: f64) -> Choice {
        if let Some(choice) = self.preferred() {
            return choice;
        }
        if let [only] = self.eligible {
            let reason = match self.request.eligibility.pinned {
                Some(_) => SelectionReason::Pinned,
                None => SelectionReason::Only,
            };
            return self.certain(*only, reason);
        }
        match self.request.mode {
            SelectionMode::Kv if temperature > 0.0 => self.sample(temperature),
            SelectionMode::Kv => self.lowest(self.eligible, SelectionReason::LowestCost),
            SelectionMode::LeastLoaded => self.lowest(self.eligible, SelectionReason::LeastLoaded),
            SelectionMode::RoundRobin => {
                let turn = self.request.turn % self.eligible.len() as u64;
                let at = usize::try_from(turn).unwrap_or(0);
                self.certain(self.eligible[at], SelectionReason::RoundRobin)
            }
            SelectionMode::Random => {
                self.spread_evenly(self.eligible);
                (self.draw(self.eligible.len()), SelectionReason::Random)
            }
            SelectionMode::PowerOfTwo => self.better_of_two(),
        }
    }

    /// The preferred rank, or the best one of the preferred worker's.
    fn preferred(&mut self) -> Option<Choice> {
        let preferred = self.request.preferred?;
        let mine: Vec<usize> = self
            .eligible
            .iter()
            .copied()
            .filter(|index| preferred.covers(self.candidates.ranks[*index]))
            .collect();
        match mine.as_slice() {
            [] => None,
            [one] => Some(self.certain(*one, SelectionReason::Preferred)),
            several => {
                let (index, _) = self.lowest(several, SelectionReason::Preferred);
                Some((index, SelectionReason::Preferred))
            }
        }
    }

    fn certain(&mut self, index: usize, reason: SelectionReason) -> Choice {
        self.costs[index].probability = 1.0;
        (index, reason)
    }

    /// The lowest cost; equal ones by reservoir sampling.
    fn lowest(&mut self, among: &[usize], reason: SelectionReason) -> Choice {
        let mut best = among[0];
        let mut ties = 1;
        for &index in &among[1..] {
            let order = self.costs[index].cost.total_cmp(&self.costs[best].cost);
            if order.is_lt() {
                (best, ties) = (index, 1);
            } else if order.is_eq() {
                ties += 1;
                if self.random.below(ties) == 0 {
                    best = index;
                }
            }
        }
        let lowest = self.costs[best].cost;
        for &index in among {
            if self.costs[index].cost.total_cmp(&lowest).is_eq() {
                self.costs[index].probability = 1.0 / float(ties);
            }
        }
        match ties {
            1 => (best, reason),
            _ => (best, SelectionReason::Tie),
        }
    }

    /// Softmax over the costs, scaled to their range: p ∝ exp(−(c − min) / ((max − min) · T)).
    fn sample(&mut self, temperature: f64) -> Choice {
        let costs = &mut self.costs;
        // Halves, because the range of two finite numbers may not be finite.
        let half = |index: usize, costs: &[CandidateCost]| costs[index].cost / 2.0;
        let halves = self.eligible.iter().map(|index| half(*index, costs));
        let (min, max) = halves.fold((f64::INFINITY, f64::NEG_INFINITY), |(min, max), cost| {
            (min.min(cost), max.max(cost))
        });
        let mut total = 0.0;
        for &index in self.eligible {
            let position = if max > min {
                (half(index, costs) - min) / (max - min)
            } else {
                0.0
            };
            let weight = (-position / temperature).exp();
            costs[index].probability = weight;
            total += weight;
        }
        // The lowest cost weighs 1, so the total is at least that.
        for &index in self.eligible {
            costs[index].probability /= total;
        }
        let mut left = self.random.unit();
        for &index in self.eligible {
            left -= costs[index].probability;
            if left < 0.0 {
                return (index, SelectionReason::Sampled);
            }
        }
        let last = self.eligible[self.eligible.len() - 1];
        (last, SelectionReason::Sampled)
    }

    fn better_of_two(&mut self) -> Choice {
        let first = self.draw(self.eligible.len());
        let mut second = self.draw(self.eligible.len() - 1);
        if second == first {
            second = self.eligible[self.eligible.len() - 1];
        }
        self.spread_evenly(&[first, second]);
        let better = if self.costs[second].cost < self.costs[first].cost {
            second
        } else {
            first
        };
        (better, SelectionReason::PowerOfTwo)
    }

    /// One of the first `count` that may be chosen.
    fn draw(&mut self, count: usize) -> usize {
        let at = self.random.below(count as u64);
        self.eligible[usize::try_from(at).unwrap_or(0)]
    }

    fn spread_evenly(&mut self, among: &[usize]) {
        for &index in among {
            self.costs[index].probability = 1.0 / float(among.len() as u64);
        }
    }
}
