//! How far the index can be trusted, per rank and in all.

use prost::Message;

use super::placement::Placement;
use crate::feed::RankFeed;
use crate::index::{IndexStats, KvIndex, RankReading, StoredRun, WorkerRank};
use crate::wire::hashes_to_bytes;
use crate::wire::index_dump::{IndexRank, IndexRun, QueryIndexResponse};

/// One rank's part of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RankHealth {
    /// The rank.
    pub rank: WorkerRank,
    /// waiting | live | recovering | demoted | silent (its worker publishes no events)
    pub state: &'static str,
    /// Start of its publisher; 0 when unknown.
    pub epoch: u64,
    /// Last event in the index.
    pub last_event_id: u64,
    /// Blocks of all tiers.
    pub blocks: usize,
    /// Memory of its own tables.
    pub bytes: usize,
    /// Times that events were missing.
    pub gaps: u64,
    /// Answers that were applied.
    pub resyncs: u64,
    /// How long its part has not been up to date; 0 while it is.
    pub staleness_ms: u64,
    /// Cached tokens that decisions promised, of requests whose engine reported any number.
    pub predicted_cached_tokens: u64,
    /// Cached tokens that the engine reported for them.
    pub reported_cached_tokens: u64,
}

/// The index as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexHealth {
    /// Every rank of the fleet.
    pub ranks: Vec<RankHealth>,
    /// Sizes.
    pub stats: IndexStats,
    /// Event batches applied.
    pub version: u64,
    /// Events as (type, status, count).
    pub events: Vec<(&'static str, &'static str, u64)>,
    /// Events seen before.
    pub stale: u64,
    /// Batches and events that were not used, as (reason, count).
    pub refused: Vec<(&'static str, u64)>,
}

impl Placement {
    /// Health of every rank and of the whole.
    #[must_use]
    pub fn health(&self, now_ms: u64) -> IndexHealth {
        let counters = self.knowledge.feed.counters();
        let ranks = self.fleet.ranks.iter();
        IndexHealth {
            ranks: ranks.map(|rank| self.rank_health(*rank, now_ms)).collect(),
            stats: self.knowledge.exact.stats(),
            version: counters.version,
            events: counters.applied().collect(),
            stale: counters.stale,
            refused: counters.refused().collect(),
        }
    }

    /// Begins to read what one rank holds. Call [`Self::read_more`] until there is no more, then [`RankDump::encode`].
    #[must_use]
    pub fn begin_dump(&self, rank: WorkerRank) -> RankDump {
        RankDump {
            health: self.rank_health(rank, self.now_ms),
            reading: self.knowledge.exact.begin_reading(rank),
        }
    }

    /// Reads some thousand blocks more; `true` while there are any.
    pub fn read_more(&self, dump: &mut RankDump) -> bool {
        self.knowledge.exact.read_more(&mut dump.reading)
    }

    /// The totals of an encoded `QueryIndexResponse`, to be joined with the ranks.
    #[must_use]
    pub fn dump_totals(&self) -> Vec<u8> {
        let stats = self.knowledge.exact.stats();
        let dump = QueryIndexResponse {
            ranks: Vec::new(),
            blocks: stats.blocks as u64,
            bytes: stats.bytes as u64,
        };
        dump.encode_to_vec()
    }

    /// Ranks of one worker, or all.
    #[must_use]
    pub fn ranks(&self, worker_id: Option<u64>) -> Vec<WorkerRank> {
        match worker_id {
            Some(worker_id) => self.fleet.ranks_of(worker_id).to_vec(),
            None => self.fleet.ranks.clone(),
        }
    }

    fn rank_health(&self, rank: WorkerRank, now_ms: u64) -> RankHealth {
        let feed = self.knowledge.feed.health(rank);
        let held = self.knowledge.exact.rank_stats(rank).unwrap_or_default();
        let record = self.trust.record(rank);
        let number = |of: fn(&RankFeed) -> u64| feed.as_ref().map_or(0, of);
        RankHealth {
            rank,
            state: match &feed {
                None => "silent",
                Some(_) if self.trust.is_doubted(rank) => "demoted",
                Some(feed) => feed.state.as_str(),
            },
            epoch: number(|feed| feed.epoch),
            last_event_id: number(|feed| feed.last_event_id),
            blocks: held.entries.iter().sum(),
            bytes: held.bytes,
            gaps: number(|feed| feed.gaps),
            resyncs: number(|feed| feed.resyncs),
            staleness_ms: record.map_or(0, |record| record.staleness_ms(now_ms)),
            predicted_cached_tokens: record.map_or(0, |record| record.predicted_total),
            reported_cached_tokens: record.map_or(0, |record| record.reported_total),
        }
    }
}

/// What one rank holds, being read.
#[derive(Debug)]
pub struct RankDump {
    health: RankHealth,
    reading: RankReading,
}

impl RankDump {
    /// An encoded `QueryIndexResponse` of one rank with its health and without totals: such answers joined are an answer for
    /// many.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        let dump = QueryIndexResponse {
            ranks: vec![message(&self.health, &self.reading.into_runs())],
            blocks: 0,
            bytes: 0,
        };
        dump.encode_to_vec()
    }
}

fn message(health: &RankHealth, runs: &[StoredRun]) -> IndexRank {
    IndexRank {
        worker_id: health.rank.worker_id,
        dp_rank: health.rank.dp_rank,
        state: health.state.to_owned(),
        epoch: health.epoch,
        last_event_id: health.last_event_id,
        blocks: health.blocks as u64,
        bytes: health.bytes as u64,
        gaps: health.gaps,
        resyncs: health.resyncs,
        staleness_seconds: std::time::Duration::from_millis(health.staleness_ms).as_secs_f64(),
        predicted_cached_tokens: health.predicted_cached_tokens,
        reported_cached_tokens: health.reported_cached_tokens,
        runs: runs.iter().map(run_message).collect(),
    }
}

fn run_message(run: &StoredRun) -> IndexRun {
    IndexRun {
        tier: run.tier.as_str().to_owned(),
        parent_hash: run.named_parent(),
        block_hashes_le: hashes_to_bytes(run.blocks.iter().map(|block| block.engine_hash)),
        tokens_hashes_le: hashes_to_bytes(run.blocks.iter().map(|block| block.local_hash)),
    }
}
