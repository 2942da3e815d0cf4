//! Recorded decisions: what a choice was made of, kept small, encoded when someone asks, and taken again from a record.

mod encode;
mod id;
mod record;
mod rescore;
mod ring;
mod rows;
mod tape;
mod texts;

pub use encode::{DecisionContext, encode_line, encode_message};
pub(super) use id::{decision_id, sequence_of};
pub(super) use record::{DecisionFacts, NewDecision, RequestNames};
pub use record::{OutcomeKind, RecordedDecision, RequestOutcome};
pub use rescore::{RescoreError, Rescored, SettingsPatch, rescore};
pub(super) use ring::DecisionRing;
pub use ring::DrainedDecisions;
pub(super) use rows::{RankTable, RowLists};
