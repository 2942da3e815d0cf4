//! Who holds which blocks of one segment. Caches are emptied from the end, so a holder is nearly always a prefix
//! length; a bitmap replaces it while there are holes.

/// A rank and tier as one sortable number: `rank << 2 | tier`.
pub(super) type HolderKey = u32;

#[derive(Debug, Clone)]
pub(super) struct Holder {
    pub(super) key: HolderKey,
    /// Blocks held when there are no holes; otherwise one past the last held block.
    end: u32,
    #[allow(clippy::box_collection)] // one word instead of three in the common case
    holes: Option<Box<Vec<u64>>>,
}

impl Holder {
    fn new(key: HolderKey) -> Self {
        Self {
            key,
            end: 0,
            holes: None,
        }
    }

    /// One past the last held block.
    pub(super) fn end(&self) -> u32 {
        self.end
    }

    pub(super) fn contains(&self, at: u32) -> bool {
        at < self.end && self.holes.as_ref().is_none_or(|bits| bit(bits, at))
    }

    /// How many blocks in a row are held from `from`, not counting any at or after `limit`.
    pub(super) fn run(&self, from: u32, limit: u32) -> u32 {
        let end = self.end.min(limit);
        match &self.holes {
            None => end.saturating_sub(from),
            Some(bits) => (from..end)
                .take_while(|&at| bit(bits, at))
                .fold(0, |n, _| n + 1),
        }
    }

    fn overlaps(&self, from: u32, to: u32) -> bool {
        match &self.holes {
            None => from < self.end && from < to,
            Some(_) => (from..to.min(self.end)).any(|at| self.contains(at)),
        }
    }

    fn insert(&mut self, from: u32, to: u32) {
        if self.holes.is_none() && from <= self.end {
            self.end = self.end.max(to);
            return;
        }
        let end = self.end.max(to);
        let bits = self.bitmap(end);
        for at in from..to {
            bits[(at / 64) as usize] |= 1 << (at % 64);
        }
        self.end = end;
        self.settle();
    }

    fn remove(&mut self, at: u32) {
        if !self.contains(at) {
            return;
        }
        if self.holes.is_none() && at + 1 == self.end {
            self.end -= 1;
            return;
        }
        let end = self.end;
        let bits = self.bitmap(end);
        bits[(at / 64) as usize] &= !(1 << (at % 64));
        self.settle();
    }

    /// The bitmap, made from the prefix length if need be, with room for `end` blocks.
    fn bitmap(&mut self, end: u32) -> &mut Vec<u64> {
        let held = self.end;
        let bits = self.holes.get_or_insert_with(|| {
            let mut bits = vec![0; end.div_ceil(64) as usize];
            for at in 0..held {
                bits[(at / 64) as usize] |= 1 << (at % 64);
            }
            Box::new(bits)
        });
        if bits.len() < end.div_ceil(64) as usize {
            bits.resize(end.div_ceil(64) as usize, 0);
        }
        bits
    }

    /// Moves the end back over trailing holes, and back to a plain prefix when there are none left.
    fn settle(&mut self) {
        let Some(bits) = &self.holes else { return };
        while self.end > 0 && !bit(bits, self.end - 1) {
            self.end -= 1;
        }
        if (0..self.end).all(|at| bit(bits, at)) {
            self.holes = None;
        }
    }

    /// Splits at `at`: keeps what is before it and returns what is after it, counted from there.
    fn split_off(&mut self, at: u32) -> Option<Self> {
        let mut tail = Self::new(self.key);
        if self.end > at {
            match &self.holes {
                None => tail.end = self.end - at,
                Some(_) => (at..self.end)
                    .filter(|&block| self.contains(block))
                    .for_each(|block| tail.insert(block - at, block - at + 1)),
            }
            self.end = at;
            self.settle();
        }
        (tail.end > 0).then_some(tail)
    }

    fn bytes(&self) -> usize {
        self.holes
            .as_ref()
            .map_or(0, |bits| 24 + bits.capacity() * 8)
    }
}

fn bit(bits: &[u64], at: u32) -> bool {
    bits.get((at / 64) as usize)
        .is_some_and(|word| word >> (at % 64) & 1 == 1)
}

/// The holders of a segment, sorted by key.
#[derive(Debug, Clone, Default)]
pub(super) struct Holders {
    list: Vec<Holder>,
    /// Bytes of all bitmaps, so that nobody has to add them up.
    hole_bytes: usize,
}

impl Holders {
    pub(super) fn as_slice(&self) -> &[Holder] {
        &self.list
    }

    /// Adds the blocks `from..to`; returns what the key held before when that overlaps with them.
    pub(super) fn insert(&mut self, key: HolderKey, from: u32, to: u32) -> Option<Holder> {
        let at = match self.position(key) {
            Ok(at) => at,
            Err(at) => {
                if self.list.capacity() == 0 {
                    self.list.reserve_exact(1);
                }
                self.list.insert(at, Holder::new(key));
                at
            }
        };
        let holder = &self.list[at];
        let before = holder.overlaps(from, to).then(|| holder.clone());
        self.change(at, |holder| holder.insert(from, to));
        before
    }

    pub(super) fn remove(&mut self, key: HolderKey, block: u32) {
        if let Ok(at) = self.position(key) {
            self.change(at, |holder| holder.remove(block));
            if self.list[at].end == 0 {
                self.list.remove(at);
            }
        }
    }

    /// Whether there was something to remove.
    pub(super) fn remove_all(&mut self, key: HolderKey) -> bool {
        let at = self.position(key);
        if let Ok(at) = at {
            self.hole_bytes -= self.list.remove(at).bytes();
        }
        at.is_ok()
    }

    pub(super) fn split_off(&mut self, at: u32) -> Self {
        let tail = self.list.iter_mut().filter_map(|h| h.split_off(at));
        let tail: Vec<_> = tail.collect();
        self.list.retain(|holder| holder.end > 0);
        let holes = |list: &[Holder]| list.iter().map(Holder::bytes).sum();
        self.hole_bytes = holes(&self.list);
        Self {
            hole_bytes: holes(&tail),
            list: tail,
        }
    }

    /// One past the last block that anyone holds.
    pub(super) fn end(&self) -> u32 {
        self.list.iter().map(Holder::end).max().unwrap_or(0)
    }

    pub(super) fn holds(&self, block: u32) -> bool {
        self.list.iter().any(|holder| holder.end > block)
    }

    pub(super) fn bytes(&self) -> usize {
        self.list.capacity() * size_of::<Holder>() + self.hole_bytes
    }

    fn change(&mut self, at: usize, change: impl FnOnce(&mut Holder)) {
        let holder = &mut self.list[at];
        let before = holder.bytes();
        change(holder);
        self.hole_bytes = self.hole_bytes + holder.bytes() - before;
    }

    fn position(&self, key: HolderKey) -> Result<usize, usize> {
        self.list.binary_search_by_key(&key, |holder| holder.key)
    }
}
