//! What decides.

use dynamo_kv::{ACTIVE_REQUEST_TOKENS, SelectionMode};

use super::BLOCK;

/// A policy by name.
pub struct Policy {
    pub name: &'static str,
    pub mode: SelectionMode,
    pub displacement: f64,
    pub per_request: f64,
}

pub const fn kv(name: &'static str, displacement: f64, per_request: f64) -> Policy {
    Policy {
        name,
        mode: SelectionMode::Kv,
        displacement,
        per_request,
    }
}

pub const DEFAULT_PER_REQUEST: f64 = ACTIVE_REQUEST_TOKENS / BLOCK as f64;

pub const POLICIES: [Policy; 7] = [
    Policy {
        name: "least-loaded",
        mode: SelectionMode::LeastLoaded,
        displacement: 0.0,
        per_request: 0.0,
    },
    kv("displacement 0, per request 0", 0.0, 0.0),
    kv("displacement 4, per request 0", 4.0, 0.0),
    kv("displacement 1", 1.0, DEFAULT_PER_REQUEST),
    kv("displacement 2", 2.0, DEFAULT_PER_REQUEST),
    kv("displacement 4 (default)", 4.0, DEFAULT_PER_REQUEST),
    kv("displacement 8", 8.0, DEFAULT_PER_REQUEST),
];
