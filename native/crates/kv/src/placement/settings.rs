//! Settings of a [`Placement`](super::Placement).

use crate::index::{ApproximateOptions, ExactOptions};
use crate::selection::CostSettings;
use crate::sequences::SequenceOptions;

/// What a placement does and how.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools)] // independent switches of the router's configuration
pub struct PlacementSettings {
    /// Tokens per block; the same for every worker.
    pub block_size: u32,
    /// Endpoint that is routed for, as decisions name it.
    pub endpoint: String,
    /// Instance id of this router.
    pub router_id: u64,
    /// Learn from the workers' events; otherwise from routing alone.
    pub use_kv_events: bool,
    /// The index of what the workers say.
    pub index: ExactOptions,
    /// The index of what was routed, for workers whose events are missing.
    pub approximate: ApproximateOptions,
    /// How long a routed prompt counts as held before its worker says so; none: not at all.
    pub predicted_ttl_ms: Option<u64>,
    /// Count the blocks of running requests.
    pub track_active_blocks: bool,
    /// Count the blocks that output fills.
    pub track_output_blocks: bool,
    /// Requests that run at the same time share blocks of equal content.
    pub assume_kv_reuse: bool,
    /// Bookings.
    pub sequences: SequenceOptions,
    /// Weights of the cost.
    pub cost: CostSettings,
    /// Decides every draw.
    pub seed: u64,
    /// Most bytes of recorded decisions; 0 records none.
    pub decision_ring_bytes: usize,
}
