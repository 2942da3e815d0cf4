//! The napi-rs face of the Rust core: converts values and does nothing else.
mod checksum;
mod error;
mod job;
mod kv;
mod sim;
mod text;
