//! Health and content of a placement's index for JavaScript.
use std::collections::HashMap;

use dynamo_kv::{IndexHealth, RankHealth};
use napi::bindgen_prelude::{AsyncTask, BigInt, BigUint64Array, Float64Array, Uint8Array};
use napi_derive::napi;

use super::convert::{counts, float, id_of, whole};
use super::shapes::{NativeIndexHealth, NativeIndexTotals};
use super::{NativePlacement, Thrown, dp_ranks, worker_ids};
use crate::job::{Job, start};

#[napi]
impl NativePlacement {
    /// Health of every rank and of the whole index.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn health(&self, now_ms: f64) -> Result<NativeIndexHealth, Thrown> {
        let health = self.run(|placement| Ok(placement.health(whole(now_ms))))?;
        Ok(health.into())
    }

    /// What one worker holds, or all of them, as an encoded `QueryIndexResponse` with runs. Read off the loop, in slices:
    /// what happens meanwhile may be in it or not.
    #[napi(ts_return_type = "Promise<Uint8Array>")]
    pub fn read_index(
        &self,
        #[napi(ts_arg_type = "bigint | undefined")] worker_id: Option<BigInt>,
    ) -> AsyncTask<Job<Uint8Array>> {
        let shared = self.shared.clone();
        let worker_id = worker_id.as_ref().map(id_of);
        start(move || {
            let ranks = shared.step(|placement| Ok(placement.ranks(worker_id)))?;
            let mut dump = shared.step(|placement| Ok(placement.dump_totals()))?;
            for rank in ranks {
                let mut read = shared.step(|placement| Ok(placement.begin_dump(rank)))?;
                while shared.step(|placement| Ok(placement.read_more(&mut read)))? {}
                dump.extend(read.encode());
            }
            Ok(Uint8Array::new(dump))
        })
    }
}

impl From<IndexHealth> for NativeIndexHealth {
    fn from(health: IndexHealth) -> Self {
        let totals = totals(&health);
        let ranks = &health.ranks;
        let ids: Vec<_> = ranks.iter().map(|rank| rank.rank).collect();
        let floats = |of: fn(&RankHealth) -> u64| {
            Float64Array::new(ranks.iter().map(|rank| float(of(rank))).collect())
        };
        let ids_of =
            |of: fn(&RankHealth) -> u64| BigUint64Array::new(ranks.iter().map(of).collect());
        Self {
            worker_ids: worker_ids(&ids),
            dp_ranks: dp_ranks(&ids),
            states: ranks.iter().map(|rank| rank.state.to_owned()).collect(),
            epochs: ids_of(|rank| rank.epoch),
            last_event_ids: ids_of(|rank| rank.last_event_id),
            blocks: floats(|rank| rank.blocks as u64),
            bytes: floats(|rank| rank.bytes as u64),
            gaps: floats(|rank| rank.gaps),
            resyncs: floats(|rank| rank.resyncs),
            staleness_ms: floats(|rank| rank.staleness_ms),
            predicted_cached_tokens: floats(|rank| rank.predicted_cached_tokens),
            reported_cached_tokens: floats(|rank| rank.reported_cached_tokens),
            totals,
        }
    }
}

fn totals(health: &IndexHealth) -> NativeIndexTotals {
    let events = health.events.iter();
    let events_by_status: HashMap<String, f64> = events
        .filter(|(_, _, count)| *count > 0)
        .map(|(kind, status, count)| (format!("{kind}:{status}"), float(*count)))
        .collect();
    NativeIndexTotals {
        blocks: counts(health.stats.blocks),
        bytes: counts(health.stats.bytes),
        entries: counts(health.stats.entries),
        evicted: float(health.stats.evicted),
        version: float(health.version),
        stale: float(health.stale),
        refused_by_reason: health
            .refused
            .iter()
            .map(|(reason, count)| ((*reason).to_owned(), float(*count)))
            .collect(),
        events_by_status,
    }
}
