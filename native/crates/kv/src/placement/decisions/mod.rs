//! Recorded decisions: what a choice was made of, kept small, encoded when someone asks, and taken again from a record.

mod encode;
mod id;
mod record;
mod rescore;
mod ring;
mod rows;

pub use encode::{DecisionContext, encode_line, encode_message};
pub(super) use id::{decision_id, sequence_of};
pub(super) use record::DecisionRecord;
pub use record::RequestOutcome;
pub use rescore::{RescoreError, Rescored, SettingsPatch, rescore};
pub(super) use ring::DecisionRing;
pub use ring::{DrainedDecisions, RecordedDecision};
pub(super) use rows::{RankTable, RowLists, Rows};
