//! Why a candidate may not be chosen.

/// Why a candidate may not be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rejection {
    /// Not among the allowed workers.
    NotAllowed,
    /// Excluded by the request.
    Excluded,
    /// Another worker or rank is pinned.
    NotPinned,
    /// Its rank is outside the range.
    RankOutOfRange,
    /// A required taint is missing.
    MissingTaint,
    /// Over its busy threshold.
    Overloaded,
}

impl Rejection {
    /// Every reason.
    pub const ALL: [Self; 6] = [
        Self::NotAllowed,
        Self::Excluded,
        Self::NotPinned,
        Self::RankOutOfRange,
        Self::MissingTaint,
        Self::Overloaded,
    ];

    /// Stable name for decision records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAllowed => "not_allowed",
            Self::Excluded => "excluded",
            Self::NotPinned => "not_pinned",
            Self::RankOutOfRange => "rank_out_of_range",
            Self::MissingTaint => "missing_taint",
            Self::Overloaded => "overloaded",
        }
    }
}
