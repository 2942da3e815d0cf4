//! Room for a request before it is placed, for JavaScript.
#![allow(clippy::needless_pass_by_value)] // napi hands arguments over by value

use dynamo_kv::{BusyAbove, Conditions, Pin};
use napi::bindgen_prelude::{BigInt, BigUint64ArraySlice};
use napi_derive::napi;

use super::convert::{id_of, prompt};
use super::shapes::NativePromptQuery;
use super::{NativePlacement, Thrown};

/// Which ranks may take a request.
#[napi(object, object_to_js = false)]
pub struct NativeConditions<'a> {
    /// The only workers that may.
    #[napi(ts_type = "BigUint64Array | undefined")]
    pub allowed_workers: Option<BigUint64ArraySlice<'a>>,
    /// Workers that may not.
    #[napi(ts_type = "BigUint64Array | undefined")]
    pub excluded_workers: Option<BigUint64ArraySlice<'a>>,
    /// The only worker that may.
    #[napi(ts_type = "bigint | undefined")]
    pub pinned_worker: Option<BigInt>,
    /// Its rank; any when undefined.
    #[napi(ts_type = "number | undefined")]
    pub pinned_rank: Option<u32>,
    /// Taints that the worker must have.
    #[napi(ts_type = "string[] | undefined")]
    pub required_taints: Option<Vec<String>>,
}

/// When a rank counts as busy.
#[napi(object, object_to_js = false)]
pub struct NativeBusyAbove<'a> {
    /// With more prompt tokens to compute.
    #[napi(ts_type = "number | undefined")]
    pub prefill_tokens: Option<f64>,
    /// With more than so many times what it computes at once.
    #[napi(ts_type = "number | undefined")]
    pub prefill_share: Option<f64>,
    /// Workers that are as full as those over their busy thresholds.
    #[napi(ts_type = "BigUint64Array | undefined")]
    pub out_of_order: Option<BigUint64ArraySlice<'a>>,
}

/// How many of the ranks that may take a request have room.
#[napi(object)]
pub struct NativeOccupancy {
    /// May take it.
    pub eligible: u32,
    /// Of them, too busy.
    pub busy: u32,
    /// Of them, over their busy thresholds or out of order.
    pub overloaded: u32,
}

#[napi]
impl NativePlacement {
    /// Counts the ranks that may take a request and those that are too busy for it.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn occupancy(
        &self,
        wanted: NativeConditions<'_>,
        above: NativeBusyAbove<'_>,
    ) -> Result<NativeOccupancy, Thrown> {
        let above = BusyAbove {
            prefill_tokens: above.prefill_tokens,
            prefill_share: above.prefill_share,
            out_of_order: above.out_of_order.as_deref().unwrap_or(&[]),
        };
        let counted =
            self.run(|placement| Ok(placement.occupancy(&conditions(&wanted), &above)))?;
        Ok(NativeOccupancy {
            eligible: counted.eligible,
            busy: counted.busy,
            overloaded: counted.overloaded,
        })
    }

    /// Most blocks of a prompt that the device of a rank holds which may take it.
    ///
    /// # Errors
    /// When closed.
    #[napi]
    pub fn best_overlap(
        &self,
        query: NativePromptQuery<'_>,
        wanted: NativeConditions<'_>,
    ) -> Result<u32, Thrown> {
        self.run(|placement| Ok(placement.best_overlap(prompt(&query), &conditions(&wanted))))
    }
}

fn conditions<'a>(wanted: &'a NativeConditions<'_>) -> Conditions<'a> {
    Conditions {
        allowed_workers: wanted.allowed_workers.as_deref(),
        excluded_workers: wanted.excluded_workers.as_deref().unwrap_or(&[]),
        pinned: wanted.pinned_worker.as_ref().map(|worker| Pin {
            worker_id: id_of(worker),
            dp_rank: wanted.pinned_rank,
        }),
        required_taints: wanted.required_taints.as_deref().unwrap_or(&[]),
    }
}
