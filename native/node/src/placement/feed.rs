//! Events and recoveries of a placement for JavaScript. What a worker answers is read off the loop and goes into the index
//! in slices, so that a decision never waits long for the lock.
use dynamo_kv::{FeedResult, ParsedRecovery, RecoveryWanted, WorkerRank};
use napi::bindgen_prelude::{AsyncTask, BigInt, Uint8Array};
use napi_derive::napi;

use super::convert::{float, id_of, whole};
use super::shapes::{NativeFeedResult, NativeRecovery};
use super::{NativePlacement, Thrown};
use crate::job::{Job, start};

/// Blocks handled under one hold of the lock: some tens of microseconds.
const STEP_BLOCKS: usize = 512;

#[napi]
impl NativePlacement {
    /// Takes one encoded `KvEventBatch`. Bad bytes are a count, never an exception.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn apply_events(&self, payload: &[u8], now_ms: f64) -> Result<NativeFeedResult, Thrown> {
        let result = self.run(|placement| Ok(placement.apply_events(payload, whole(now_ms))))?;
        Ok(result.into())
    }

    /// Ranks whose worker must be asked although no event says so: new ones, those that could not answer, those that are
    /// not believed. Each is named once and then waits for `finishRecovery` or `failRecovery`.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn recoveries_due(&self, now_ms: f64) -> Result<Vec<NativeRecovery>, Thrown> {
        let due = self.run(|placement| Ok(placement.recoveries_due(whole(now_ms))))?;
        Ok(due.into_iter().map(NativeRecovery::from).collect())
    }

    /// Applies a worker's answer: the encoded `WorkerKvQueryResponse` items in order.
    #[napi(ts_return_type = "Promise<NativeFeedResult>")]
    pub fn finish_recovery(
        &self,
        worker_id: BigInt,
        dp_rank: u32,
        items: Vec<Uint8Array>,
        now_ms: f64,
    ) -> AsyncTask<Job<NativeFeedResult>> {
        let rank = WorkerRank::new(id_of(&worker_id), dp_rank);
        let items: Vec<Vec<u8>> = items.iter().map(|item| item.to_vec()).collect();
        let (shared, now_ms) = (self.shared.clone(), whole(now_ms));
        start(move || {
            let answer = ParsedRecovery::parse(rank, &items);
            drop(items);
            let mut progress =
                shared.step(|placement| Ok(placement.begin_recovery(rank, answer, now_ms)))?;
            loop {
                let result = shared.step(|placement| {
                    Ok(placement.step_recovery(rank, &mut progress, (STEP_BLOCKS, now_ms)))
                })?;
                if let Some(result) = result {
                    return Ok(result.into());
                }
            }
        })
    }

    /// The worker did not answer: its content stays, but is not believed.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn fail_recovery(
        &self,
        worker_id: BigInt,
        dp_rank: u32,
        now_ms: f64,
    ) -> Result<NativeFeedResult, Thrown> {
        let rank = WorkerRank::new(id_of(&worker_id), dp_rank);
        let result = self.run(|placement| Ok(placement.fail_recovery(rank, whole(now_ms))))?;
        Ok(result.into())
    }

    /// Events of a rank may have been lost unseen. Ask `recoveriesDue` next.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn restore_needed(&self, worker_id: BigInt, dp_rank: u32) -> Result<(), Thrown> {
        let rank = WorkerRank::new(id_of(&worker_id), dp_rank);
        self.run(|placement| {
            placement.restore_needed(rank);
            Ok(())
        })
    }
}

impl From<FeedResult> for NativeFeedResult {
    fn from(result: FeedResult) -> Self {
        let recoveries = result.recoveries.into_iter();
        Self {
            recoveries: recoveries.map(NativeRecovery::from).collect(),
            applied: float(result.applied),
            stale: float(result.stale),
            refused: float(result.refused),
            refused_for: result.refused_for.map(|reason| reason.as_str().to_owned()),
        }
    }
}

impl From<RecoveryWanted> for NativeRecovery {
    fn from(wanted: RecoveryWanted) -> Self {
        Self {
            worker_id: wanted.rank.worker_id.into(),
            dp_rank: wanted.rank.dp_rank,
            epoch: wanted.epoch.into(),
            start_event_id: wanted.start_event_id.map(BigInt::from),
        }
    }
}
