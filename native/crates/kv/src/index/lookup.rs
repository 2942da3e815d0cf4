//! The search: walk the segments of the prompt and, at each, cut every rank's count where its run of blocks ends.
//!
//! A rank's run starts in its fastest tier that has the first block and may go on in slower ones, never back.

use super::arena::Arena;
use super::holders::Holder;
use super::matches::{Candidate, Match, Matches};
use super::ranks::{HIDDEN, Ranks};

pub(super) struct Lookup<'a> {
    pub(super) arena: &'a Arena,
    pub(super) ranks: &'a Ranks,
    pub(super) tick: u32,
}

impl Lookup<'_> {
    pub(super) fn run(&self, sequence: &[u64], early_exit: bool, matches: &mut Matches) {
        matches.clear();
        let mut depth = 0;
        while depth < sequence.len() {
            let rest = &sequence[depth..];
            let Some(number) = self.arena.head(rest[0]) else {
                return;
            };
            let segment = self.arena.get(number);
            let common = segment.common(rest);
            if common == 0 {
                return;
            }
            segment.touch(self.tick);
            matches.matched_depth = depth + common;
            let limit = u32::try_from(common).unwrap_or(u32::MAX);
            if depth == 0 {
                self.start(segment.holders.as_slice(), limit, matches);
            } else {
                narrow(segment.holders.as_slice(), limit, matches);
            }
            let left = matches.search.len();
            if left == 0 || common < segment.blocks.len() || (early_exit && left == 1) {
                return;
            }
            depth += common;
        }
    }

    /// Makes a row for every rank that holds the first block.
    fn start(&self, holders: &[Holder], limit: u32, matches: &mut Matches) {
        let Matches { rows, search, .. } = matches;
        rows.reserve(holders.len());
        search.reserve(holders.len());
        let mut rest = holders;
        while let Some(first) = rest.first() {
            let number = first.key >> 2;
            let (own, others) = rest.split_at(tiers_of(number, rest));
            rest = others;
            let rank = self.ranks.id(number);
            if rank == HIDDEN {
                continue;
            }
            let mut candidate = Candidate {
                rank: number,
                row: u32::try_from(rows.len()).unwrap_or(u32::MAX),
                tier: 0,
            };
            // Counted in place: a row built beside and copied costs a stall per holder.
            rows.push(Match {
                rank,
                blocks: [0; 4],
            });
            let row = &mut rows[candidate.row as usize];
            let run = advance(&mut candidate, row, own, limit);
            if run == 0 {
                rows.pop();
            }
            if run == limit {
                search.push(candidate);
            }
        }
    }
}

/// Keeps the candidates that hold the whole of a further segment. Both lists are sorted by rank, and each skips to where
/// the other one is: a prompt's tail has few holders, whoever holds its beginning.
fn narrow(holders: &[Holder], limit: u32, matches: &mut Matches) {
    let Matches { rows, search, .. } = matches;
    let (mut kept, mut next, mut rest) = (0, 0, holders);
    while let Some(first) = rest.first() {
        let number = first.key >> 2;
        next += search[next..].partition_point(|candidate| candidate.rank < number);
        let Some(mut candidate) = search.get(next).copied() else {
            break;
        };
        if candidate.rank > number {
            let skipped = rest.partition_point(|holder| holder.key >> 2 < candidate.rank);
            rest = &rest[skipped..];
            continue;
        }
        let (own, others) = rest.split_at(tiers_of(number, rest));
        rest = others;
        next += 1;
        let row = &mut rows[candidate.row as usize];
        if advance(&mut candidate, row, own, limit) == limit {
            search[kept] = candidate;
            kept += 1;
        }
    }
    search.truncate(kept);
}

/// How many of the first holders are tiers of this rank.
fn tiers_of(number: u32, holders: &[Holder]) -> usize {
    holders
        .iter()
        .take_while(|holder| holder.key >> 2 == number)
        .count()
}

/// Adds a rank's run within one segment to its row; returns its length.
fn advance(candidate: &mut Candidate, row: &mut Match, own: &[Holder], limit: u32) -> u32 {
    let mut from = 0;
    for holder in own {
        let tier = holder.key & 3;
        let run = holder.run(from, limit);
        if tier < candidate.tier || run == 0 {
            continue;
        }
        candidate.tier = tier;
        row.blocks[tier as usize] += run;
        from += run;
        if from == limit {
            break;
        }
    }
    from
}
