//! Values of a placement as JavaScript gives and gets them.
mod answers;
mod fleet;
mod index;
mod options;
mod requests;

pub use answers::{NativeDrainedDecisions, NativeFreed, NativeRescored, NativeSelection};
pub use fleet::{NativeLoads, NativeOverlap, NativeWorkerFacts};
pub use index::{NativeFeedResult, NativeIndexHealth, NativeIndexTotals, NativeRecovery};
pub use options::{
    NativeCostSettings, NativeOverrides, NativePlacementOptions, NativeRescoreSettings,
};
pub use requests::{NativeOutcome, NativePromptQuery, NativeRemoteBooking, NativeSelectRequest};
