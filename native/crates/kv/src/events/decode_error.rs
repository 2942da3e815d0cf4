//! Why a frame was refused. Few kinds, so that they can be counted and logged once each.

use std::fmt;

/// Reason a batch or an event of an engine could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end inside a value.
    Truncated,
    /// A value has another type than the format says.
    UnexpectedType,
    /// A number does not fit its field.
    OutOfRange,
    /// Text is not UTF-8.
    InvalidText,
    /// A required field is missing.
    MissingField,
    /// The batch names more ranks than one engine can have.
    TooManyRanks,
    /// The frame is larger than any engine's.
    TooLarge,
}

impl DecodeError {
    /// Every kind, in the order of `index`.
    pub const ALL: [Self; 7] = [
        Self::Truncated,
        Self::UnexpectedType,
        Self::OutOfRange,
        Self::InvalidText,
        Self::MissingField,
        Self::TooManyRanks,
        Self::TooLarge,
    ];

    /// Stable name for metrics and logs.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::UnexpectedType => "unexpected_type",
            Self::OutOfRange => "out_of_range",
            Self::InvalidText => "invalid_text",
            Self::MissingField => "missing_field",
            Self::TooManyRanks => "too_many_ranks",
            Self::TooLarge => "too_large",
        }
    }

    pub(crate) fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "engine event refused: {}", self.kind())
    }
}

impl std::error::Error for DecodeError {}
