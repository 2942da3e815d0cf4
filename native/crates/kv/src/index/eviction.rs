//! Keeping a byte budget: over it, the segments at the ends of prompts that were used longest ago go, whole.
//!
//! An eviction visits every segment and every table, which takes a second for ten million blocks, so it goes on in slices,
//! one with each stored event: how many blocks are how old, which of them go (they are doomed: gone for everyone who asks),
//! the tables' places in them, and at last the segments themselves. Nothing may be put where a known place is, so a
//! doomed segment's number is given to no other before that.

use super::arena::Arena;
use super::holders::HolderKey;
use super::ranks::{Ranks, tier_of};

/// Under a full budget this share is freed at once, so that evictions are rare.
const FREED_SHARE: usize = 8;
/// Memory is measured after this many stored blocks, or one in 32 of what is known when that is more.
const MEASURED_EVERY: usize = 1024;
/// Segments or places that are visited with each stored event, and with each of its blocks; some hundred places more when
/// the last of them are in a large shard. An index is 2 % over its budget when an eviction is through.
const VISITED_PER_EVENT: usize = 256;
const VISITED_PER_BLOCK: usize = 16;
/// Classes of age, of 32 magnitudes and sixteen parts of each.
const AGES: usize = 32 << AGE_BITS;
const AGE_BITS: u32 = 4;

#[derive(Debug, Default)]
pub(super) struct Budget {
    limit: Option<usize>,
    stored: usize,
    due_at: usize,
    evicted: u64,
    eviction: Option<Eviction>,
}

/// What a budget is kept of.
pub(super) struct Content<'a> {
    pub(super) arena: &'a mut Arena,
    pub(super) ranks: &'a mut Ranks,
    pub(super) now: u32,
}

impl Content<'_> {
    fn bytes(&self) -> usize {
        self.arena.bytes() + self.ranks.bytes()
    }
}

impl Budget {
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Notes an event's blocks, measures when it is time to, and goes on with an eviction.
    pub(super) fn note(&mut self, stored: usize, content: &mut Content<'_>) {
        let Some(limit) = self.limit else { return };
        self.stored += stored;
        if self.stored >= self.due_at && self.eviction.is_none() {
            self.measure(limit, limit, content);
        }
        let visits = VISITED_PER_EVENT.saturating_add(stored.saturating_mul(VISITED_PER_BLOCK));
        self.proceed(limit, content, visits);
    }

    /// Measures, and evicts to the end what is over the budget.
    pub(super) fn enforce(&mut self, content: &mut Content<'_>) {
        let Some(limit) = self.limit else { return };
        self.proceed(limit, content, usize::MAX);
        self.measure(limit, limit, content);
        self.proceed(limit, content, usize::MAX);
    }

    /// Begins to evict when there is more than `allowed`.
    fn measure(&mut self, limit: usize, allowed: usize, content: &Content<'_>) {
        self.stored = 0;
        self.due_at = MEASURED_EVERY.max(content.arena.blocks() / 32);
        if content.bytes() > allowed && content.arena.blocks() > 0 {
            self.eviction = Some(Eviction::new(limit - limit / FREED_SHARE, content.now));
        }
    }

    /// Goes on with an eviction, for about so many visits; `true` while there is more.
    pub(super) fn go_on(&mut self, visits: usize, content: &mut Content<'_>) -> bool {
        if let Some(limit) = self.limit {
            self.proceed(limit, content, visits);
        }
        self.eviction.is_some()
    }

    fn proceed(&mut self, limit: usize, content: &mut Content<'_>, mut visits: usize) {
        while let Some(eviction) = &mut self.eviction {
            if visits == 0 {
                return;
            }
            if eviction.step(content, &mut visits) {
                let (evicted, target) = (eviction.forgotten, eviction.target);
                let is_in_vain = eviction.doomed.is_empty();
                self.evicted += evicted;
                self.eviction = None;
                if !is_in_vain {
                    // What memory comes back cannot be told before.
                    self.measure(limit, target, content);
                }
            }
        }
    }
}

/// One eviction and how far it is.
#[derive(Debug)]
struct Eviction {
    /// Bytes that may be left.
    target: usize,
    /// When it began; what is used since is young.
    now: u32,
    phase: Phase,
    /// Segment, table or doomed segment that is next.
    next: u32,
    /// Shard of the table that is next.
    shard: usize,
    /// Blocks that could go, by age.
    ages: Vec<usize>,
    /// What is older goes, and `left` blocks of this age.
    age: usize,
    left: usize,
    doomed: Vec<u32>,
    forgotten: u64,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Weigh,
    Doom,
    Forget,
    Free,
}

impl Eviction {
    fn new(target: usize, now: u32) -> Self {
        Self {
            target,
            now,
            phase: Phase::Weigh,
            next: 0,
            shard: 0,
            ages: vec![0; AGES],
            age: 0,
            left: 0,
            doomed: Vec::new(),
            forgotten: 0,
        }
    }

    /// Visits one segment or shard; whether that was the last.
    fn step(&mut self, content: &mut Content<'_>, visits: &mut usize) -> bool {
        *visits -= 1;
        let next = self.next;
        self.next += 1;
        match self.phase {
            Phase::Weigh if next < content.arena.len() => self.weigh(content, next),
            Phase::Weigh => {
                self.choose(content);
                self.enter(Phase::Doom);
            }
            Phase::Doom if next < content.arena.len() => self.doom(content, next),
            Phase::Doom => self.enter(Phase::Forget),
            Phase::Forget if next < content.ranks.keys() => {
                let visited = self.forget(content, next);
                *visits = visits.saturating_sub(visited);
            }
            Phase::Forget => self.enter(Phase::Free),
            Phase::Free => {
                let Some(&segment) = self.doomed.get(next as usize) else {
                    content.arena.shrink();
                    return true;
                };
                content.arena.free_doomed(segment);
            }
        }
        false
    }

    fn enter(&mut self, phase: Phase) {
        (self.phase, self.next, self.shard) = (phase, 0, 0);
    }

    fn weigh(&mut self, content: &Content<'_>, segment: u32) {
        if let Some((age, blocks)) = leaf(content.arena, segment, self.now) {
            self.ages[age] += blocks;
        }
    }

    /// Finds the age from which on there is enough to go.
    fn choose(&mut self, content: &Content<'_>) {
        let bytes = content.bytes();
        let over = bytes.saturating_sub(self.target);
        let wanted = (over.saturating_mul(content.arena.blocks()) / bytes.max(1)).max(1);
        let mut older = 0;
        for (age, blocks) in self.ages.iter().enumerate().rev() {
            self.age = age;
            if older + blocks >= wanted {
                break;
            }
            older += blocks;
        }
        self.left = wanted - older.min(wanted);
    }

    fn doom(&mut self, content: &mut Content<'_>, segment: u32) {
        let Some((age, blocks)) = leaf(content.arena, segment, self.now) else {
            return;
        };
        if age < self.age || (age == self.age && self.left == 0) {
            return;
        }
        if age == self.age {
            self.left = self.left.saturating_sub(blocks);
        }
        forget_aliases(content, segment);
        content.arena.doom(segment);
        self.doomed.push(segment);
    }

    /// Forgets the places in doomed segments of one shard; returns how many places there were.
    fn forget(&mut self, content: &mut Content<'_>, key: HolderKey) -> usize {
        let Content { arena, ranks, .. } = content;
        let Some(table) = ranks.table_mut(key >> 2, tier_of(key)) else {
            return 0;
        };
        let gone = table.places.retain_in(self.shard, |_, place| {
            let place = arena.resolve(*place);
            !arena.is_doomed(place)
        });
        self.forgotten += gone as u64;
        self.shard += 1;
        if self.shard < table.places.shards() {
            self.next = key;
        } else {
            self.shard = 0;
        }
        table.places.len() / table.places.shards().max(1)
    }
}

/// Class of age and blocks of a segment that nothing follows.
fn leaf(arena: &Arena, segment: u32, now: u32) -> Option<(usize, usize)> {
    let leaf = arena.get(segment);
    let is_free = leaf.is_live() && leaf.children == 0 && !leaf.is_doomed;
    let age = now.saturating_sub(leaf.last_touched());
    is_free.then(|| (age_class(age), leaf.blocks.len()))
}

/// Ages are told apart by their magnitude and four more bits.
fn age_class(age: u32) -> usize {
    let age = age.saturating_add(1);
    let magnitude = age.ilog2();
    let more = if magnitude >= AGE_BITS {
        age >> (magnitude - AGE_BITS)
    } else {
        age << (AGE_BITS - magnitude)
    };
    (magnitude << AGE_BITS | more & ((1 << AGE_BITS) - 1)) as usize
}

/// What a holder of the segment knows twice it holds no more.
fn forget_aliases(content: &mut Content<'_>, segment: u32) {
    let Content { arena, ranks, .. } = content;
    let segment = arena.get(segment);
    for holder in segment.holders.as_slice() {
        if let Some(table) = ranks.table_mut(holder.key >> 2, tier_of(holder.key))
            && !table.aliases.is_empty()
        {
            for block in &segment.blocks {
                table.aliases.remove(&block.sequence);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_is_never_a_younger_class() {
        let ages = [
            0,
            1,
            2,
            3,
            15,
            16,
            17,
            31,
            32,
            33,
            1000,
            1100,
            1 << 20,
            u32::MAX,
        ];
        let classes = ages.map(age_class);
        assert!(classes.is_sorted(), "{classes:?}");
        assert!(classes[13] < AGES);
        assert!(age_class(0) < age_class(1) && age_class(1000) < age_class(1100));
    }
}
