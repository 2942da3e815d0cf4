//! What an engine has produced since it was last asked: tokens, ends of requests, cache events.
//!
//! A request has one entry, however many passes the batch covers, and its tokens lie together. Every request ends with
//! exactly one entry that says how; only then may its id be used again.

use crate::kv_events::KvEvent;
use crate::sequence::{Finish, Rejection, RequestId};

/// Tokens after which an engine waits for its batch to be taken: a reader that is slow slows the engine, not the memory.
const FULL_TOKENS: usize = 65_536;
/// The same for cache events, in block hashes.
const FULL_HASHES: usize = 262_144;
/// Words of one record of [`Batch::records`].
pub const RECORD_WORDS: usize = 4;

/// One request's part of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The request.
    pub id: RequestId,
    /// Number of its tokens in this batch.
    pub tokens: u32,
    /// How it ended, if it did.
    pub finish: Option<Finish>,
    /// Why it was refused, when it ended with an error.
    pub rejection: Option<Rejection>,
    /// Rank that serves it.
    pub rank: u32,
    /// Prompt tokens that were reused from the cache.
    pub cached_tokens: u32,
}

/// Reusable collection of an engine's output.
#[derive(Debug, Default)]
pub struct Batch {
    entries: Vec<Entry>,
    /// Tokens in order of generation, with the index of their entry.
    tokens: Vec<(u32, u32)>,
    events: Vec<(u32, KvEvent)>,
    event_hashes: usize,
    /// Per request id: the entry of the current epoch.
    index: Vec<(u32, u32)>,
    epoch: u32,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self {
            epoch: 1,
            ..Self::default()
        }
    }

    /// Nothing has happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.events.is_empty()
    }

    /// It should be taken before the engine goes on.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.tokens.len() >= FULL_TOKENS || self.event_hashes >= FULL_HASHES
    }

    /// Empties it and keeps its memory.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.tokens.clear();
        self.events.clear();
        self.event_hashes = 0;
        self.epoch = self.epoch.wrapping_add(1).max(1);
    }

    /// Requests with news, in order of their first one.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Cache events with their rank, in order.
    #[must_use]
    pub fn events(&self) -> &[(u32, KvEvent)] {
        &self.events
    }

    /// Entries as four words each: id, token count, `finish | rejection << 8 | rank << 16`, cached tokens.
    #[must_use]
    pub fn records(&self) -> Vec<u32> {
        let mut words = Vec::with_capacity(self.entries.len() * RECORD_WORDS);
        for entry in &self.entries {
            let finish = entry.finish.map_or(0, |finish| finish as u32);
            let rejection = entry.rejection.map_or(0, |rejection| rejection as u32);
            let state = finish | rejection << 8 | entry.rank << 16;
            words.extend_from_slice(&[entry.id, entry.tokens, state, entry.cached_tokens]);
        }
        words
    }

    /// Token ids of all entries, one entry after the other.
    #[must_use]
    pub fn token_ids(&self) -> Vec<u32> {
        let mut next = Vec::with_capacity(self.entries.len());
        let mut start = 0;
        for entry in &self.entries {
            next.push(start);
            start += entry.tokens as usize;
        }
        let mut ids = vec![0; start];
        for &(entry, token) in &self.tokens {
            let position = &mut next[entry as usize];
            ids[*position] = token;
            *position += 1;
        }
        ids
    }

    /// Cache events in the layout of [`crate::kv_events`].
    #[must_use]
    pub fn event_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.event_hashes * 16 + self.events.len() * 16);
        for (rank, event) in &self.events {
            event.encode(*rank, &mut bytes);
        }
        bytes
    }

    pub(crate) fn token(&mut self, news: Entry, token: u32) {
        let entry = self.entry(news);
        self.entries[entry as usize].tokens += 1;
        self.entries[entry as usize].finish = news.finish;
        self.tokens.push((entry, token));
    }

    pub(crate) fn end(&mut self, news: Entry) {
        let entry = self.entry(news);
        self.entries[entry as usize].finish = news.finish;
        self.entries[entry as usize].rejection = news.rejection;
    }

    pub(crate) fn event(&mut self, rank: u32, event: KvEvent) {
        self.event_hashes += match &event {
            KvEvent::Stored { blocks, .. } => blocks.len(),
            KvEvent::Removed { hashes } => hashes.len(),
            KvEvent::Cleared => 1,
        };
        self.events.push((rank, event));
    }

    /// Index of the request's open entry in this batch, made if there is none.
    fn entry(&mut self, news: Entry) -> u32 {
        let slot = news.id as usize;
        if slot >= self.index.len() {
            self.index.resize(slot + 1, (0, 0));
        }
        let (epoch, entry) = self.index[slot];
        if epoch == self.epoch && self.entries[entry as usize].finish.is_none() {
            return entry;
        }
        let entry = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        self.index[slot] = (self.epoch, entry);
        self.entries.push(Entry {
            tokens: 0,
            finish: None,
            ..news
        });
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(id: RequestId) -> Entry {
        Entry {
            id,
            tokens: 0,
            finish: None,
            rejection: None,
            rank: 3,
            cached_tokens: 64,
        }
    }

    #[test]
    fn tokens_of_a_request_lie_together_whatever_their_order() {
        let mut batch = Batch::new();
        batch.token(news(7), 70);
        batch.token(news(2), 20);
        batch.token(news(7), 71);
        batch.token(
            Entry {
                finish: Some(Finish::Length),
                ..news(2)
            },
            21,
        );
        assert_eq!(batch.token_ids(), [70, 71, 20, 21]);
        assert_eq!(batch.records(), [7, 2, 3 << 16, 64, 2, 2, 2 | 3 << 16, 64]);
    }

    #[test]
    fn a_reused_id_gets_an_entry_of_its_own() {
        let mut batch = Batch::new();
        batch.end(Entry {
            finish: Some(Finish::Cancelled),
            ..news(1)
        });
        batch.token(news(1), 9);
        assert_eq!(batch.entries().len(), 2);
        batch.clear();
        assert!(batch.is_empty());
        batch.token(news(1), 9);
        assert_eq!(batch.entries().len(), 1);
    }
}
