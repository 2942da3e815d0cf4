//! A small fleet to place requests on.
#![allow(dead_code, clippy::missing_panics_doc)] // each test takes what it needs

use dynamo_kv::{
    CostSettings, PlaceRequest, Placement, PlacementSettings, Prompt, SequenceOptions, WorkerFacts,
};

pub const BLOCK: u32 = 16;

pub fn settings() -> PlacementSettings {
    PlacementSettings {
        block_size: BLOCK,
        endpoint: "test.backend.generate".to_owned(),
        router_id: 9,
        use_kv_events: true,
        track_active_blocks: true,
        assume_kv_reuse: true,
        sequences: SequenceOptions {
            stride: 1,
            expiry_ms: 60_000,
        },
        cost: CostSettings::default(),
        seed: 1,
        decision_ring_bytes: 1 << 20,
        ..PlacementSettings::default()
    }
}

/// A worker that publishes no events, so that routing alone tells what it holds.
pub fn silent(worker_id: u64) -> WorkerFacts {
    WorkerFacts {
        worker_id,
        dp_size: 1,
        total_kv_blocks: 1_000,
        ..WorkerFacts::default()
    }
}

/// A placement over so many silent workers, numbered from 1.
pub fn fleet(workers: u64, settings: PlacementSettings) -> Placement {
    let mut placement = Placement::new(settings).expect("settings");
    for worker_id in 1..=workers {
        placement.set_worker(&silent(worker_id));
    }
    placement
}

/// Whole blocks of a prompt that differs from those of other seeds from the first block on.
pub fn hashes(seed: u64, blocks: u64) -> Vec<u64> {
    (0..blocks).map(|at| seed * 1_000_003 + at).collect()
}

/// A booked request of whole blocks.
pub fn request<'a>(id: &'a str, hashes: &'a [u64]) -> PlaceRequest<'a> {
    let tokens = hashes.len() as u64 * u64::from(BLOCK);
    PlaceRequest {
        now_ms: 1,
        unix_ms: 1_000.0,
        ..PlaceRequest::new(id, Prompt::Hashes(hashes), tokens)
    }
}

/// Small generator; the constants are Knuth's.
pub struct Lcg(pub u64);

impl Lcg {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
