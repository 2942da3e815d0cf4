//! A worker's KV event publisher for JavaScript.
#![allow(clippy::needless_pass_by_value)] // napi hands arguments over by value

use std::sync::Arc;

use dynamo_kv::{
    CacheEventData, DecodeError, FramePlace, KvPublisher, PublisherOptions, PublisherStats,
    StoredBlock, StoresAndRemovals,
};
use napi::bindgen_prelude::{
    AsyncTask, BigInt, BigUint64Array, BigUint64ArraySlice, Uint8Array, Uint8ArraySlice,
    Uint32Array,
};
use napi_derive::napi;

use crate::error::NativeError;
use crate::handle::Handle;
use crate::index::tier_of;
use crate::job::{Job, start};

type Thrown = napi::Error<&'static str>;

/// Settings of a publisher.
#[napi(object)]
pub struct NativeKvPublisherOptions {
    /// Instance id of the worker, u64.
    pub worker_id: BigInt,
    /// New per start and never 0, u64: event ids begin again with it.
    pub epoch: BigInt,
    /// Tokens per block.
    pub block_size: u32,
    /// Rank that the mocker's rank 0 stands for.
    pub dp_start: u32,
    /// Recent events of each rank that are kept; 1,024.
    pub ring_events: Option<u32>,
    /// Blocks up to which neighbouring changes are joined to one event; 128, at most 1,024.
    pub max_batch_blocks: Option<u32>,
    /// Token that stands for images in engine events.
    pub image_token_id: Option<u32>,
    /// Blocks overlap by one token.
    pub is_eagle: Option<bool>,
    /// Most bytes of the worker's own index; 512 MiB.
    pub index_budget_bytes: Option<f64>,
}

/// How a frame stands to those before it.
#[napi(object, object_from_js = false)]
pub struct NativeFramePlace {
    /// For a gap nothing was applied: replay from `missingFrom` and offer the frame again, or call `skipTo`.
    #[napi(ts_type = "'first' | 'next' | 'gap' | 'stale' | 'restarted' | 'refused'")]
    pub place: &'static str,
    /// First missing frame of a gap, u64.
    pub missing_from: Option<BigInt>,
    /// Why it was refused.
    pub error: Option<String>,
}

/// Counts and sizes of a publisher since it was made.
#[napi(object, object_from_js = false)]
pub struct NativeKvPublisherStats {
    /// Frames applied.
    pub batches: f64,
    /// `BlockStored` events read.
    pub stored: f64,
    /// `BlockRemoved` events read.
    pub removed: f64,
    /// `AllBlocksCleared` events read.
    pub cleared: f64,
    /// Events with an unknown tag.
    pub unknown_tags: f64,
    /// Frames and events refused: `refused[i]` of the kind `refusedKinds[i]`.
    pub refused: Vec<f64>,
    /// Names of the kinds.
    pub refused_kinds: Vec<&'static str>,
    /// Events of cache groups that do not decide reuse: stores, removals.
    pub filtered_groups: Vec<f64>,
    /// Events about blocks outside the worker: stores, removals.
    pub filtered_localities: Vec<f64>,
    /// Stores with another block size than the router's.
    pub wrong_block_sizes: f64,
    /// Block size of the last such store; 0 when there was none.
    pub refused_block_size: f64,
    /// Stores with fewer tokens than blocks need.
    pub short_tokens: f64,
    /// Stores that name one block twice.
    pub repeated_hashes: f64,
    /// Removals of one copy among several.
    pub removed_copies: f64,
    /// Times that frames were missing.
    pub gaps: f64,
    /// Missing frames given up.
    pub lost_batches: f64,
    /// Frames seen before.
    pub stale_batches: f64,
    /// Restarts of an engine's publisher.
    pub restarts: f64,
    /// Encoded batches thrown away because nobody took them.
    pub dropped_batches: f64,
    /// Changes of ranks beyond the possible number.
    pub ignored_ranks: f64,
    /// (block, rank, tier) holdings in the worker's own index.
    pub blocks: f64,
    /// Bytes of everything, the index included.
    pub bytes: f64,
    /// Ranks that have told anything.
    pub dp_ranks: Uint32Array,
    /// Last event id of each of them.
    pub last_event_ids: BigUint64Array,
}

/// What a worker holds and what of it routers have not been told yet. One per worker, for all its ranks.
#[napi]
pub struct NativeKvPublisher {
    handle: Arc<Handle<KvPublisher>>,
}

#[napi]
impl NativeKvPublisher {
    /// A publisher that has seen nothing. Throws `config.invalid`.
    #[napi(constructor)]
    pub fn new(options: NativeKvPublisherOptions) -> Result<Self, Thrown> {
        let publisher = KvPublisher::new(publisher_options(&options))
            .map_err(|error| NativeError::new("config.invalid", error.to_string()).into_js())?;
        Ok(Self {
            handle: Arc::new(Handle::new("KV publisher", publisher)),
        })
    }

    /// Takes one frame of the event socket of rank `source`. Bytes that cannot be read are `refused`, and the source's
    /// ranks are empty then.
    #[napi]
    pub fn accept_frame(
        &self,
        source: u32,
        sequence: BigInt,
        payload: Uint8ArraySlice<'_>,
    ) -> Result<NativeFramePlace, Thrown> {
        let sequence = sequence.get_u64().1;
        self.run(|publisher| {
            Ok(frame_place(
                publisher.accept_frame(source, sequence, &payload),
            ))
        })
    }

    /// Gives up the frames of `source` before `next`; its ranks are empty then. Returns the next frame expected.
    #[napi]
    pub fn skip_to(&self, source: u32, next: BigInt) -> Result<BigInt, Thrown> {
        let next = next.get_u64().1;
        self.run(|publisher| Ok(publisher.skip_to(source, next).into()))
    }

    /// Takes the mocker's records of one tick. Throws `runtime.internal` when they cannot be read.
    #[napi]
    pub fn accept_mocker_records(&self, records: Uint8ArraySlice<'_>) -> Result<(), Thrown> {
        self.run(|publisher| {
            publisher
                .accept_mocker_records(&records)
                .map_err(|error| NativeError::new("runtime.internal", error.to_string()))
        })
    }

    /// Consecutive blocks can be reused; `parent` names the block before the first one. Throws `request.invalid` when the
    /// arrays differ in length.
    #[napi]
    pub fn stored(
        &self,
        dp_rank: u32,
        #[napi(ts_arg_type = "'device' | 'host' | 'disk' | 'external'")] tier: String,
        parent: Option<BigInt>,
        block_hashes: BigUint64ArraySlice<'_>,
        tokens_hashes: BigUint64ArraySlice<'_>,
    ) -> Result<(), Thrown> {
        self.run(|publisher| {
            let tier = tier_of(&tier)?;
            if block_hashes.len() != tokens_hashes.len() {
                let message = "there must be as many tokens hashes as block hashes";
                return Err(NativeError::new("request.invalid", message));
            }
            let blocks = block_hashes.iter().zip(tokens_hashes.iter());
            let data = CacheEventData::Stored {
                parent: parent.map(|parent| parent.get_u64().1),
                blocks: blocks
                    .map(|(&engine_hash, &local_hash)| StoredBlock {
                        engine_hash,
                        local_hash,
                    })
                    .collect(),
            };
            publisher.accept_change(dp_rank, tier, data);
            Ok(())
        })
    }

    /// Blocks were given up.
    #[napi]
    pub fn removed(
        &self,
        dp_rank: u32,
        #[napi(ts_arg_type = "'device' | 'host' | 'disk' | 'external'")] tier: String,
        block_hashes: BigUint64ArraySlice<'_>,
    ) -> Result<(), Thrown> {
        self.run(|publisher| {
            let data = CacheEventData::Removed {
                engine_hashes: block_hashes.to_vec(),
            };
            publisher.accept_change(dp_rank, tier_of(&tier)?, data);
            Ok(())
        })
    }

    /// The cache of one rank, or of all, was dropped.
    #[napi]
    pub fn clear(&self, dp_rank: Option<u32>) -> Result<(), Thrown> {
        self.run(|publisher| {
            publisher.clear(dp_rank);
            Ok(())
        })
    }

    /// Adds an event that changes nothing to every rank. A lost event is noticed by the next one: call this when none has
    /// come for a while, once, and publish it like any other.
    #[napi]
    pub fn beat(&self) -> Result<(), Thrown> {
        self.run(|publisher| {
            publisher.beat();
            Ok(())
        })
    }

    /// The oldest encoded `KvEventBatch` that was not taken yet, of at most 128 KiB. Call it until there is none.
    #[napi]
    pub fn flush(&self) -> Result<Option<Uint8Array>, Thrown> {
        self.run(|publisher| Ok(publisher.flush().map(Uint8Array::new)))
    }

    /// Answers an encoded `WorkerKvQueryRequest` with encoded `WorkerKvQueryResponse` items of about 1 MiB at most. Covers
    /// everything accepted before, flushed or not.
    #[napi(ts_return_type = "Promise<Uint8Array[]>")]
    pub fn query(&self, request: Uint8Array) -> AsyncTask<Job<Vec<Uint8Array>>> {
        let handle = Arc::clone(&self.handle);
        start(move || {
            handle.run(|publisher| {
                let items = publisher.query(&request);
                Ok(items.into_iter().map(Uint8Array::new).collect())
            })
        })
    }

    /// Counts and sizes.
    #[napi]
    pub fn stats(&self) -> Result<NativeKvPublisherStats, Thrown> {
        self.run(|publisher| Ok(stats(&publisher.stats())))
    }

    /// Gives the memory back; later calls throw `runtime.closed`. A query already begun is finished.
    #[napi]
    pub fn close(&self) {
        self.handle.close();
    }

    fn run<T>(
        &self,
        work: impl FnOnce(&KvPublisher) -> Result<T, NativeError>,
    ) -> Result<T, Thrown> {
        self.handle.run(work).map_err(NativeError::into_js)
    }
}

fn publisher_options(given: &NativeKvPublisherOptions) -> PublisherOptions {
    let mut options = PublisherOptions::new(
        given.worker_id.get_u64().1,
        given.epoch.get_u64().1,
        given.block_size as usize,
    );
    options.dp_start = given.dp_start;
    options.format.image_token = given.image_token_id;
    options.format.is_eagle = given.is_eagle.unwrap_or(false);
    if let Some(events) = given.ring_events {
        options.ring_events = events as usize;
    }
    if let Some(blocks) = given.max_batch_blocks {
        options.max_batch_blocks = blocks as usize;
    }
    if let Some(bytes) = given.index_budget_bytes {
        options.index_budget_bytes = whole(bytes);
    }
    options
}

fn frame_place(result: Result<FramePlace, DecodeError>) -> NativeFramePlace {
    let (place, missing_from, error) = match result {
        Ok(FramePlace::First) => ("first", None, None),
        Ok(FramePlace::Next) => ("next", None, None),
        Ok(FramePlace::Gap { missing_from }) => ("gap", Some(missing_from), None),
        Ok(FramePlace::Stale) => ("stale", None, None),
        Ok(FramePlace::Restarted) => ("restarted", None, None),
        Err(error) => ("refused", None, Some(error.to_string())),
    };
    NativeFramePlace {
        place,
        missing_from: missing_from.map(BigInt::from),
        error,
    }
}

#[allow(clippy::cast_precision_loss)] // counts; exact up to 2^53
fn stats(stats: &PublisherStats) -> NativeKvPublisherStats {
    let counters = &stats.counters;
    let (ranks, ids): (Vec<u32>, Vec<u64>) = stats.last_event_ids.iter().copied().unzip();
    NativeKvPublisherStats {
        batches: counters.batches as f64,
        stored: counters.stored as f64,
        removed: counters.removed as f64,
        cleared: counters.cleared as f64,
        unknown_tags: counters.unknown_tags as f64,
        refused: counters.refused.iter().map(|&count| count as f64).collect(),
        refused_kinds: DecodeError::ALL.iter().map(|error| error.kind()).collect(),
        filtered_groups: by_kind(counters.filtered_groups),
        filtered_localities: by_kind(counters.filtered_localities),
        wrong_block_sizes: counters.wrong_block_sizes as f64,
        refused_block_size: counters.wrong_block_size as f64,
        short_tokens: counters.short_tokens as f64,
        repeated_hashes: counters.repeated_hashes as f64,
        removed_copies: counters.removed_copies as f64,
        gaps: counters.gaps as f64,
        lost_batches: counters.lost_batches as f64,
        stale_batches: counters.stale_batches as f64,
        restarts: counters.restarts as f64,
        dropped_batches: stats.dropped_batches as f64,
        ignored_ranks: stats.ignored_ranks as f64,
        blocks: stats.index.entries as f64,
        bytes: stats.bytes as f64,
        dp_ranks: Uint32Array::new(ranks),
        last_event_ids: BigUint64Array::new(ids),
    }
}

#[allow(clippy::cast_precision_loss)] // as above
fn by_kind(count: StoresAndRemovals) -> Vec<f64> {
    vec![count.stored as f64, count.removed as f64]
}

/// A size as JavaScript gives it.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // `as` saturates
fn whole(number: f64) -> usize {
    number as usize
}
