//! Prompts for recorded hashes: equal blocks get equal tokens, different ones different tokens.

use super::trace::TraceRequest;

/// Odd multipliers of the golden ratio and of `SplitMix64`'s finaliser.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
const MIX: [u64; 2] = [0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB];
/// Keeps tails apart from blocks.
const TAIL: u64 = 0xD1B5_4A32_D192_ED03;

/// The prompt of the request with this number.
pub(super) fn synthetic_prompt(request: &TraceRequest, number: usize, block_size: u32) -> Vec<u32> {
    let length = request.prompt_tokens.max(1) as usize;
    let mut tokens = Vec::with_capacity(length + block_size as usize);
    for &hash in &request.block_hashes {
        tokens.extend((0..block_size).map(|position| block_token(hash, position)));
    }
    tokens.truncate(length);
    let tail = mix(TAIL ^ number as u64);
    let missing = length - tokens.len();
    tokens.extend((0..missing).map(|position| low(mix(tail.wrapping_add(position as u64)))));
    tokens
}

/// The first two tokens are the hash itself, so no two blocks of two or more tokens are alike.
fn block_token(hash: u64, position: u32) -> u32 {
    match position {
        0 => low(hash),
        1 => low(hash >> 32),
        _ => low(mix(
            hash.wrapping_add(u64::from(position).wrapping_mul(STEP))
        )),
    }
}

#[allow(clippy::cast_possible_truncation)]
fn low(word: u64) -> u32 {
    word as u32
}

fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(MIX[0]);
    let word = (word ^ (word >> 27)).wrapping_mul(MIX[1]);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use dynamo_kv::{BlockSeed, local_block_hashes};

    use super::*;

    fn request(prompt_tokens: u32, block_hashes: &[u64]) -> TraceRequest {
        TraceRequest {
            prompt_tokens,
            block_hashes: block_hashes.to_vec(),
            ..TraceRequest::default()
        }
    }

    fn hashes(prompt: &[u32]) -> Vec<u64> {
        local_block_hashes(prompt, 4, BlockSeed::default())
    }

    #[test]
    fn shares_exactly_what_the_recorded_prompts_shared() {
        let one = synthetic_prompt(&request(14, &[7, 8, 1 << 40]), 0, 4);
        let other = synthetic_prompt(&request(13, &[7, 8, 9]), 1, 4);
        assert_eq!((one.len(), other.len()), (14, 13));
        assert_eq!(hashes(&one)[..2], hashes(&other)[..2]);
        assert_ne!(hashes(&one)[2], hashes(&other)[2]);
    }

    #[test]
    fn what_follows_the_blocks_is_unique_to_the_request() {
        let one = synthetic_prompt(&request(8, &[]), 0, 4);
        let other = synthetic_prompt(&request(8, &[]), 1, 4);
        assert_ne!(hashes(&one), hashes(&other));
        assert_eq!(one, synthetic_prompt(&request(8, &[]), 0, 4));
    }

    #[test]
    fn is_as_long_as_recorded_whatever_the_hashes_say() {
        assert_eq!(synthetic_prompt(&request(3, &[1, 2]), 0, 4).len(), 3);
        assert_eq!(synthetic_prompt(&request(0, &[]), 0, 4).len(), 1);
    }
}
