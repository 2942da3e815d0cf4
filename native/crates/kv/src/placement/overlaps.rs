//! How much of a prompt each candidate holds, as the lists that a choice reads.

use super::fleet::Fleet;
use super::source::Source;
use crate::index::{CacheTier, Match, Matches};

/// Entry `i` of every list belongs to rank `i` of the fleet. Kept and filled again for each prompt.
#[derive(Debug, Default)]
pub(super) struct Overlaps {
    pub(super) device: Vec<u32>,
    pub(super) host: Vec<u32>,
    pub(super) disk: Vec<u32>,
    /// Blocks of all tiers that the rank's own events vouch for.
    pub(super) confirmed: Vec<u32>,
    pub(super) matches: Matches,
}

impl Overlaps {
    pub(super) fn reset(&mut self, ranks: usize) {
        for list in [
            &mut self.device,
            &mut self.host,
            &mut self.disk,
            &mut self.confirmed,
        ] {
            list.clear();
            list.resize(ranks, 0);
        }
    }

    /// Takes over what the last search of the workers' own events found.
    pub(super) fn take_confirmed(&mut self, fleet: &Fleet, sources: &[Source]) {
        let matches = std::mem::take(&mut self.matches);
        for row in matches.rows() {
            if let Some(at) = fleet.position(row.rank)
                && sources[at] != Source::Routing
            {
                self.put(at, row);
                if sources[at] == Source::Events {
                    self.confirmed[at] = self.total(at);
                }
            }
        }
        self.matches = matches;
    }

    /// Takes over what the last search of routed prompts found, where it is longer.
    pub(super) fn take_longer(&mut self, fleet: &Fleet, concerns: impl Fn(usize) -> bool) {
        let matches = std::mem::take(&mut self.matches);
        for row in matches.rows() {
            if let Some(at) = fleet.position(row.rank)
                && concerns(at)
                && row.total_blocks() > self.total(at)
            {
                self.put(at, row);
            }
        }
        self.matches = matches;
    }

    fn total(&self, at: usize) -> u32 {
        self.device[at] + self.host[at] + self.disk[at]
    }

    fn put(&mut self, at: usize, row: &Match) {
        self.device[at] = row.device_blocks();
        self.host[at] = row.blocks[CacheTier::Host.index()];
        self.disk[at] = row.blocks[CacheTier::Disk.index()];
    }
}
