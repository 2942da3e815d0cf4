//! The router of a replay: a placement that hears of every event at once and loses none.

use dynamo_kv::{
    InvalidPlacement, PlaceRequest, Placed, Placement, PlacementSettings, Prompt, SelectError,
    SelectionMode, WorkerFacts, local_block_hashes,
};

use super::event_log::EventLog;
use super::lifetimes::Change;
use crate::args::EngineArgs;
use crate::kv_events::KvEvent;

/// How often forgotten bookings and old guesses are looked for.
const EXPIRE_INTERVAL_MS: u64 = 1000;

/// Places requests on workers 0, 1, 2, … by number.
#[derive(Debug)]
pub(super) struct Router {
    placement: Placement,
    mode: SelectionMode,
    block_size: u32,
    /// What is said of each worker that comes, but for its number.
    facts: WorkerFacts,
    /// By worker; none before it comes and after it has gone.
    logs: Vec<Option<EventLog>>,
    next_expiry_ms: u64,
}

impl Router {
    pub(super) fn new(
        settings: PlacementSettings,
        mode: SelectionMode,
        workers: u32,
        engine: &EngineArgs,
    ) -> Result<Self, InvalidPlacement> {
        Ok(Self {
            mode,
            block_size: settings.block_size,
            placement: Placement::new(settings)?,
            facts: WorkerFacts {
                worker_id: 0,
                dp_start: 0,
                dp_size: 1,
                total_kv_blocks: u64::from(engine.num_gpu_blocks),
                max_batched_tokens: u64::from(engine.max_num_batched_tokens),
                kv_events: engine.enable_prefix_caching,
                taints: Vec::new(),
            },
            logs: std::iter::repeat_with(|| None)
                .take(workers as usize)
                .collect(),
            next_expiry_ms: 0,
        })
    }

    /// A worker comes, or goes: it gets no further request, and what it runs ends by itself.
    pub(super) fn change(&mut self, change: Change) {
        match change {
            Change::Comes(worker) => {
                let worker_id = u64::from(worker);
                self.placement.set_worker(&WorkerFacts {
                    worker_id,
                    ..self.facts.clone()
                });
                self.logs[worker as usize] = Some(EventLog::new(worker_id, self.block_size));
            }
            Change::Goes(worker) => {
                self.placement.retire_worker(u64::from(worker));
                self.logs[worker as usize] = None;
            }
        }
    }

    /// Chooses a worker and books the request there.
    pub(super) fn place(
        &mut self,
        id: &str,
        prompt: &[u32],
        now_ms: u64,
    ) -> Result<Placed, SelectError> {
        if now_ms >= self.next_expiry_ms {
            self.placement.expire(now_ms);
            self.next_expiry_ms = now_ms + EXPIRE_INTERVAL_MS;
        }
        let hashes = local_block_hashes(
            prompt,
            self.block_size as usize,
            dynamo_kv::BlockSeed::default(),
        );
        let request = PlaceRequest::new(id, Prompt::Hashes(&hashes), prompt.len() as u64);
        self.placement.select(&PlaceRequest {
            mode: self.mode,
            now_ms,
            record: false,
            ..request
        })
    }

    /// The first token came.
    pub(super) fn prefill_done(&mut self, id: &str, now_ms: u64) {
        self.placement.prefill_done(id, now_ms);
    }

    /// Output has filled one more block.
    pub(super) fn output_block(&mut self, id: &str, now_ms: u64) {
        self.placement.output_block(id, now_ms);
    }

    /// The request ended.
    pub(super) fn free(&mut self, id: &str) {
        self.placement.free(id, None);
    }

    /// A worker's cache changed; that of one that has gone concerns nobody.
    pub(super) fn learn(&mut self, worker: usize, events: &[(u32, KvEvent)], now_ms: u64) {
        let batch = self.logs[worker]
            .as_mut()
            .and_then(|log| log.encode(events));
        if let Some(batch) = batch {
            self.placement.apply_events(&batch, now_ms);
        }
    }
}
