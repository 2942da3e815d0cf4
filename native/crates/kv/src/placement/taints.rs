//! Taints that a request names, as the fleet's numbers.

use super::fleet::Fleet;
use super::request::PlaceRequest;

#[derive(Debug, Default)]
pub(super) struct WantedTaints {
    pub(super) required: Vec<u32>,
    pub(super) preferred: Vec<(u32, f64)>,
}

impl WantedTaints {
    pub(super) fn of(fleet: &Fleet, request: &PlaceRequest<'_>) -> Self {
        let preferred = request.preferred_taints.iter();
        Self {
            required: numbers_of(fleet, request.required_taints),
            preferred: preferred
                .map(|(name, weight)| (fleet.taint_of(name), *weight))
                .collect(),
        }
    }

    /// Each rank's taints; nothing when the request names none.
    pub(super) fn lists<'a>(&self, fleet: &'a Fleet) -> Vec<&'a [u32]> {
        if self.required.is_empty() && self.preferred.is_empty() {
            return Vec::new();
        }
        fleet.taints.iter().map(Vec::as_slice).collect()
    }
}

pub(super) fn numbers_of(fleet: &Fleet, names: &[String]) -> Vec<u32> {
    names.iter().map(|name| fleet.taint_of(name)).collect()
}
