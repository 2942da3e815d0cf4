//! Storing and removing the blocks of one rank in one tier: where they go in the tree, and who holds them.

use super::arena::Arena;
use super::holders::HolderKey;
use super::ranks::EngineTable;
use super::segment::{Block, NONE, Place};
use super::types::{ApplyStatus, StoredBlock};
use crate::next_sequence_hash;

/// Changes one rank's holdings in one tier.
pub(super) struct Writer<'a> {
    arena: &'a mut Arena,
    table: &'a mut EngineTable,
    key: HolderKey,
    tick: u32,
    /// Places whose engine hash came to mean another block.
    renamed: Vec<Place>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        arena: &'a mut Arena,
        table: &'a mut EngineTable,
        key: HolderKey,
        tick: u32,
    ) -> Self {
        Self {
            arena,
            table,
            key,
            tick,
            renamed: Vec::new(),
        }
    }

    /// Stores blocks after the one at `parent`; returns the place of the last one.
    pub(super) fn store(&mut self, parent: Option<Place>, blocks: &[StoredBlock]) -> Option<Place> {
        let last = self.walk(parent, blocks);
        for place in std::mem::take(&mut self.renamed) {
            self.release(place);
        }
        last
    }

    /// Removes blocks by engine hash.
    pub(super) fn remove(&mut self, engine_hashes: &[u64]) -> ApplyStatus {
        let mut status = ApplyStatus::Ok;
        for hash in engine_hashes {
            match self.table.places.remove(*hash) {
                Some(place) => self.release(place),
                None => status = ApplyStatus::BlockNotFound,
            }
        }
        status
    }

    fn walk(&mut self, parent: Option<Place>, blocks: &[StoredBlock]) -> Option<Place> {
        let parent = parent.map(|place| self.arena.resolve(place));
        let mut sequence = parent.and_then(|p| self.arena.block(p)).map(|b| b.sequence);
        let mut at = parent;
        let mut rest = blocks;
        while let Some(first) = rest.first() {
            let head = Block {
                sequence: next_sequence_hash(sequence, first.local_hash),
                local: first.local_hash,
            };
            let begin = step(self.arena, at, head);
            let taken = self.fill(begin, head, rest);
            let (stored, left) = rest.split_at(taken);
            self.hold(begin, stored);
            let last = Place {
                segment: begin.segment,
                depth: begin.depth + narrow(taken) - 1,
            };
            sequence = self.arena.block(last).map(|block| block.sequence);
            at = Some(last);
            rest = left;
        }
        at
    }

    /// With `rest[0]` in place at `begin`, goes on in the same segment, at its end by adding to it; returns how many
    /// blocks that covers.
    fn fill(&mut self, begin: Place, head: Block, rest: &[StoredBlock]) -> usize {
        let segment = self.arena.get(begin.segment);
        let known = &segment.blocks[(begin.depth - segment.start) as usize..];
        let mut sequence = head.sequence;
        let mut taken = 1;
        while taken < rest.len() && taken < known.len() {
            if rest[taken].local_hash != known[taken].local {
                return taken;
            }
            sequence = known[taken].sequence;
            taken += 1;
        }
        if taken == rest.len() || segment.children > 0 {
            return taken;
        }
        let added = rest[taken..].iter().map(|block| {
            sequence = next_sequence_hash(Some(sequence), block.local_hash);
            Block {
                sequence,
                local: block.local_hash,
            }
        });
        self.arena.append(begin.segment, added);
        rest.len()
    }

    /// Marks a run of blocks in one segment as held and notes their engine hashes.
    fn hold(&mut self, begin: Place, blocks: &[StoredBlock]) {
        let (key, to) = (self.key, narrow(blocks.len()));
        let segment = self.arena.get(begin.segment);
        segment.touch(self.tick);
        let from = begin.depth - segment.start;
        let before = self.arena.edit(begin.segment, |segment| {
            segment.holders.insert(key, from, from + to)
        });
        let held = |offset| {
            before
                .as_ref()
                .is_some_and(|before| before.contains(offset))
        };
        for (offset, block) in (from..).zip(blocks) {
            let place = Place {
                segment: begin.segment,
                depth: begin.depth + offset - from,
            };
            match self.table.places.insert(block.engine_hash, place) {
                None if held(offset) => self.add_alias(place),
                Some(old) if old != place && self.arena.resolve(old) != place => {
                    self.renamed.push(old);
                    if held(offset) {
                        self.add_alias(place);
                    }
                }
                None | Some(_) => {}
            }
        }
    }

    fn add_alias(&mut self, place: Place) {
        if let Some(block) = self.arena.block(place) {
            *self.table.aliases.entry(block.sequence).or_default() += 1;
        }
    }

    /// Gives up one engine hash's hold on a block.
    fn release(&mut self, place: Place) {
        let place = self.arena.resolve(place);
        if self.arena.is_doomed(place) {
            return;
        }
        if !self.table.aliases.is_empty()
            && let Some(block) = self.arena.block(place)
            && let Some(more) = self.table.aliases.get_mut(&block.sequence)
        {
            *more -= 1;
            if *more == 0 {
                self.table.aliases.remove(&block.sequence);
            }
            return;
        }
        let key = self.key;
        let is_last = self.arena.edit(place.segment, |segment| {
            let at = place.depth - segment.start;
            segment.holders.remove(key, at);
            at + 1 == segment.len() && !segment.holders.holds(at)
        });
        if is_last {
            self.arena.tidy(place.segment);
        }
    }
}

/// Moves from a block to the next one, which is made if it does not exist.
pub(super) fn step(arena: &mut Arena, at: Option<Place>, next: Block) -> Place {
    let mut parent = NONE;
    if let Some(at) = at.map(|place| arena.resolve(place)) {
        let depth = at.depth + 1;
        let segment = arena.get(at.segment);
        if depth < segment.end() {
            let offset = depth - segment.start;
            if segment.blocks[offset as usize].sequence == next.sequence {
                return Place { depth, ..at };
            }
            arena.split(at.segment, offset);
        } else if segment.children == 0 {
            arena.append(at.segment, std::iter::once(next));
            return Place { depth, ..at };
        }
        parent = at.segment;
    }
    let segment = arena
        .head(next.sequence)
        .unwrap_or_else(|| arena.grow_child(parent, vec![next]));
    Place {
        segment,
        depth: arena.get(segment).start,
    }
}

fn narrow(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
