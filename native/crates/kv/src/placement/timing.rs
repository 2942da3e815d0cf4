//! How long the steps of a decision take.

use std::time::{Duration, Instant};

/// Time of each step; none when the step was not needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StepTimes {
    /// Hashing the prompt's blocks; a prompt may come hashed.
    pub block_hashing: Option<Duration>,
    /// Chaining the block hashes.
    pub sequence_hashing: Duration,
    /// Searching the index; other modes than KV do not look at it.
    pub matching: Option<Duration>,
}

/// Does the work and tells how long it took.
pub(super) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}
