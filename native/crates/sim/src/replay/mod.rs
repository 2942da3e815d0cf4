//! Recorded requests through a simulated fleet: what another policy, or other weights, would have made of them.
//!
//! A discrete-event loop joins engines of this crate with the router of `dynamo-kv`: requests arrive as they were
//! recorded, the router places them by what the engines' events told it, and the engines take the mocker's time. Nothing
//! depends on clocks, threads or addresses: the same trace and settings give the same choices, bit for bit.
//!
//! A trace holds hashes and no text. Prompts are made from them so that equal blocks are equal again; what follows the
//! last complete block is unique to its request. Answers are the simulated model's own, so a turn of a conversation finds
//! the prompt of the turn before in cache but not its answer.

mod event_log;
mod fleet;
mod ideal;
mod lifetimes;
mod prompt;
mod report;
mod router;
mod run;
mod trace;

pub use lifetimes::Lifetime;
pub use report::{ReplayReport, ReplayedRequest};
pub use run::{Arrivals, InvalidReplay, ReplaySettings, replay};
pub use trace::{Trace, TraceRequest};
