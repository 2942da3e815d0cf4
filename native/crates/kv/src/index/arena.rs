//! The segments, and the table that finds a segment by the sequence hash of its first block.

use super::holders::Holders;
use super::segment::{Block, NONE, Place, Segment};
use super::sharded_map::ShardedMap;

#[derive(Debug, Default)]
pub(super) struct Arena {
    segments: Vec<Segment>,
    free: Vec<u32>,
    heads: ShardedMap<u32>,
    blocks: usize,
    /// Bytes that segments have beside their own; see [`Arena::edit`].
    heap: usize,
}

impl Arena {
    pub(super) fn get(&self, segment: u32) -> &Segment {
        &self.segments[segment as usize]
    }

    /// Changes a segment, which may take more or less memory then.
    pub(super) fn edit<T>(&mut self, segment: u32, change: impl FnOnce(&mut Segment) -> T) -> T {
        let segment = self.get_mut(segment);
        let before = segment.bytes();
        let result = change(segment);
        let after = segment.bytes();
        self.heap = self.heap + after - before;
        result
    }

    /// Whether the number has ever been given, or is again.
    pub(super) fn has(&self, segment: u32) -> bool {
        (segment as usize) < self.segments.len()
    }

    pub(super) fn head(&self, sequence: u64) -> Option<u32> {
        self.heads.get(sequence).copied()
    }

    pub(super) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Numbers given so far, of live and freed segments.
    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.segments.len()).unwrap_or(u32::MAX)
    }

    /// Whether the block at a resolved place is waiting to be freed.
    pub(super) fn is_doomed(&self, place: Place) -> bool {
        self.get(place.segment).is_doomed
    }

    /// Follows forwarding notes to the segment that now has the block.
    pub(super) fn resolve(&self, mut place: Place) -> Place {
        loop {
            let segment = self.get(place.segment);
            if place.depth < segment.end() {
                return place;
            }
            let next = segment
                .forwards
                .iter()
                .filter(|(depth, _)| *depth <= place.depth)
                .max_by_key(|(depth, _)| *depth);
            match next {
                Some(&(_, segment)) => place.segment = segment,
                None => return place,
            }
        }
    }

    pub(super) fn block(&self, place: Place) -> Option<Block> {
        let segment = self.get(place.segment);
        let at = place.depth.checked_sub(segment.start)?;
        segment.blocks.get(at as usize).copied()
    }

    /// A new segment after `parent` ([`NONE`]: at the start of prompts).
    pub(super) fn grow_child(&mut self, parent: u32, blocks: Vec<Block>) -> u32 {
        let start = if parent == NONE {
            0
        } else {
            self.get_mut(parent).children += 1;
            self.get(parent).end()
        };
        self.blocks += blocks.len();
        self.place(Segment::new(start, parent, blocks))
    }

    /// Adds blocks at the end of a segment that nothing follows yet.
    pub(super) fn append(&mut self, segment: u32, blocks: impl Iterator<Item = Block>) {
        self.blocks += self.edit(segment, |segment| {
            let before = segment.blocks.len();
            segment.blocks.extend(blocks);
            segment.blocks.len() - before
        });
    }

    /// Cuts a segment in two before its block `at`; the first part keeps the number.
    pub(super) fn split(&mut self, segment: u32, at: u32) {
        let tail = self.edit(segment, |head| {
            let blocks = head.blocks.split_off(at as usize);
            let mut tail = Segment::new(head.start + at, segment, blocks);
            tail.holders = head.holders.split_off(at);
            tail.children = head.children;
            tail.origin = segment;
            tail.touch(head.last_touched());
            head.children = 1;
            tail
        });
        let depth = tail.start;
        let tail = self.place(tail);
        self.edit(segment, |head| head.forwards.push((depth, tail)));
    }

    /// The segment before this one. The recorded parent may have been split since; forwarding finds the right part.
    pub(super) fn parent(&self, segment: u32) -> u32 {
        let child = self.get(segment);
        if child.parent == NONE {
            return NONE;
        }
        self.resolve(Place {
            segment: child.parent,
            depth: child.start - 1,
        })
        .segment
    }

    /// After a removal: cuts off blocks at the end that nobody holds, and frees the segment, and then its parents, when
    /// nothing is left. A segment that others follow stays whole: they may become reachable again.
    pub(super) fn tidy(&mut self, mut segment: u32) {
        while segment != NONE {
            let current = self.get(segment);
            if !current.is_live() || current.children > 0 {
                return;
            }
            let held = current.holders.end();
            if held > 0 {
                self.blocks -= self.edit(segment, |current| {
                    let cut = current.blocks.len().saturating_sub(held as usize);
                    current.blocks.truncate(held as usize);
                    if current.blocks.capacity() > 4 * current.blocks.len().max(4) {
                        current.blocks.shrink_to_fit();
                    }
                    cut
                });
                return;
            }
            segment = self.release(segment);
        }
    }

    /// Takes a segment that nothing follows away from everyone who asks. Its number stays in use until
    /// [`Self::free_doomed`], because places in it are still known.
    pub(super) fn doom(&mut self, segment: u32) {
        if let Some(first) = self.get(segment).blocks.first() {
            let head = first.sequence;
            if self.head(head) == Some(segment) {
                self.heads.remove(head);
            }
        }
        self.edit(segment, |segment| {
            segment.is_doomed = true;
            segment.holders = Holders::default();
        });
    }

    /// Frees a doomed segment that no place is in any more.
    pub(super) fn free_doomed(&mut self, segment: u32) {
        self.get_mut(segment).is_doomed = false;
        self.tidy(segment);
    }

    /// Gives memory back after many segments went. Numbers stay what they are, so only the end of the list can go.
    pub(super) fn shrink(&mut self) {
        while self.segments.last().is_some_and(|last| !last.is_live()) {
            self.segments.pop();
        }
        let count = self.segments.len();
        self.free.retain(|&number| (number as usize) < count);
        self.segments.shrink_to(count + count / 8);
        self.free.shrink_to_fit();
    }

    pub(super) fn bytes(&self) -> usize {
        self.segments.capacity() * size_of::<Segment>()
            + self.heap
            + self.free.capacity() * 4
            + self.heads.bytes()
    }

    fn place(&mut self, segment: Segment) -> u32 {
        let head = segment.blocks[0].sequence;
        self.heap += segment.bytes();
        let number = if let Some(number) = self.free.pop() {
            self.segments[number as usize] = segment;
            number
        } else {
            self.segments.push(segment);
            u32::try_from(self.segments.len() - 1).unwrap_or(NONE)
        };
        self.heads.insert(head, number);
        number
    }

    /// Frees a segment; returns its parent.
    fn release(&mut self, segment: u32) -> u32 {
        let parent = self.parent(segment);
        let freed = std::mem::replace(self.get_mut(segment), Segment::new(0, NONE, Vec::new()));
        self.blocks -= freed.blocks.len();
        self.heap -= freed.bytes();
        let head = freed.blocks[0].sequence;
        if self.head(head) == Some(segment) {
            self.heads.remove(head);
        }
        self.free.push(segment);
        if freed.origin != NONE {
            self.get_mut(freed.origin)
                .forwards
                .retain(|(_, to)| *to != segment);
        }
        if parent != NONE {
            self.get_mut(parent).children -= 1;
        }
        parent
    }

    /// For changes that take no memory.
    fn get_mut(&mut self, segment: u32) -> &mut Segment {
        &mut self.segments[segment as usize]
    }
}
