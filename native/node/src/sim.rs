//! The mocker's engine for JavaScript: one callback per tick of 1 ms with everything that happened, as flat arrays.
use std::sync::Arc;

use dynamo_sim::{
    Delivery, EngineArgs, LiveEngine, PreemptionMode, RankLoad, RankTotals, Request, Sink,
};
use napi::Status;
use napi::bindgen_prelude::{BigInt, Error, FnArgs, Function, Result, Uint8Array, Uint32Array};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;

/// Settings of a simulated engine; see `EngineArgs` of the simulator.
#[napi(object)]
pub struct NativeMockEngineOptions {
    /// Cache size of each rank in blocks.
    pub num_gpu_blocks: u32,
    /// Tokens per block.
    pub block_size: u32,
    /// Most requests in one pass.
    pub max_num_seqs: u32,
    /// Most tokens computed in one pass.
    pub max_num_batched_tokens: u32,
    /// Reuse and report cached blocks.
    pub enable_prefix_caching: bool,
    /// Compute long prompts over several passes.
    pub enable_chunked_prefill: bool,
    /// Share of the cache that admission leaves free.
    pub watermark: f64,
    /// Every pass is this many times faster; 0 takes no time.
    pub speedup_ratio: f64,
    /// Decoding is this many times faster still; 0 takes no time.
    pub decode_speedup_ratio: f64,
    /// Data-parallel ranks.
    pub dp_size: u32,
    /// Time before the first pass, in milliseconds.
    pub startup_time_ms: f64,
    /// Longest sequence.
    pub max_model_len: Option<u32>,
    /// Which running request yields when the cache is full: the newest (lifo) or the oldest (fifo).
    #[napi(ts_type = "'lifo' | 'fifo'")]
    pub preemption_mode: String,
    /// Decides all tokens, u64.
    pub seed: BigInt,
    /// Token ids to generate from.
    pub vocabulary: Uint32Array,
}

/// One request to a simulated engine.
#[napi(object)]
pub struct NativeMockRequest {
    /// Chosen by the caller; may be used again when the request has ended.
    pub id: u32,
    /// Prompt token ids.
    pub token_ids: Uint32Array,
    /// Most tokens to generate.
    pub max_tokens: Option<u32>,
    /// Tokens before a stop may end the answer.
    pub min_tokens: Option<u32>,
    /// Reports the natural end as a length limit.
    pub ignore_eos: Option<bool>,
    /// Ids that end the answer.
    pub stop_token_ids: Option<Uint32Array>,
    /// The request's own seed, u64.
    pub seed: Option<BigInt>,
    /// Adapter name.
    pub lora_name: Option<String>,
    /// Cache salt.
    pub cache_salt: Option<String>,
    /// Data-parallel rank.
    pub dp_rank: Option<u32>,
}

/// Counters of one rank since the engine was made.
#[napi(object)]
pub struct NativeMockRankTotals {
    /// Passes run.
    pub passes: f64,
    /// Prompt tokens computed.
    pub prefill_tokens: f64,
    /// Prompt tokens reused from the cache.
    pub cached_tokens: f64,
    /// Tokens generated.
    pub generated_tokens: f64,
    /// Requests that lost their blocks.
    pub preemptions: f64,
    /// Blocks evicted.
    pub evictions: f64,
}

/// What happened since the last batch.
#[napi(object, object_from_js = false)]
pub struct NativeMockBatch {
    /// Four words per request with news: id, token count, `finish | rejection << 8 | rank << 16`, cached tokens.
    pub records: Uint32Array,
    /// Token ids of all records, one record after the other.
    pub token_ids: Uint32Array,
    /// KV event records.
    pub kv_events: Option<Uint8Array>,
    /// Six gauges per rank when one has changed: running, waiting, active, inactive and total blocks, prefill tokens.
    pub loads: Option<Uint32Array>,
    /// Why the engine has died; nothing follows.
    pub failure: Option<String>,
}

/// A simulated engine that runs in real time on a thread of its own.
#[napi]
pub struct NativeMockEngine {
    live: Option<LiveEngine>,
}

#[napi]
impl NativeMockEngine {
    /// Starts the engine. `onBatch` is called once per tick in which something happened, and never while a batch waits.
    ///
    /// # Errors
    /// When a setting is out of range.
    #[napi(constructor)]
    #[allow(clippy::needless_pass_by_value)] // napi hands arguments over by value
    pub fn new(
        options: NativeMockEngineOptions,
        #[napi(ts_arg_type = "(batch: NativeMockBatch) => void")] on_batch: OnBatch<'_>,
    ) -> Result<Self> {
        let args = engine_args(&options)?;
        let function = on_batch
            .build_threadsafe_function::<Message>()
            .build_callback(|context| Ok((batch(context.value),).into()))?;
        let live = LiveEngine::start(args, Callback(function))
            .map_err(|error| Error::new(Status::InvalidArg, error.to_string()))?;
        Ok(Self { live: Some(live) })
    }

    /// Hands a request over.
    ///
    /// # Errors
    /// When the engine is closed.
    #[napi]
    pub fn submit(&self, request: NativeMockRequest) -> Result<()> {
        self.live()?.submit(Request {
            id: request.id,
            prompt: request.token_ids.to_vec(),
            max_tokens: request.max_tokens,
            min_tokens: request.min_tokens.unwrap_or(0),
            ignore_eos: request.ignore_eos.unwrap_or(false),
            stop_token_ids: request
                .stop_token_ids
                .map(|ids| ids.to_vec())
                .unwrap_or_default(),
            seed: request.seed.map(|seed| seed.get_u64().1),
            lora_name: request.lora_name.unwrap_or_default(),
            cache_salt: request.cache_salt.unwrap_or_default(),
            dp_rank: request.dp_rank,
        });
        Ok(())
    }

    /// Asks for a request's end; an entry confirms it.
    ///
    /// # Errors
    /// When the engine is closed.
    #[napi]
    pub fn cancel(&self, id: u32) -> Result<()> {
        self.live()?.cancel(id);
        Ok(())
    }

    /// Drops the cache of every rank whose blocks are not in use.
    ///
    /// # Errors
    /// When the engine is closed.
    #[napi]
    pub fn clear_cache(&self) -> Result<()> {
        self.live()?.clear_cache();
        Ok(())
    }

    /// Counters of every rank, as of the last batch.
    ///
    /// # Errors
    /// When the engine is closed.
    #[napi]
    pub fn totals(&self) -> Result<Vec<NativeMockRankTotals>> {
        Ok(self.live()?.totals().into_iter().map(totals).collect())
    }

    /// Stops the engine's thread. Requests that run get no end. Idempotent.
    #[napi]
    pub fn close(&mut self) {
        self.live = None;
    }

    fn live(&self) -> Result<&LiveEngine> {
        self.live
            .as_ref()
            .ok_or_else(|| Error::from_reason("the engine is closed"))
    }
}

type OnBatch<'a> = Function<'a, FnArgs<(NativeMockBatch,)>, ()>;
type BatchFunction = ThreadsafeFunction<Message, (), FnArgs<(NativeMockBatch,)>, Status, false>;

enum Message {
    Delivery(Delivery),
    Failure(String),
}

struct Callback(BatchFunction);

impl Sink for Callback {
    fn deliver(&mut self, delivery: Delivery) {
        self.0.call(
            Message::Delivery(delivery),
            ThreadsafeFunctionCallMode::NonBlocking,
        );
    }

    fn fail(&mut self, reason: String) {
        self.0.call(
            Message::Failure(reason),
            ThreadsafeFunctionCallMode::NonBlocking,
        );
    }
}

/// Runs on the JavaScript thread; dropping the receipt here lets the next batch be made while this one is handled.
fn batch(message: Message) -> NativeMockBatch {
    match message {
        Message::Delivery(Delivery {
            records,
            token_ids,
            events,
            loads,
            receipt,
        }) => {
            drop(receipt);
            let words = |loads: Vec<RankLoad>| loads.iter().flat_map(gauges).collect();
            NativeMockBatch {
                records: Uint32Array::new(records),
                token_ids: Uint32Array::new(token_ids),
                kv_events: (!events.is_empty()).then(|| Uint8Array::new(events)),
                loads: loads.map(|loads| Uint32Array::new(words(loads))),
                failure: None,
            }
        }
        Message::Failure(reason) => NativeMockBatch {
            records: Uint32Array::new(Vec::new()),
            token_ids: Uint32Array::new(Vec::new()),
            kv_events: None,
            loads: None,
            failure: Some(reason),
        },
    }
}

fn gauges(load: &RankLoad) -> [u32; 6] {
    [
        load.running,
        load.waiting,
        load.active_blocks,
        load.inactive_blocks,
        load.total_blocks,
        load.prefill_tokens,
    ]
}

/// Counters of one rank.
#[allow(clippy::cast_precision_loss)] // exact up to 2^53
pub(crate) fn totals(totals: RankTotals) -> NativeMockRankTotals {
    NativeMockRankTotals {
        passes: totals.passes as f64,
        prefill_tokens: totals.prefill_tokens as f64,
        cached_tokens: totals.cached_tokens as f64,
        generated_tokens: totals.generated_tokens as f64,
        preemptions: totals.preemptions as f64,
        evictions: totals.evictions as f64,
    }
}

/// The engine's settings.
pub(crate) fn engine_args(options: &NativeMockEngineOptions) -> Result<EngineArgs> {
    let startup_time = std::time::Duration::try_from_secs_f64(options.startup_time_ms / 1e3)
        .map_err(|_| invalid("startup_time must be 0 or more"))?;
    let preemption_mode = match options.preemption_mode.as_str() {
        "lifo" => PreemptionMode::Lifo,
        "fifo" => PreemptionMode::Fifo,
        _ => return Err(invalid("preemption_mode must be lifo or fifo")),
    };
    Ok(EngineArgs {
        num_gpu_blocks: options.num_gpu_blocks,
        block_size: options.block_size,
        max_num_seqs: options.max_num_seqs,
        max_num_batched_tokens: options.max_num_batched_tokens,
        enable_prefix_caching: options.enable_prefix_caching,
        enable_chunked_prefill: options.enable_chunked_prefill,
        watermark: options.watermark,
        speedup_ratio: options.speedup_ratio,
        decode_speedup_ratio: options.decode_speedup_ratio,
        dp_size: options.dp_size,
        startup_time_ns: u64::try_from(startup_time.as_nanos()).unwrap_or(u64::MAX),
        max_model_len: options.max_model_len,
        preemption_mode,
        seed: options.seed.get_u64().1,
        vocabulary: Arc::from(options.vocabulary.to_vec()),
    })
}

fn invalid(problem: &str) -> Error {
    Error::new(Status::InvalidArg, problem)
}
