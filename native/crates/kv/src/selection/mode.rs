//! What decides among those that may be chosen (RP 4.10).

/// How a rank is chosen. All modes respect the same filters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SelectionMode {
    /// By overlap and load.
    #[default]
    Kv,
    /// One after the other.
    RoundRobin,
    /// By lot.
    Random,
    /// The fewest requests; ties by lot.
    LeastLoaded,
    /// The fewer requests of two drawn by lot.
    PowerOfTwo,
}

impl SelectionMode {
    /// Every mode.
    pub const ALL: [Self; 5] = [
        Self::Kv,
        Self::RoundRobin,
        Self::Random,
        Self::LeastLoaded,
        Self::PowerOfTwo,
    ];

    /// Stable name, as in settings and decision records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::LeastLoaded => "least-loaded",
            Self::PowerOfTwo => "power-of-two",
        }
    }

    /// The mode of a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == name)
    }
}
