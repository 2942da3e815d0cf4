//! A few candidates to choose among.
#![allow(dead_code)] // each test takes what it needs

use dynamo_kv::{
    Candidates, CostSettings, SeededRandom, SelectError, SelectRequest, Selection, WorkerRank,
    select,
};

pub const RANKS: [WorkerRank; 3] = [
    WorkerRank {
        worker_id: 1,
        dp_rank: 0,
    },
    WorkerRank {
        worker_id: 2,
        dp_rank: 0,
    },
    WorkerRank {
        worker_id: 3,
        dp_rank: 1,
    },
];

pub fn request() -> SelectRequest<'static> {
    SelectRequest {
        isl_tokens: 160,
        block_size: 16,
        ..SelectRequest::default()
    }
}

/// The documentation's example: costs 18, 10, 11.
pub fn documented() -> Candidates<'static> {
    Candidates {
        ranks: &RANKS,
        device_overlap_blocks: &[2, 5, 8],
        potential_decode_blocks: &[10.0, 5.0, 9.0],
        ..Candidates::default()
    }
}

pub fn choose(
    request: &SelectRequest<'_>,
    candidates: &Candidates<'_>,
    settings: &CostSettings,
) -> Result<Selection, SelectError> {
    select(request, candidates, settings, &mut SeededRandom::new(1))
}

pub fn costs(selection: &Selection) -> Vec<f64> {
    selection.costs.iter().map(|cost| cost.cost).collect()
}

pub fn near(left: f64, right: f64) {
    assert!((left - right).abs() < 1e-6, "{left} is not {right}");
}
