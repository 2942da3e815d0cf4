//! Placement for JavaScript: one call chooses, books and records.
#![allow(clippy::needless_pass_by_value)] // napi hands arguments over by value

pub(crate) mod convert;
mod decisions;
mod feed;
mod health;
mod occupancy;
pub(crate) mod shapes;
mod shared;

use std::sync::Arc;

use dynamo_kv::{Placement, RemoteBooking, WorkerRank};
use napi::Env;
use napi::bindgen_prelude::{
    BigInt, BigUint64Array, BigUint64ArraySlice, Float64Array, Uint8Array, Uint32Array,
    Uint32ArraySlice,
};
use napi_derive::napi;

use self::convert::{
    counts, id_of, outcome, placement_settings, prompt, select_request, selection, tokens, whole,
    worker_facts,
};
use self::shapes::{
    NativeFreed, NativeLoads, NativeOutcome, NativeOverlap, NativePlacementOptions,
    NativePromptQuery, NativeRemoteBooking, NativeSelectRequest, NativeSelection,
    NativeWorkerFacts,
};
use self::shared::SharedPlacement;
use crate::error::NativeError;

type Thrown = napi::Error<&'static str>;

/// A router's whole knowledge and bookkeeping. Throws `runtime.closed` after `close()`.
#[napi]
pub struct NativePlacement {
    shared: Arc<SharedPlacement>,
}

#[napi]
impl NativePlacement {
    /// Throws `config.invalid`.
    ///
    /// # Errors
    /// When the options make no sense.
    #[napi(constructor)]
    pub fn new(options: NativePlacementOptions) -> Result<Self, Thrown> {
        let settings = placement_settings(options).map_err(NativeError::into_js)?;
        let placement = Placement::new(settings)
            .map_err(|invalid| NativeError::new("config.invalid", invalid.to_string()).into_js())?;
        Ok(Self {
            shared: Arc::new(SharedPlacement::new(placement)),
        })
    }

    /// Adds a worker or replaces what is known of it.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn set_worker(&self, worker: NativeWorkerFacts) -> Result<(), Thrown> {
        let facts = worker_facts(worker);
        self.run(|placement| {
            placement.set_worker(&facts);
            Ok(())
        })
    }

    /// Forgets a worker; returns the ids of the bookings that went with it.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn remove_worker(&self, worker_id: BigInt) -> Result<Vec<String>, Thrown> {
        self.run(|placement| Ok(placement.remove_worker(id_of(&worker_id))))
    }

    /// A worker may not be chosen any more; its bookings stay until they end or expire.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn retire_worker(&self, worker_id: BigInt) -> Result<(), Thrown> {
        self.run(|placement| {
            placement.retire_worker(id_of(&worker_id));
            Ok(())
        })
    }

    /// A rank went over its busy threshold, or under it again.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn set_overloaded(
        &self,
        worker_id: BigInt,
        dp_rank: u32,
        overloaded: bool,
    ) -> Result<(), Thrown> {
        let rank = WorkerRank::new(id_of(&worker_id), dp_rank);
        self.run(|placement| {
            placement.set_overloaded(rank, overloaded);
            Ok(())
        })
    }

    /// Chooses a rank and books the request on it. A failure is an answer, not an exception.
    ///
    /// # Errors
    /// When closed, or for an unknown mode (`request.invalid`).
    #[napi]
    pub fn select(&self, request: NativeSelectRequest<'_>) -> Result<NativeSelection, Thrown> {
        select_request(&request, |request| {
            self.shared
                .run(|placement| Ok(selection(placement.select(request))))
        })
        .map_err(NativeError::into_js)
    }

    /// How much of a prompt each rank holds.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn overlap<'env>(
        &self,
        env: &'env Env,
        query: NativePromptQuery<'_>,
    ) -> Result<NativeOverlap<'env>, Thrown> {
        let found = self.run(|placement| Ok(placement.overlap(prompt(&query))))?;
        let tiers = found.device.iter().zip(&found.host).zip(&found.disk);
        let blocks: Vec<u32> = tiers
            .flat_map(|((device, host), disk)| [*device, *host, *disk])
            .collect();
        let worker_ids: Vec<u64> = found.ranks.iter().map(|rank| rank.worker_id).collect();
        let dp_ranks: Vec<u32> = found.ranks.iter().map(|rank| rank.dp_rank).collect();
        Ok(NativeOverlap {
            worker_ids: BigUint64ArraySlice::copy_from(env, worker_ids).map_err(not_made)?,
            dp_ranks: Uint32ArraySlice::copy_from(env, dp_ranks).map_err(not_made)?,
            blocks: Uint32ArraySlice::copy_from(env, blocks).map_err(not_made)?,
        })
    }

    /// Loads with a request added to each rank.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn potential_loads(&self, query: NativePromptQuery<'_>) -> Result<NativeLoads, Thrown> {
        let tokens = tokens(query.prompt_tokens.unwrap_or(0.0));
        let loads = self.run(|placement| Ok(placement.potential_loads(prompt(&query), tokens)))?;
        Ok(loads.into())
    }

    /// Loads of all ranks now.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn loads(&self) -> Result<NativeLoads, Thrown> {
        Ok(self.run(|placement| Ok(placement.loads()))?.into())
    }

    /// The first output token came; false for an unknown id.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn prefill_done(&self, id: String, now_ms: f64) -> Result<bool, Thrown> {
        self.run(|placement| Ok(placement.prefill_done(&id, whole(now_ms))))
    }

    /// Output has filled one more block; false for an unknown id.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn output_block(&self, id: String, now_ms: f64) -> Result<bool, Thrown> {
        self.run(|placement| Ok(placement.output_block(&id, whole(now_ms))))
    }

    /// The request ended, however it ended; undefined for an unknown id.
    ///
    /// # Errors
    /// `request.invalid` for an unknown kind of outcome, and when closed.
    #[napi]
    pub fn free(
        &self,
        id: String,
        #[napi(ts_arg_type = "NativeOutcome | undefined")] result: Option<NativeOutcome>,
    ) -> Result<Option<NativeFreed>, Thrown> {
        let freed = self.run(|placement| {
            let result = result.map(outcome).transpose()?;
            Ok(placement.free(&id, result))
        })?;
        Ok(freed.map(|freed| NativeFreed {
            worker_id: freed.rank.worker_id.into(),
            dp_rank: freed.rank.dp_rank,
            predicted_cached_tokens: convert::float(freed.predicted_cached_tokens),
        }))
    }

    /// Frees what nothing was heard of for too long; returns the ids of the bookings.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn expire(&self, now_ms: f64) -> Result<Vec<String>, Thrown> {
        self.run(|placement| Ok(placement.expire(whole(now_ms))))
    }

    /// Takes another router's booking over; false when its id is booked already or its rank is unknown.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn add_remote(&self, booking: NativeRemoteBooking<'_>) -> Result<bool, Thrown> {
        let remote = RemoteBooking {
            id: &booking.id,
            rank: WorkerRank::new(id_of(&booking.worker_id), booking.dp_rank),
            block_hashes: &booking.block_hashes,
            prompt_tokens: tokens(booking.prompt_tokens.unwrap_or(0.0)),
            prefill_tokens: tokens(booking.prefill_tokens),
            now_ms: whole(booking.now_ms),
            predict: booking.predict,
        };
        self.run(|placement| Ok(placement.add_remote(&remote)))
    }

    /// Memory of the index, the bookings and the decisions.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn memory_bytes(&self) -> Result<f64, Thrown> {
        self.run(|placement| Ok(counts(placement.bytes())))
    }

    /// Lets go of everything. Idempotent.
    #[napi]
    pub fn close(&self) {
        self.shared.close();
    }

    fn run<T>(
        &self,
        work: impl FnOnce(&mut Placement) -> Result<T, NativeError>,
    ) -> Result<T, Thrown> {
        self.shared.run(work).map_err(NativeError::into_js)
    }
}

/// JavaScript could not make a list.
pub(crate) fn not_made(error: napi::Error) -> Thrown {
    NativeError::new("runtime.internal", error.reason.clone()).into_js()
}

fn worker_ids(ranks: &[WorkerRank]) -> BigUint64Array {
    BigUint64Array::new(ranks.iter().map(|rank| rank.worker_id).collect())
}

fn dp_ranks(ranks: &[WorkerRank]) -> Uint32Array {
    Uint32Array::new(ranks.iter().map(|rank| rank.dp_rank).collect())
}

impl From<dynamo_kv::FleetLoads> for NativeLoads {
    fn from(loads: dynamo_kv::FleetLoads) -> Self {
        let floats = |list: &[u64]| {
            Float64Array::new(list.iter().map(|value| convert::float(*value)).collect())
        };
        Self {
            worker_ids: worker_ids(&loads.ranks),
            dp_ranks: dp_ranks(&loads.ranks),
            prefill_tokens: floats(&loads.prefill_tokens),
            decode_blocks: Float64Array::new(loads.decode_blocks),
            active_requests: Uint32Array::new(loads.active_requests),
            total_kv_blocks: floats(&loads.total_kv_blocks),
            max_batched_tokens: floats(&loads.max_batched_tokens),
            overloaded: Uint8Array::new(loads.overloaded.into_iter().map(u8::from).collect()),
        }
    }
}
