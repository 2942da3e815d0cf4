//! A hash table of 64-bit keys that never stops to grow: it is made of small tables, and grows by splitting one of them.
//! (Linear hashing. A plain table of a million keys stands still for tens of milliseconds when it doubles.)

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault};

use super::hash_table::{Mix, Mixer, table_bytes};

type Shard<V> = HashMap<u64, V, Mixer>;

/// Keys of a shard on the average when the next one is split. A table of 2,048 slots takes 1,792, one of 4,096 twice as
/// many: split shards stay under the one, those that wait for their turn under the other.
const SHARD_KEYS: usize = 1_700;

/// Share of its keys for which a shard that is built again has room at least, so that this is not soon to be done again.
const ROOM_SHARE: usize = 32;

#[derive(Debug)]
pub(crate) struct ShardedMap<V> {
    /// None before the first key.
    shards: Vec<Shard<V>>,
    len: usize,
}

impl<V> Default for ShardedMap<V> {
    fn default() -> Self {
        Self {
            shards: Vec::new(),
            len: 0,
        }
    }
}

impl<V> ShardedMap<V> {
    /// With room for that many keys.
    pub(crate) fn with_capacity(keys: usize) -> Self {
        let count = keys.div_ceil(SHARD_KEYS);
        let unsplit = count.next_power_of_two();
        let room = |shard: usize| {
            // A shard whose partner is there already has half as much.
            let is_split = shard >= unsplit / 2 || shard + unsplit / 2 < count;
            let share = keys
                / if is_split {
                    unsplit
                } else {
                    (unsplit / 2).max(1)
                };
            HashMap::with_capacity_and_hasher(share + share / 16, Mixer::default())
        };
        Self {
            shards: (0..count).map(room).collect(),
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn get(&self, key: u64) -> Option<&V> {
        self.shards.get(self.shard_of(key))?.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: u64) -> Option<&mut V> {
        let at = self.shard_of(key);
        self.shards.get_mut(at)?.get_mut(&key)
    }

    /// Returns what the key stood for before.
    pub(crate) fn insert(&mut self, key: u64, value: V) -> Option<V> {
        if self.len >= self.shards.len() * SHARD_KEYS {
            self.split();
        }
        let at = self.shard_of(key);
        let shard = &mut self.shards[at];
        if shard.len() == shard.capacity() {
            make_room(shard);
        }
        let old = shard.insert(key, value);
        self.len += usize::from(old.is_none());
        old
    }

    pub(crate) fn remove(&mut self, key: u64) -> Option<V> {
        let at = self.shard_of(key);
        let old = self.shards.get_mut(at)?.remove(&key);
        self.len -= usize::from(old.is_some());
        old
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &V)> {
        let entries = self.shards.iter().flatten();
        entries.map(|(&key, value)| (key, value))
    }

    /// Entries of one shard.
    pub(super) fn iter_in(&self, shard: usize) -> impl Iterator<Item = (u64, &V)> {
        let entries = self.shards.get(shard).into_iter().flatten();
        entries.map(|(&key, value)| (key, value))
    }

    pub(super) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Keeps what is wanted of one shard; returns how many keys went.
    pub(super) fn retain_in(
        &mut self,
        shard: usize,
        wanted: impl FnMut(&u64, &mut V) -> bool,
    ) -> usize {
        let Some(shard) = self.shards.get_mut(shard) else {
            return 0;
        };
        let before = shard.len();
        shard.retain(wanted);
        let gone = before - shard.len();
        if shard.capacity() > 2 * shard.len() {
            shard.shrink_to_fit();
        }
        self.len -= gone;
        gone
    }

    pub(super) fn bytes(&self) -> usize {
        let entry = size_of::<(u64, V)>();
        let shards = self.shards.iter();
        let tables: usize = shards.map(|s| table_bytes(s.capacity(), entry)).sum();
        tables + self.shards.capacity() * size_of::<Shard<V>>()
    }

    /// Adds a shard, which takes over the part of an older one that is now its own.
    fn split(&mut self) {
        let new = self.shards.len();
        self.shards.push(Shard::default());
        let Some(round) = new.checked_ilog2() else {
            return;
        };
        let partner = new - (1 << round);
        let keys = std::mem::take(&mut self.shards[partner]);
        let half = keys.len() / 2;
        let room = || Shard::with_capacity_and_hasher(half + half / 16, Mixer::default());
        let (mut stay, mut go) = (room(), room());
        for (key, value) in keys {
            let shard = if self.shard_of(key) == new {
                &mut go
            } else {
                &mut stay
            };
            shard.insert(key, value);
        }
        self.shards[partner] = stay;
        self.shards[new] = go;
    }

    fn shard_of(&self, key: u64) -> usize {
        let count = self.shards.len();
        if count <= 1 {
            return 0;
        }
        // The tables themselves go by the lowest and the highest bits.
        let hash = BuildHasherDefault::<Mix>::default().hash_one(key) >> 32;
        let mask = count.next_power_of_two() - 1;
        let at = usize::try_from(hash).unwrap_or(0) & mask;
        if at < count { at } else { at & (mask >> 1) }
    }
}

/// Makes room in a shard that has none. Slots of removed keys are not free in such a table, and by itself it doubles as
/// soon as half of its slots have keys: under a load that stores as much as it removes, all shards would be twice as
/// large as they need be. So it is built again, no larger than its keys want.
fn make_room<V>(shard: &mut Shard<V>) {
    let keys = shard.len();
    let room = keys + keys / ROOM_SHARE + 1;
    let full = std::mem::replace(
        shard,
        Shard::with_capacity_and_hasher(room, Mixer::default()),
    );
    shard.extend(full);
}

impl<V> IntoIterator for ShardedMap<V> {
    type Item = (u64, V);
    type IntoIter = IntoIter<V>;

    fn into_iter(self) -> IntoIter<V> {
        IntoIter {
            left: self.len,
            shards: self.shards.into_iter(),
            open: Shard::default().into_iter(),
        }
    }
}

/// Takes a table apart and gives its memory back shard by shard.
#[derive(Debug)]
pub(crate) struct IntoIter<V> {
    left: usize,
    shards: std::vec::IntoIter<Shard<V>>,
    open: std::collections::hash_map::IntoIter<u64, V>,
}

impl<V> Iterator for IntoIter<V> {
    type Item = (u64, V);

    fn next(&mut self) -> Option<(u64, V)> {
        loop {
            if let Some(entry) = self.open.next() {
                self.left -= 1;
                return Some(entry);
            }
            self.open = self.shards.next()?.into_iter();
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<V> ExactSizeIterator for IntoIter<V> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_a_plain_table_holds() {
        let mut map = ShardedMap::default();
        let mut model = HashMap::new();
        let mut state = 1_u64;
        for step in 0..200_000_u64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let key = (state >> 33) % 40_000;
            if state >> 62 == 0 {
                assert_eq!(map.remove(key), model.remove(&key));
            } else {
                assert_eq!(map.insert(key, step), model.insert(key, step));
            }
            assert_eq!(map.len(), model.len());
        }
        for key in 0..40_000 {
            assert_eq!(map.get(key), model.get(&key));
        }
        let gone: usize = (0..map.shards())
            .map(|s| map.retain_in(s, |key, _| key % 3 == 0))
            .sum();
        model.retain(|key, _| key % 3 == 0);
        assert_eq!(map.iter().count(), model.len());
        assert!(gone > 0 && map.len() == model.len());
        let mut left: Vec<_> = map.into_iter().collect();
        let mut expected: Vec<_> = model.into_iter().collect();
        left.sort_unstable();
        expected.sort_unstable();
        assert_eq!(left, expected);
    }

    #[test]
    fn keys_that_come_and_go_for_ever_take_no_more_memory() {
        for keys in [1_000_u64, 4_096, 20_000] {
            let mut map = ShardedMap::default();
            for key in 0..keys {
                map.insert(key, key);
            }
            let before = map.bytes();
            for key in keys..keys + 1_000_000 {
                map.remove(key - keys);
                map.insert(key, key);
            }
            assert!(
                map.bytes() <= before + before / 4,
                "{keys} keys: {} bytes and then {}",
                before,
                map.bytes()
            );
        }
    }

    #[test]
    fn no_shard_grows_beyond_its_share_and_room_made_before_is_enough() {
        for keys in [0, 1, 1_700, 1_701, 10_000, 123_456] {
            let mut map = ShardedMap::with_capacity(keys);
            let before = map.bytes();
            for key in 0..keys as u64 {
                map.insert(key, key);
            }
            assert_eq!(map.bytes(), before, "{keys}");
            let largest = map.shards.iter().map(Shard::len).max().unwrap_or(0);
            assert!(
                largest <= 2 * SHARD_KEYS + SHARD_KEYS / 4,
                "{largest} of {keys}"
            );
        }
    }
}
