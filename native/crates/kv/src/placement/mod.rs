//! Placing requests (RP 4): fleet, knowledge of caches, running requests, cost and choice, and the record of why.

mod attempt;
mod bookings;
mod choosing;
mod decisions;
mod feeding;
mod fleet;
mod health;
mod knowledge;
mod occupancy;
mod overlaps;
#[allow(clippy::module_inception)] // the struct that the module is about
mod placement;
mod queries;
mod recording;
mod remote;
mod request;
mod scratch;
mod settings;
mod source;
mod taints;
mod timing;
mod trust;

pub use decisions::{
    DecisionContext, DrainedDecisions, OutcomeKind, RecordedDecision, RequestOutcome, RescoreError,
    Rescored, SettingsPatch, encode_line, encode_message, rescore,
};
pub use fleet::{MAX_RANKS_PER_WORKER, WorkerFacts};
pub use health::{IndexHealth, RankDump, RankHealth};
pub use occupancy::{BusyAbove, Conditions, Occupancy};
pub use placement::{Freed, InvalidPlacement, Placement};
pub use queries::{FleetLoads, FleetOverlap};
pub use remote::RemoteBooking;
pub use request::{Overrides, PlaceRequest, Placed, Prompt};
pub use settings::PlacementSettings;
pub use timing::StepTimes;
