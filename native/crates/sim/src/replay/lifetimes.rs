//! Which workers there are when a request comes: a fleet whose workers were restarted had new ones, not more of them.

/// The requests of a trace, by position, for which a worker exists: from the first one to the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetime {
    /// Position of the first request that it may take.
    pub first: usize,
    /// Position of the last request that it may take.
    pub last: usize,
}

/// A worker by number, and whether it comes or goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Comes(u32),
    Goes(u32),
}

/// Comings and goings in order.
#[derive(Debug)]
pub(super) struct Roster {
    /// (position of the request before which it happens, what).
    changes: Vec<(usize, Change)>,
    next: usize,
}

impl Roster {
    /// Workers that exist for the whole trace when `lifetimes` is empty.
    pub(super) fn new(workers: u32, lifetimes: &[Lifetime]) -> Self {
        let mut changes: Vec<(usize, Change)> = Vec::new();
        for worker in 0..workers {
            let Some(life) = lifetimes.get(worker as usize) else {
                changes.push((0, Change::Comes(worker)));
                continue;
            };
            changes.push((life.first, Change::Comes(worker)));
            changes.push((life.last.saturating_add(1), Change::Goes(worker)));
        }
        // Who takes over is there before the other one leaves.
        changes.sort_by_key(|&(at, change)| (at, matches!(change, Change::Goes(_))));
        Self { changes, next: 0 }
    }

    /// What happens before the request at a position, one at a time.
    pub(super) fn next_before(&mut self, position: usize) -> Option<Change> {
        let &(at, change) = self.changes.get(self.next)?;
        if at > position {
            return None;
        }
        self.next += 1;
        Some(change)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upto(roster: &mut Roster, position: usize) -> Vec<Change> {
        std::iter::from_fn(|| roster.next_before(position)).collect()
    }

    #[test]
    fn workers_come_before_their_first_request_and_go_after_their_last() {
        let lives = [
            Lifetime { first: 0, last: 1 },
            Lifetime { first: 0, last: 9 },
            Lifetime { first: 2, last: 9 },
        ];
        let mut roster = Roster::new(3, &lives);
        assert_eq!(upto(&mut roster, 0), [Change::Comes(0), Change::Comes(1)]);
        assert_eq!(upto(&mut roster, 1), []);
        assert_eq!(upto(&mut roster, 5), [Change::Comes(2), Change::Goes(0)]);
        assert_eq!(upto(&mut roster, 9), []);
    }

    #[test]
    fn all_are_there_from_the_start_without_lifetimes() {
        let mut roster = Roster::new(2, &[]);
        assert_eq!(upto(&mut roster, 0), [Change::Comes(0), Change::Comes(1)]);
        assert_eq!(upto(&mut roster, usize::MAX), []);
    }
}
