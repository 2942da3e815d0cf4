//! Frames of arbitrary bytes: no panic, dense ids, and no more blocks than bytes.
//!
//! Input: block size, then frames in a row, each `length u16 LE | sequence u8 | payload`; the rest is one more frame.
#![no_main]

use std::collections::BTreeMap;

use dynamo_kv::{CacheEventData, EngineEventStream, StreamOptions, WorkerRank};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((block_size, frames)) = data.split_first() else {
        return;
    };
    let mut options = StreamOptions::new(WorkerRank::new(1, 0), usize::from(*block_size));
    options.max_batch_blocks = 8;
    options.max_held_blocks = 64;
    options.format.image_token = Some(9);
    let mut stream = EngineEventStream::new(options);
    let mut out = Vec::new();
    let mut rest = frames;
    while let [low, high, sequence, tail @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high])).min(tail.len());
        let (payload, next) = tail.split_at(length);
        let _ = stream.accept(u64::from(*sequence), payload, &mut out);
        rest = next;
    }
    let _ = stream.accept(
        stream.last_sequence().map_or(0, |last| last + 1),
        rest,
        &mut out,
    );
    let _ = stream.accept(u64::MAX, data, &mut out);
    stream.flush(&mut out);

    let mut ids = BTreeMap::new();
    let mut blocks = 0;
    for event in &out {
        let last = ids.insert(event.rank, event.event_id).unwrap_or(0);
        assert_eq!(event.event_id, last + 1);
        blocks += match &event.data {
            CacheEventData::Stored { blocks, .. } => blocks.len(),
            CacheEventData::Removed { engine_hashes } => engine_hashes.len(),
            CacheEventData::Cleared => 0,
        };
    }
    assert!(blocks <= 3 * data.len());
    assert!(stream.held_blocks() <= 64 * ids.len().max(1));
});
