//! Settings of a worker's publisher.

use std::fmt;

use crate::events::BlockFormat;

/// Settings of a [`super::KvPublisher`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublisherOptions {
    /// Instance id of the worker.
    pub worker_id: u64,
    /// New per start and never 0: event ids begin again with it.
    pub epoch: u64,
    /// How blocks are cut and hashed.
    pub format: BlockFormat,
    /// Rank that a simulated engine's rank 0 stands for.
    pub dp_start: u32,
    /// Recent events of each rank that are kept for routers that missed some.
    pub ring_events: usize,
    /// Blocks up to which neighbouring changes are joined to one event; 0 joins nothing.
    pub max_batch_blocks: usize,
    /// Most bytes of the worker's own index; over it the coldest blocks are missing in snapshots.
    pub index_budget_bytes: usize,
}

impl PublisherOptions {
    /// The usual settings: 1,024 recent events, events of 128 blocks, 512 MiB of index (about ten million blocks).
    #[must_use]
    pub fn new(worker_id: u64, epoch: u64, block_size: usize) -> Self {
        Self {
            worker_id,
            epoch,
            format: BlockFormat {
                block_size,
                is_eagle: false,
                image_token: None,
            },
            dp_start: 0,
            ring_events: 1024,
            max_batch_blocks: 128,
            index_budget_bytes: 512 << 20,
        }
    }

    pub(super) fn check(&self) -> Result<(), InvalidOption> {
        let checks = [
            (self.epoch > 0, "epoch", "greater than 0"),
            (
                self.format.block_size > 0 && u32::try_from(self.format.block_size).is_ok(),
                "blockSize",
                "between 1 and 4294967295",
            ),
            (
                (1..=1 << 20).contains(&self.ring_events),
                "ringEvents",
                "between 1 and 1048576",
            ),
            (
                self.max_batch_blocks <= 1024,
                "maxBatchBlocks",
                "at most 1024",
            ),
        ];
        let wrong = checks.into_iter().find(|(holds, ..)| !holds);
        wrong.map_or(Ok(()), |(_, option, rule)| {
            Err(InvalidOption { option, rule })
        })
    }
}

/// A setting that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidOption {
    option: &'static str,
    rule: &'static str,
}

impl fmt::Display for InvalidOption {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} must be {}", self.option, self.rule)
    }
}

impl std::error::Error for InvalidOption {}
