//! Block hashing for KV-cache routing. Pure: no I/O, no threads.
mod hashing;

pub use hashing::{BlockSeed, local_block_hashes, next_sequence_hash, sequence_hashes};
