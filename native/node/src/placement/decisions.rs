//! Recorded decisions for JavaScript, and taking them again.
use dynamo_kv::{SettingsPatch, encode_line, encode_message, rescore};
use napi::bindgen_prelude::{AsyncTask, Float64Array, Uint8Array};
use napi_derive::napi;

use super::convert::{cost_settings, float, mode_of};
use super::shapes::{NativeDrainedDecisions, NativeRescoreSettings, NativeRescored};
use super::{NativePlacement, Thrown};
use crate::error::NativeError;
use crate::job::{Job, start};

/// Most recent decisions in one call, which encodes them on the loop.
const MOST_RECENT: u32 = 1000;

/// Ended decisions that are copied while no other call gets the placement: each is some ten kilobytes.
const DRAINED_AT_ONCE: u32 = 32;

#[napi]
impl NativePlacement {
    /// A recorded decision as `dynamo.router.v1.Decision`; undefined when it is not recorded any more.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn decision(&self, id: String) -> Result<Option<Uint8Array>, Thrown> {
        self.run(|placement| {
            let decision = placement.decision(&id);
            let context = placement.decision_context();
            Ok(decision.map(|decision| encode_message(context, &decision).into()))
        })
    }

    /// The newest decisions, newest first; at most 1,000 however many are asked for.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn recent_decisions(&self, limit: u32) -> Result<Vec<Uint8Array>, Thrown> {
        self.run(|placement| {
            let recent = placement.recent_decisions(limit.min(MOST_RECENT) as usize);
            let context = placement.decision_context();
            let encoded = recent
                .iter()
                .map(|decision| encode_message(context, decision));
            Ok(encoded.map(Uint8Array::new).collect())
        })
    }

    /// Decisions whose request has ended since the last drain, at most `max`, as lines of JSON.
    #[napi(ts_return_type = "Promise<NativeDrainedDecisions>")]
    pub fn drain_decisions(&self, max: u32) -> AsyncTask<Job<NativeDrainedDecisions>> {
        let shared = self.shared.clone();
        start(move || {
            let context = shared.step(|placement| Ok(placement.decision_context().clone()))?;
            let (mut lines, mut count, mut dropped) = (Vec::new(), 0, 0);
            while count < max {
                let limit = DRAINED_AT_ONCE.min(max - count);
                let drained =
                    shared.step(|placement| Ok(placement.drain_decisions(limit as usize)))?;
                for decision in &drained.decisions {
                    encode_line(&context, decision, &mut lines);
                }
                let number = u32::try_from(drained.decisions.len()).unwrap_or(u32::MAX);
                count = count.saturating_add(number);
                dropped += drained.dropped;
                if number < limit {
                    break;
                }
            }
            Ok(NativeDrainedDecisions {
                lines: String::from_utf8(lines).unwrap_or_default(),
                count,
                dropped: float(dropped),
            })
        })
    }
}

/// Takes an encoded decision again, with its own settings or others.
///
/// # Errors
/// `request.invalid` when the bytes are no decision or nothing may be chosen with the settings.
#[napi]
pub fn rescore_decision(
    decision: Uint8Array,
    #[napi(ts_arg_type = "NativeRescoreSettings | undefined")] settings: Option<
        NativeRescoreSettings,
    >,
) -> Result<NativeRescored, Thrown> {
    let patch = settings.map(patch).transpose();
    let patch = patch.map_err(NativeError::into_js)?.unwrap_or_default();
    let rescored = rescore(&decision, &patch)
        .map_err(|error| NativeError::new("request.invalid", error.to_string()).into_js())?;
    Ok(NativeRescored {
        chosen: u32::try_from(rescored.chosen).unwrap_or(u32::MAX),
        reason: rescored.reason.as_str().to_owned(),
        costs: Float64Array::new(rescored.costs),
    })
}

fn patch(settings: NativeRescoreSettings) -> Result<SettingsPatch, NativeError> {
    Ok(SettingsPatch {
        cost: settings.cost.as_ref().map(cost_settings).transpose()?,
        mode: settings.mode.as_deref().map(mode_of).transpose()?,
    })
}
