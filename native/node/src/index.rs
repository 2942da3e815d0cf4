//! An index without a router, for JavaScript: programs that keep one themselves.
#![allow(clippy::needless_pass_by_value)] // napi hands arguments over by value

use std::sync::{Mutex, PoisonError};

use dynamo_kv::{
    ApproximateIndex, ApproximateOptions, CacheChange, CacheTier, ExactIndex, ExactOptions,
    KvIndex, Matches, StoredBlock, StoredRun, WorkerRank, sequence_hashes,
};
use napi::Env;
use napi::bindgen_prelude::{BigInt, BigUint64Array, BigUint64ArraySlice, Uint32ArraySlice};
use napi_derive::napi;

use crate::error::NativeError;
use crate::handle::Handle;
use crate::placement::not_made;

type Thrown = napi::Error<&'static str>;

/// Settings of an index.
#[napi(object)]
pub struct NativeKvIndexOptions {
    /// Learns from `recordRouted` instead of from events.
    pub approximate: bool,
    /// Most bytes of an index that learns from events; no limit when absent.
    pub budget_bytes: Option<f64>,
    /// How long an approximate index takes a routed block to be held; 120 s.
    pub ttl_ms: Option<f64>,
    /// Holdings over which an approximate index is pruned; 2^20.
    pub max_tree_size: Option<f64>,
    /// Share of them that is left then; 0.8.
    pub prune_target_ratio: Option<f64>,
}

// Copied into JavaScript's memory: lists this short cost less than memory of ours that it would have to give back.
/// What ranks hold of a prompt; one entry per rank.
#[napi(object, object_from_js = false)]
pub struct NativeIndexMatches<'env> {
    /// Workers.
    #[napi(ts_type = "BigUint64Array")]
    pub worker_ids: BigUint64ArraySlice<'env>,
    /// Their ranks.
    #[napi(ts_type = "Uint32Array")]
    pub dp_ranks: Uint32ArraySlice<'env>,
    /// Blocks on the device, in host memory, on disk and in external storage, each counted from where the one before ends.
    #[napi(ts_type = "Uint32Array")]
    pub blocks: Uint32ArraySlice<'env>,
    /// Longest prefix that the index knows at all.
    pub matched_depth: u32,
}

/// Consecutive blocks of one rank in one tier.
#[napi(object, object_from_js = false)]
pub struct NativeStoredRun {
    /// Worker, u64.
    pub worker_id: BigInt,
    /// Its rank.
    pub dp_rank: u32,
    /// Where the blocks are.
    #[napi(ts_type = "'device' | 'host' | 'disk' | 'external'")]
    pub tier: &'static str,
    /// Hash of the block before the first one, u64, when the rank holds it in this tier.
    pub parent: Option<BigInt>,
    /// The engine's hashes of the blocks.
    pub block_hashes: BigUint64Array,
    /// Local hashes of the blocks.
    pub tokens_hashes: BigUint64Array,
}

/// Sizes of an index.
#[napi(object, object_from_js = false)]
pub struct NativeIndexStats {
    /// Distinct blocks.
    pub blocks: f64,
    /// (block, rank, tier) holdings.
    pub entries: f64,
    /// Ranks.
    pub ranks: f64,
    /// Bytes allocated.
    pub bytes: f64,
    /// Holdings dropped to keep the budget.
    pub evicted: f64,
}

enum Index {
    Exact(ExactIndex),
    Approximate(ApproximateIndex),
}

impl Index {
    fn as_dyn(&mut self) -> &mut dyn KvIndex {
        match self {
            Self::Exact(index) => index,
            Self::Approximate(index) => index,
        }
    }
}

/// Which rank holds which blocks.
#[napi]
pub struct NativeKvIndex {
    handle: Handle<Mutex<Index>>,
}

#[napi]
impl NativeKvIndex {
    /// An empty index.
    #[napi(constructor)]
    #[must_use]
    pub fn new(options: NativeKvIndexOptions) -> Self {
        let index = if options.approximate {
            let defaults = ApproximateOptions::default();
            Index::Approximate(ApproximateIndex::new(ApproximateOptions {
                ttl_ms: options.ttl_ms.map_or(defaults.ttl_ms, whole),
                max_entries: options.max_tree_size.map_or(defaults.max_entries, size),
                prune_target_ratio: options
                    .prune_target_ratio
                    .unwrap_or(defaults.prune_target_ratio),
            }))
        } else {
            Index::Exact(ExactIndex::new(ExactOptions {
                budget_bytes: options.budget_bytes.map(size),
            }))
        };
        Self {
            handle: Handle::new("KV index", Mutex::new(index)),
        }
    }

    /// Consecutive blocks are held; `parent` names the block before the first one. Answers `ok` or why not. Throws
    /// `request.invalid` when the arrays differ in length.
    #[napi]
    pub fn stored(
        &self,
        rank: NativeRank,
        #[napi(ts_arg_type = "'device' | 'host' | 'disk' | 'external'")] tier: String,
        parent: Option<BigInt>,
        block_hashes: BigUint64ArraySlice<'_>,
        tokens_hashes: BigUint64ArraySlice<'_>,
    ) -> Result<&'static str, Thrown> {
        if block_hashes.len() != tokens_hashes.len() {
            let message = "there must be as many tokens hashes as block hashes";
            return Err(NativeError::new("request.invalid", message).into_js());
        }
        let pairs = block_hashes.iter().zip(tokens_hashes.iter());
        let blocks: Vec<_> = pairs
            .map(|(&engine_hash, &local_hash)| StoredBlock {
                engine_hash,
                local_hash,
            })
            .collect();
        let parent = parent.map(|hash| hash.get_u64().1);
        let blocks = &blocks;
        self.apply(&rank, &tier, &CacheChange::Stored { parent, blocks })
    }

    /// Blocks are not held any more. Answers `ok` or why not.
    #[napi]
    pub fn removed(
        &self,
        rank: NativeRank,
        #[napi(ts_arg_type = "'device' | 'host' | 'disk' | 'external'")] tier: String,
        block_hashes: BigUint64ArraySlice<'_>,
    ) -> Result<&'static str, Thrown> {
        let engine_hashes = &block_hashes;
        self.apply(&rank, &tier, &CacheChange::Removed { engine_hashes })
    }

    /// A rank holds nothing any more.
    #[napi]
    pub fn cleared(&self, rank: NativeRank) -> Result<(), Thrown> {
        self.apply(&rank, "device", &CacheChange::Cleared)?;
        Ok(())
    }

    /// What ranks hold of a prompt, given the local hashes of its blocks.
    #[napi]
    pub fn find_matches<'env>(
        &self,
        env: &'env Env,
        local_hashes: BigUint64ArraySlice<'_>,
        early_exit: bool,
    ) -> Result<NativeIndexMatches<'env>, Thrown> {
        let sequence = sequence_hashes(&local_hashes);
        let matches = self.run(|index| {
            let mut matches = Matches::default();
            index
                .as_dyn()
                .find_matches(&sequence, early_exit, &mut matches);
            Ok(matches)
        })?;
        shape_of(env, &matches).map_err(not_made)
    }

    /// A prompt was routed to a rank; an index that learns from events does nothing.
    #[napi]
    pub fn record_routed(
        &self,
        rank: NativeRank,
        local_hashes: BigUint64ArraySlice<'_>,
        now_ms: f64,
    ) -> Result<(), Thrown> {
        self.run(|index| {
            let index = index.as_dyn();
            index.record_routed(rank_of(&rank), &local_hashes, whole(now_ms));
            Ok(())
        })
    }

    /// Drops what was routed too long ago. Answers how many holdings.
    #[napi]
    pub fn expire(&self, now_ms: f64) -> Result<f64, Thrown> {
        self.run(|index| Ok(float(index.as_dyn().expire(whole(now_ms)))))
    }

    /// Forgets a worker.
    #[napi]
    pub fn remove_worker(&self, worker_id: BigInt) -> Result<(), Thrown> {
        self.run(|index| {
            index.as_dyn().remove_worker(worker_id.get_u64().1);
            Ok(())
        })
    }

    /// Everything held of one worker, or of all, parents first. Blocks whose predecessors are not held are left out. An
    /// approximate index has nothing to tell.
    #[napi]
    pub fn dump(&self, worker_id: Option<BigInt>) -> Result<Vec<NativeStoredRun>, Thrown> {
        let wanted = worker_id.map(|id| id.get_u64().1);
        self.run(|index| {
            let Index::Exact(index) = index else {
                return Ok(Vec::new());
            };
            let ranks = index.ranks().into_iter();
            let ranks = ranks.filter(|rank| wanted.is_none_or(|id| id == rank.worker_id));
            Ok(ranks.flat_map(|rank| runs_of(index, rank)).collect())
        })
    }

    /// Sizes.
    #[napi]
    pub fn stats(&self) -> Result<NativeIndexStats, Thrown> {
        self.run(|index| {
            let stats = index.as_dyn().stats();
            Ok(NativeIndexStats {
                blocks: float(stats.blocks),
                entries: float(stats.entries),
                ranks: float(stats.ranks),
                bytes: float(stats.bytes),
                evicted: float(usize::try_from(stats.evicted).unwrap_or(usize::MAX)),
            })
        })
    }

    /// Gives the memory back; later calls throw `runtime.closed`.
    #[napi]
    pub fn close(&self) {
        self.handle.close();
    }

    fn apply(
        &self,
        rank: &NativeRank,
        tier: &str,
        change: &CacheChange<'_>,
    ) -> Result<&'static str, Thrown> {
        self.run(|index| {
            let tier = tier_of(tier)?;
            let status = index.as_dyn().apply(rank_of(rank), tier, change);
            Ok(status.as_str())
        })
    }

    fn run<T>(&self, work: impl FnOnce(&mut Index) -> Result<T, NativeError>) -> Result<T, Thrown> {
        let locked = |index: &Mutex<Index>| {
            let mut index = index.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut index)
        };
        self.handle.run(locked).map_err(NativeError::into_js)
    }
}

/// A worker and its rank.
#[napi(object)]
pub struct NativeRank {
    /// Worker, u64.
    pub worker_id: BigInt,
    /// Its rank.
    pub dp_rank: u32,
}

fn rank_of(rank: &NativeRank) -> WorkerRank {
    WorkerRank::new(rank.worker_id.get_u64().1, rank.dp_rank)
}

fn shape_of<'env>(env: &'env Env, matches: &Matches) -> napi::Result<NativeIndexMatches<'env>> {
    let rows = matches.rows();
    let worker_ids: Vec<u64> = rows.iter().map(|row| row.rank.worker_id).collect();
    let dp_ranks: Vec<u32> = rows.iter().map(|row| row.rank.dp_rank).collect();
    let blocks: Vec<u32> = rows.iter().flat_map(|row| row.blocks).collect();
    Ok(NativeIndexMatches {
        worker_ids: BigUint64ArraySlice::copy_from(env, worker_ids)?,
        dp_ranks: Uint32ArraySlice::copy_from(env, dp_ranks)?,
        blocks: Uint32ArraySlice::copy_from(env, blocks)?,
        matched_depth: u32::try_from(matches.matched_depth()).unwrap_or(u32::MAX),
    })
}

fn runs_of(index: &ExactIndex, rank: WorkerRank) -> impl Iterator<Item = NativeStoredRun> {
    let runs = index.dump_rank(rank).into_iter();
    let whole = runs.filter(|run| !run.is_orphan());
    whole.map(move |run: StoredRun| NativeStoredRun {
        worker_id: rank.worker_id.into(),
        dp_rank: rank.dp_rank,
        tier: run.tier.as_str(),
        parent: run.named_parent().map(BigInt::from),
        block_hashes: BigUint64Array::new(run.blocks.iter().map(|b| b.engine_hash).collect()),
        tokens_hashes: BigUint64Array::new(run.blocks.iter().map(|b| b.local_hash).collect()),
    })
}

/// The tier of a name; `request.invalid` when there is none.
pub fn tier_of(tier: &str) -> Result<CacheTier, NativeError> {
    CacheTier::parse(tier)
        .ok_or_else(|| NativeError::new("request.invalid", format!("{tier} is no cache tier")))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // the cast saturates
fn whole(number: f64) -> u64 {
    number as u64
}

fn size(number: f64) -> usize {
    usize::try_from(whole(number)).unwrap_or(usize::MAX)
}

#[allow(clippy::cast_precision_loss)] // exact up to 2^53
fn float(number: usize) -> f64 {
    number as f64
}
