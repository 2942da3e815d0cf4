//! Block hashing for JavaScript.
use dynamo_kv::{BlockSeed, local_block_hashes};
use napi::bindgen_prelude::{BigUint64Array, Uint32Array};
use napi_derive::napi;

/// Local hash of every complete block; for prompts that are already token ids.
#[napi]
#[allow(clippy::needless_pass_by_value)] // napi hands arguments over by value
pub fn block_hashes(
    token_ids: Uint32Array,
    block_size: u32,
    lora_name: String,
    salt: String,
) -> BigUint64Array {
    let seed = BlockSeed::new(&lora_name, &salt);
    BigUint64Array::new(local_block_hashes(&token_ids, block_size as usize, seed))
}
