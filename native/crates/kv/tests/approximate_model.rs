//! The approximate index says what a naive map of expiries says, over random routing, time and departures.

#![allow(clippy::unwrap_used)] // a test may panic

use std::collections::HashMap;

use dynamo_kv::{
    ApproximateIndex, ApproximateOptions, CacheChange, CacheTier, KvIndex, Matches, WorkerRank,
    sequence_hashes,
};

const TTL_MS: u64 = 50;

fn random(state: &mut u64, limit: u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
}

#[test]
fn the_index_agrees_with_a_map_of_expiries() {
    for seed in 1..=40 {
        let mut state = seed * 0x9e37_79b9;
        let mut now_ms = 0;
        let mut expiries: HashMap<(WorkerRank, Vec<u64>), u64> = HashMap::new();
        let mut index = ApproximateIndex::new(ApproximateOptions {
            ttl_ms: TTL_MS,
            ..ApproximateOptions::default()
        });
        for _ in 0..500 {
            now_ms += random(&mut state, 4);
            let rank = WorkerRank::new(random(&mut state, 3), 0);
            let length = random(&mut state, 8);
            let prompt: Vec<u64> = (0..length).map(|_| random(&mut state, 2)).collect();
            match random(&mut state, 40) {
                0 => index.remove_rank(rank),
                1 => {
                    index.apply(rank, CacheTier::Device, &CacheChange::Cleared);
                }
                _ => index.record_routed(rank, &prompt, now_ms),
            }
            if index.ranks().contains(&rank) && index.rank_stats(rank).unwrap().entries[0] > 0 {
                for length in 1..=prompt.len() {
                    expiries.insert((rank, prompt[..length].to_vec()), now_ms + TTL_MS);
                }
            } else {
                expiries.retain(|(owner, _), _| *owner != rank);
            }
            index.expire(now_ms);
            expiries.retain(|_, expires_ms| *expires_ms > now_ms);
            assert_eq!(index.stats().entries, expiries.len());
            let mut matches = Matches::default();
            index.find_matches(&sequence_hashes(&prompt), false, &mut matches);
            let found = matches.get(rank).map_or(0, |row| row.blocks[0] as usize);
            let held = |length: &usize| expiries.contains_key(&(rank, prompt[..*length].to_vec()));
            assert_eq!(found, (1..=prompt.len()).take_while(held).count());
        }
    }
}
