//! Ids of text segments seen before, within a byte budget.
//!
//! A segment is the text between two safe cuts, so its ids are the same wherever it stands: the turns of a conversation
//! and a shared system prompt are found again whatever comes after them. The text itself is compared, so a hash collision
//! costs a miss and never gives wrong ids. The least recently used segments go first.
use std::sync::{Arc, Mutex, PoisonError};

use lru::LruCache;
use xxhash_rust::xxh3::xxh3_64;

/// Shorter segments are tokenised faster than they are looked up.
const MIN_SEGMENT_BYTES: usize = 48;
/// Bookkeeping per entry: two allocations, the list node and the table slot.
const ENTRY_OVERHEAD_BYTES: usize = 128;

struct Segment {
    text: Box<str>,
    ids: Arc<[u32]>,
}

impl Segment {
    fn size_bytes(&self) -> usize {
        self.text.len() + self.ids.len() * 4 + ENTRY_OVERHEAD_BYTES
    }
}

struct Entries {
    by_hash: LruCache<u64, Segment>,
    size_bytes: usize,
}

/// Cache of segment ids, shared between threads.
pub(crate) struct SegmentCache {
    entries: Mutex<Entries>,
    budget_bytes: usize,
}

impl SegmentCache {
    pub fn new(budget_bytes: usize) -> Self {
        let entries = Entries {
            by_hash: LruCache::unbounded(),
            size_bytes: 0,
        };
        Self {
            entries: Mutex::new(entries),
            budget_bytes,
        }
    }

    /// Whether a segment of this length is worth remembering.
    pub fn takes(&self, segment: &str) -> bool {
        (MIN_SEGMENT_BYTES..self.budget_bytes / 2).contains(&segment.len())
    }

    /// Ids of a segment seen before.
    pub fn get(&self, segment: &str) -> Option<Arc<[u32]>> {
        let hash = xxh3_64(segment.as_bytes());
        let mut entries = self.lock();
        let found = entries.by_hash.get(&hash)?;
        (*found.text == *segment).then(|| Arc::clone(&found.ids))
    }

    /// Remembers a segment and drops the least recently used ones over the budget.
    pub fn put(&self, segment: &str, ids: &[u32]) {
        let hash = xxh3_64(segment.as_bytes());
        let segment = Segment {
            text: segment.into(),
            ids: ids.into(),
        };
        let mut entries = self.lock();
        entries.size_bytes += segment.size_bytes();
        if let Some(replaced) = entries.by_hash.put(hash, segment) {
            entries.size_bytes -= replaced.size_bytes();
        }
        while entries.size_bytes > self.budget_bytes {
            let Some((_, oldest)) = entries.by_hash.pop_lru() else {
                break;
            };
            entries.size_bytes -= oldest.size_bytes();
        }
    }

    /// Bytes held now.
    pub fn size_bytes(&self) -> usize {
        self.lock().size_bytes
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Entries> {
        // Every change leaves the entries usable, so a panic elsewhere does not spoil them.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(number: usize) -> String {
        format!("{number:0>100}")
    }

    #[test]
    fn the_least_recently_used_segment_goes_first() {
        let one = text(0).len() + 4 + ENTRY_OVERHEAD_BYTES;
        let cache = SegmentCache::new(one * 3);
        for number in 0..3 {
            cache.put(&text(number), &[7]);
        }
        assert!(cache.get(&text(0)).is_some());
        cache.put(&text(3), &[7]);
        assert!(cache.get(&text(1)).is_none());
        assert!(cache.get(&text(0)).is_some());
        assert_eq!(cache.size_bytes(), one * 3);
    }

    #[test]
    fn putting_the_same_segment_again_does_not_grow_the_cache() {
        let cache = SegmentCache::new(1 << 20);
        cache.put(&text(1), &[1, 2]);
        let size = cache.size_bytes();
        cache.put(&text(1), &[1, 2]);
        assert_eq!(cache.size_bytes(), size);
    }

    #[test]
    fn segments_over_half_the_budget_are_not_taken() {
        let cache = SegmentCache::new(400);
        assert!(cache.takes(&text(1)));
        assert!(!cache.takes(&"x".repeat(300)));
    }
}
