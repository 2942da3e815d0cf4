//! What is believed of a rank's cache.

/// What a rank's overlap is taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Its own events.
    Events,
    /// Its own events, which lag behind, and what was routed meanwhile: the longer of both.
    Both,
    /// What was routed to it.
    Routing,
}
