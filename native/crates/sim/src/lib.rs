//! The mocker's engine model: a vLLM-style scheduler over a paged KV cache with prefix reuse, timed by a polynomial
//! model (RP 9.1 to 9.4), and the two clocks that drive it. Pure: no runtime, no I/O.
//!
//! - [`Engine`] is the model. It has no clock.
//! - [`Simulation`] drives it by discrete events, for tests and for simulated fleets.
//! - [`replay`] drives a fleet of it, router included, with recorded requests.
//! - [`LiveEngine`] drives it in real time on a thread of its own.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod args;
pub mod batch;
pub mod block_pool;
pub mod engine;
pub mod generator;
pub mod kv_events;
pub mod live;
pub mod replay;
pub mod scheduler;
pub mod sequence;
pub mod sequence_table;
pub mod simulation;
pub mod timing;

pub use args::{EngineArgs, InvalidArgs, PreemptionMode};
pub use batch::{Batch, Entry};
pub use engine::Engine;
pub use live::{Delivery, LiveEngine, Receipt, Sink};
pub use scheduler::{RankLoad, RankTotals};
pub use sequence::{Finish, Rejection, Request, RequestId};
pub use simulation::{Outcome, Simulation};
