//! The worker's side of KV events (RP 3.4): engine events in, numbered batches out, and an index of what the worker
//! holds, so that a router that missed something or has just started can ask for it.

mod answer;
mod intake;
mod kv_publisher;
mod mocker_records;
mod options;
mod outbox;
mod rank_log;

pub use kv_publisher::{KvPublisher, PublisherStats};
pub use mocker_records::MockerRecordsError;
pub use options::{InvalidOption, PublisherOptions};
