//! The napi-rs face of the Rust core: converts values and does nothing else.
#![cfg_attr(test, allow(dead_code))] // exported functions are registered in the addon, not in its tests
mod checksum;
mod error;
mod handle;
mod index;
mod job;
mod kv;
mod placement;
mod publisher;
mod replay;
mod sim;
mod text;
