//! Frames recorded from a real vLLM, and hand-made frames of other versions, from bytes to cache events.

use std::collections::{HashMap, HashSet};

use dynamo_kv::{
    BlockSeed, CacheEvent, CacheEventData, CacheTier, DecodeError, EngineEventStream, FramePlace,
    StreamOptions, WireEvent, WorkerRank, decode_batch, local_block_hashes,
};

const RECORDING: &str = include_str!("fixtures/vllm-0.32-kv-events.jsonl");
const BLOCK_SIZE: usize = 32;
const ARRAY_BATCH: &str = "93cb3ff80000000000009397ab426c6f636b53746f72656492cd03e9cd03eac098010203040506070804c0a347505593ac426c6f636b52656d6f76656491cd03e9a347505591b0416c6c426c6f636b73436c656172656400";
const MAP_BATCH: &str = "83a27473cb3ff8000000000000a66576656e74739186a474797065ab426c6f636b53746f726564ac626c6f636b5f68617368657391ffb1706172656e745f626c6f636b5f68617368c0a9746f6b656e5f6964739401020304aa626c6f636b5f73697a6504a76c6f72615f6964c0b2646174615f706172616c6c656c5f72616e6b02";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
        .collect()
}

/// (sequence, payload) of each recorded frame.
fn recording() -> Vec<(u64, Vec<u8>)> {
    RECORDING
        .lines()
        .map(|line| {
            let parts: Vec<&str> = line.split('"').collect();
            let sequence = u64::from_str_radix(parts[5], 16).expect("sequence");
            (sequence, bytes(parts[7]))
        })
        .collect()
}

fn stream(block_size: usize) -> EngineEventStream {
    let mut options = StreamOptions::new(WorkerRank::new(7, 0), block_size);
    options.max_batch_blocks = 0;
    EngineEventStream::new(options)
}

fn accept(stream: &mut EngineEventStream, sequence: u64, payload: &[u8]) -> Vec<CacheEvent> {
    let mut out = Vec::new();
    stream.accept(sequence, payload, &mut out).expect("frame");
    out
}

#[test]
fn the_recorded_frames_form_one_consistent_chain() {
    let mut known = HashSet::new();
    let (mut stores, mut removals) = (0, 0);
    for (expected, (sequence, payload)) in (0..).zip(recording()) {
        assert_eq!(sequence, expected);
        let batch = decode_batch(&payload).expect("batch");
        assert_eq!(batch.dp_rank, Some(0));
        assert_eq!(batch.unknown_tags, 0);
        assert!(!batch.events.is_empty());
        for event in batch.events {
            match event {
                WireEvent::Stored(event) => {
                    assert_eq!(event.block_size, BLOCK_SIZE as u64);
                    assert_eq!(event.token_ids.len(), event.block_hashes.len() * BLOCK_SIZE);
                    assert_eq!(event.place.medium, Some("GPU"));
                    assert_eq!(event.place.spec_kind, Some("full_attention"));
                    assert!(event.parent.is_none_or(|parent| known.contains(&parent)));
                    known.extend(event.block_hashes);
                    stores += 1;
                }
                WireEvent::Removed { block_hashes, .. } => {
                    assert!(block_hashes.iter().all(|hash| known.contains(hash)));
                    removals += 1;
                }
                WireEvent::Cleared => panic!("nothing was cleared"),
            }
        }
    }
    assert_eq!((stores, removals), (17, 8));
}

#[test]
fn the_recording_becomes_dense_events_with_hashes_of_its_tokens() {
    let mut stream = stream(BLOCK_SIZE);
    let mut expected = HashMap::new();
    let mut events = Vec::new();
    for (sequence, payload) in recording() {
        for event in decode_batch(&payload).expect("batch").events {
            if let WireEvent::Stored(event) = event {
                let seed = BlockSeed::default();
                let hashes = local_block_hashes(&event.token_ids, BLOCK_SIZE, seed);
                expected.extend(event.block_hashes.into_iter().zip(hashes));
            }
        }
        events.extend(accept(&mut stream, sequence, &payload));
    }
    let ids: Vec<u64> = events.iter().map(|event| event.event_id).collect();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>());
    assert_eq!(stream.last_event_id(0), ids.len() as u64);
    let mut held: HashMap<u64, u64> = HashMap::new();
    for event in &events {
        assert_eq!(event.tier, CacheTier::Device);
        match &event.data {
            CacheEventData::Stored { blocks, .. } => {
                held.extend(
                    blocks
                        .iter()
                        .map(|block| (block.engine_hash, block.local_hash)),
                );
            }
            CacheEventData::Removed { engine_hashes } => {
                for hash in engine_hashes {
                    assert!(held.remove(hash).is_some());
                }
            }
            CacheEventData::Cleared => panic!("nothing was cleared"),
        }
    }
    assert!(held.iter().all(|(hash, local)| expected[hash] == *local));
    assert_eq!(stream.held_blocks(), held.len());
    assert_eq!(stream.counters().refused, [0; 7]);
}

#[test]
fn joined_events_say_the_same_as_single_ones() {
    let mut single = stream(BLOCK_SIZE);
    let mut joined = EngineEventStream::new(StreamOptions::new(WorkerRank::new(7, 0), BLOCK_SIZE));
    let (mut singles, mut joins) = (Vec::new(), Vec::new());
    for (sequence, payload) in recording() {
        single
            .accept(sequence, &payload, &mut singles)
            .expect("frame");
        joined
            .accept(sequence, &payload, &mut joins)
            .expect("frame");
    }
    joined.flush(&mut joins);
    assert!(joins.len() < singles.len());
    assert_eq!(flatten(&joins), flatten(&singles));
}

/// (hash, parent) of each stored and (hash, none) of each removed block in order.
fn flatten(events: &[CacheEvent]) -> Vec<(bool, u64, Option<u64>)> {
    let mut flat = Vec::new();
    for event in events {
        match &event.data {
            CacheEventData::Stored { parent, blocks } => {
                let mut parent = *parent;
                for block in blocks {
                    flat.push((true, block.engine_hash, parent));
                    parent = Some(block.engine_hash);
                }
            }
            CacheEventData::Removed { engine_hashes } => {
                flat.extend(engine_hashes.iter().map(|hash| (false, *hash, None)));
            }
            CacheEventData::Cleared => flat.push((false, 0, None)),
        }
    }
    flat
}

#[test]
fn list_events_are_read_by_position() {
    let mut stream = stream(4);
    let events = accept(&mut stream, 42, &bytes(ARRAY_BATCH));
    let kinds: Vec<_> = events.iter().map(|event| &event.data).collect();
    let [
        CacheEventData::Stored {
            parent: None,
            blocks,
        },
        CacheEventData::Removed { engine_hashes },
        CacheEventData::Cleared,
    ] = kinds[..]
    else {
        panic!("unexpected events: {kinds:?}");
    };
    let hashes: Vec<u64> = blocks.iter().map(|block| block.engine_hash).collect();
    assert_eq!(hashes, [1001, 1002]);
    assert_eq!(blocks[0].local_hash, 14_643_705_804_678_351_452);
    assert_eq!(blocks[1].local_hash, 16_777_012_769_546_811_212);
    assert_eq!(engine_hashes, &[1001]);
    assert_eq!(stream.held_blocks(), 0);
}

#[test]
fn map_batches_name_their_rank_and_negative_hashes_keep_their_bits() {
    let mut stream = stream(4);
    let events = accept(&mut stream, 0, &bytes(MAP_BATCH));
    assert_eq!(events[0].rank, WorkerRank::new(7, 2));
    let CacheEventData::Stored { blocks, .. } = &events[0].data else {
        panic!("unexpected event: {:?}", events[0]);
    };
    assert_eq!(blocks[0].engine_hash, u64::MAX);
}

#[test]
fn every_cut_of_a_frame_is_refused_and_changes_nothing() {
    let frames = recording();
    for payload in frames
        .iter()
        .map(|(_, payload)| payload.clone())
        .chain([bytes(ARRAY_BATCH), bytes(MAP_BATCH)])
    {
        for length in 0..payload.len() {
            let mut stream = stream(4);
            let mut out = Vec::new();
            let refused = stream.accept(0, &payload[..length], &mut out);
            assert_eq!(refused, Err(DecodeError::Truncated), "cut at {length}");
            assert!(out.is_empty());
            assert_eq!(stream.held_blocks(), 0);
            assert_eq!(stream.counters().refused_for(DecodeError::Truncated), 1);
        }
    }
}

#[test]
fn a_gap_is_filled_by_a_replay_and_repeats_change_nothing() {
    let frames = recording();
    let mut lossless = stream(BLOCK_SIZE);
    let mut whole = Vec::new();
    for (sequence, payload) in &frames {
        whole.extend(accept(&mut lossless, *sequence, payload));
    }
    let mut stream = stream(BLOCK_SIZE);
    let mut out = Vec::new();
    let mut offer = |stream: &mut EngineEventStream, at: usize| {
        stream
            .accept(frames[at].0, &frames[at].1, &mut out)
            .expect("frame")
    };
    assert_eq!(offer(&mut stream, 0), FramePlace::First);
    assert_eq!(offer(&mut stream, 5), FramePlace::Gap { missing_from: 1 });
    for at in 1..frames.len() {
        assert_eq!(offer(&mut stream, at), FramePlace::Next);
        assert_eq!(offer(&mut stream, at / 2), FramePlace::Stale);
    }
    assert_eq!(stream.counters().gaps, 1);
    assert_eq!(out, whole);
}

#[test]
fn a_restarted_publisher_clears_what_it_had() {
    let frames = recording();
    let mut stream = stream(BLOCK_SIZE);
    for (sequence, payload) in &frames[1..4] {
        accept(&mut stream, *sequence, payload);
    }
    assert!(stream.held_blocks() > 0);
    let mut out = Vec::new();
    let later = &frames[10].1;
    assert_eq!(stream.accept(0, later, &mut out), Ok(FramePlace::Restarted));
    assert_eq!(out[0].data, CacheEventData::Cleared);
    assert!(
        out[1..]
            .iter()
            .all(|event| event.data != CacheEventData::Cleared)
    );
    assert_eq!(stream.last_sequence(), Some(0));
}
