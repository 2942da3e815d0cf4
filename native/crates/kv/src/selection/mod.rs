//! Cost and choice (RP 4.3–4.5): one call takes every candidate's overlap and load and gives the choice with what each
//! candidate's cost is made of.

mod candidates;
mod choice;
mod cost;
mod eligibility;
mod mode;
mod random;
mod rejection;
mod request;
mod select;
mod settings;

pub use candidates::Candidates;
pub use cost::CandidateCost;
pub use eligibility::{Eligibility, Pin};
pub use mode::SelectionMode;
pub use random::SeededRandom;
pub use rejection::Rejection;
pub use request::{SelectRequest, SelectionReason};
pub use select::{SelectError, Selection, select};
pub use settings::{
    ACTIVE_REQUEST_TOKENS, CostSettings, DISPLACEMENT_WEIGHT, InvalidSetting, SelectionPolicy,
};
