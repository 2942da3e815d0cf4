//! The router's side of KV events (RP 3.4): batches in, per rank a cursor that knows what is missing, and recovery from
//! what a worker answers. No I/O: what must be asked for is handed to the caller.

mod buffer;
mod counters;
mod cursor;
mod event_feed;
mod feed_result;
mod parsed_recovery;
mod progress;
mod refusal;
mod verdict;

pub use counters::FeedCounters;
pub use cursor::{FeedState, RankFeed, RecoveryWanted};
pub use event_feed::EventFeed;
pub use feed_result::FeedResult;
pub use parsed_recovery::ParsedRecovery;
pub use progress::RecoveryProgress;
pub use refusal::Refusal;
