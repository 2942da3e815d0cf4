//! Engine events (RP 2): `ZeroMQ` frames of vLLM and `SGLang`, straight from bytes to cache events that an index takes.

mod block_hasher;
mod cache_event;
mod cache_groups;
mod coalescer;
mod convert;
mod counters;
mod decode;
mod decode_error;
mod decode_event;
mod extra_keys;
mod field;
mod held_blocks;
mod msgpack;
mod sequence_tracker;
mod stream;
mod wire;

pub use block_hasher::{BlockHasher, pad_value};
pub(crate) use coalescer::Coalescer;

pub use cache_event::{CacheEvent, CacheEventData, tier_of_medium};
pub use convert::BlockFormat;
pub use counters::{EventCounters, StoresAndRemovals};
pub use decode::decode_batch;
pub use decode_error::DecodeError;
pub use extra_keys::multimodal_hash;
pub use sequence_tracker::FramePlace;
pub use stream::{EngineEventStream, StreamOptions};
pub use wire::{ExtraKeys, WireBatch, WireEvent, WirePlace, WireStored};
