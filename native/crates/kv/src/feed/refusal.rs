//! Why a batch of a worker, or an event in it, is not used.

/// A reason; the names are the `reason` labels of `kv_events_ignored_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The bytes are no batch.
    Unreadable,
    /// The batch takes more than is applied at once; it counts as lost and is asked for.
    TooLarge,
    /// Nothing is to be known of the worker: it has gone, has not been found yet, or is another router's.
    UnknownWorker,
    /// The worker did not say that it has this rank.
    UnknownRank,
    /// The worker's blocks have another size.
    BlockSize,
    /// What it says cannot be.
    Impossible,
}

impl Refusal {
    /// Every reason, in order.
    pub const ALL: [Self; 6] = [
        Self::Unreadable,
        Self::TooLarge,
        Self::UnknownWorker,
        Self::UnknownRank,
        Self::BlockSize,
        Self::Impossible,
    ];

    /// Stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::TooLarge => "too_large",
            Self::UnknownWorker => "unknown_worker",
            Self::UnknownRank => "unknown_rank",
            Self::BlockSize => "block_size",
            Self::Impossible => "impossible",
        }
    }
}
