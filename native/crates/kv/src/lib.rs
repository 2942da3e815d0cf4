//! Block hashing for KV-cache routing. Pure: no I/O, no threads.
mod hashing;

pub use hashing::{BlockSeed, local_block_hashes, sequence_hashes};
