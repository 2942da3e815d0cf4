//! Fields that versions and forks of engines add, and what conversion drops.

use dynamo_kv::{
    BlockHasher, BlockSeed, CacheEvent, CacheEventData, CacheTier, DecodeError, EngineEventStream,
    EventCounters, StoresAndRemovals, StreamOptions, WorkerRank, local_block_hashes,
    multimodal_hash,
};

/// A `MessagePack` value; every number is one byte, so that tests stay readable.
#[derive(Clone)]
enum Value {
    Nil,
    Number(u8),
    Negative(i8),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Map(Vec<(&'static str, Value)>),
}

use Value::{Bytes, List, Map, Negative, Nil, Number};

impl Value {
    fn write(&self, out: &mut Vec<u8>) {
        let size = |length: usize| u8::try_from(length).expect("short");
        match self {
            Nil => out.push(0xc0),
            Number(value) => out.extend([0xcc, *value]),
            Negative(value) => out.extend([0xd0, value.cast_unsigned()]),
            Value::Text(text) => {
                out.extend([0xd9, size(text.len())]);
                out.extend(text.bytes());
            }
            Bytes(bytes) => {
                out.extend([0xc4, size(bytes.len())]);
                out.extend(bytes);
            }
            List(values) => {
                out.extend([0xdc, 0, size(values.len())]);
                for value in values {
                    value.write(out);
                }
            }
            Map(fields) => {
                out.extend([0xde, 0, size(fields.len())]);
                for (key, value) in fields {
                    text(key).write(out);
                    value.write(out);
                }
            }
        }
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn numbers(values: &[u8]) -> Value {
    List(values.iter().copied().map(Number).collect())
}

fn batch(events: Vec<Value>) -> Vec<u8> {
    let mut out = Vec::new();
    List(vec![Number(1), List(events)]).write(&mut out);
    out
}

/// `BlockStored` of blocks of two tokens, then `more` fields from the adapter's number on.
fn stored(hashes: &[u8], parent: Value, tokens: &[u8], more: Vec<Value>) -> Value {
    let mut fields = vec![
        text("BlockStored"),
        numbers(hashes),
        parent,
        numbers(tokens),
        Number(2),
    ];
    fields.extend(more);
    List(fields)
}

fn removed(hashes: &[u8], more: Vec<Value>) -> Value {
    let mut fields = vec![text("BlockRemoved"), numbers(hashes)];
    fields.extend(more);
    List(fields)
}

fn run(events: Vec<Value>) -> (Vec<CacheEvent>, EventCounters) {
    run_with(|_| {}, events)
}

fn run_with(
    change: impl FnOnce(&mut StreamOptions),
    events: Vec<Value>,
) -> (Vec<CacheEvent>, EventCounters) {
    let mut options = StreamOptions::new(WorkerRank::new(1, 3), 2);
    options.max_batch_blocks = 0;
    change(&mut options);
    let mut stream = EngineEventStream::new(options);
    let mut out = Vec::new();
    stream.accept(0, &batch(events), &mut out).expect("frame");
    (out, *stream.counters())
}

fn local_hashes(event: &CacheEvent) -> Vec<u64> {
    match &event.data {
        CacheEventData::Stored { blocks, .. } => blocks.iter().map(|b| b.local_hash).collect(),
        other => panic!("not stored: {other:?}"),
    }
}

#[test]
fn short_events_of_old_sglang_take_the_configured_rank() {
    let (events, _) = run(vec![
        stored(&[1, 2], Nil, &[5, 6, 7, 8], vec![Nil]),
        removed(&[2], vec![]),
        List(vec![text("AllBlocksCleared")]),
    ]);
    assert_eq!(events.len(), 3);
    assert!(
        events
            .iter()
            .all(|event| event.rank == WorkerRank::new(1, 3))
    );
    assert_eq!(
        local_hashes(&events[0]),
        local_block_hashes(&[5, 6, 7, 8], 2, BlockSeed::default())
    );
}

#[test]
fn adapters_and_salts_move_the_seed_of_the_whole_chain() {
    let salted = vec![
        Nil,
        text("GPU"),
        text("ad"),
        List(vec![List(vec![text("ad"), text("dynamo-cache-salt:t")])]),
    ];
    let plain = vec![
        Nil,
        text("GPU"),
        text("ad"),
        List(vec![List(vec![text("ad")])]),
    ];
    let sglang = vec![Nil, text("GPU"), Map(vec![("cache_salt", text("t"))])];
    let (events, _) = run(vec![
        stored(&[1], Nil, &[5, 6], salted),
        stored(&[2], Number(1), &[7, 8], plain.clone()),
        stored(&[3], Nil, &[5, 6], plain),
        stored(&[4], Nil, &[5, 6], sglang),
    ]);
    let seeds = [
        ("ad", "t", [5, 6]),
        ("ad", "t", [7, 8]),
        ("ad", "", [5, 6]),
        ("", "t", [5, 6]),
    ];
    for (event, (lora, salt, tokens)) in events.iter().zip(seeds) {
        assert_eq!(
            local_hashes(event),
            local_block_hashes(&tokens, 2, BlockSeed::new(lora, salt))
        );
    }
}

#[test]
fn media_name_tiers_and_copies_are_counted_by_tier() {
    let on = |medium: &str| vec![Nil, text(medium)];
    let (events, counters) = run(vec![
        stored(&[1], Nil, &[5, 6], on("GPU")),
        stored(&[1], Nil, &[5, 6], on("GPU")),
        stored(&[1], Nil, &[5, 6], on("CPU")),
        removed(&[1], vec![text("GPU")]),
        removed(&[1], vec![text("CPU")]),
        removed(&[1], vec![text("GPU")]),
        removed(&[9], vec![text("DISK")]),
    ]);
    let tiers: Vec<_> = events.iter().map(|event| event.tier).collect();
    let [device, host] = [CacheTier::Device, CacheTier::Host];
    assert_eq!(tiers, [device, device, host, host, device, CacheTier::Disk]);
    assert_eq!(counters.removed_copies, 1);
}

#[test]
fn multimodal_objects_are_part_of_their_block_only() {
    let digest = "0f".repeat(32);
    let keys = List(vec![
        Nil,
        List(vec![
            text(&digest),
            List(vec![text("cat"), Negative(-3)]),
            Bytes(vec![1]),
        ]),
    ]);
    let (events, _) = run(vec![stored(
        &[1, 2],
        Nil,
        &[5, 6, 7, 8],
        vec![Nil, text("GPU"), Nil, keys],
    )]);
    let mut hasher = BlockHasher::default();
    let objects = [multimodal_hash(&digest), multimodal_hash("cat")];
    let seed = BlockSeed::default();
    assert_eq!(
        local_hashes(&events[0]),
        [
            hasher.hash(&[5, 6], &[], seed),
            hasher.hash(&[7, 8], &objects, seed)
        ]
    );
}

#[test]
fn pairs_of_neighbours_are_the_blocks_that_routers_hash() {
    let event = || {
        let pairs = [[1, 2], [2, 3], [3, 4], [4, 5]]
            .map(|pair| numbers(&pair))
            .to_vec();
        Map(vec![
            ("type", text("BlockStored")),
            ("block_hashes", List(vec![Bytes(vec![9; 40]), Negative(-1)])),
            ("parent_block_hash", Nil),
            ("token_ids", List(pairs)),
            ("block_size", Number(2)),
            ("a_field_of_tomorrow", Map(vec![("x", List(vec![Nil]))])),
        ])
    };
    let (events, _) = run(vec![event()]);
    let seed = BlockSeed::default();
    assert_eq!(
        local_hashes(&events[0]),
        local_block_hashes(&[1, 2, 3, 4, 5], 2, seed)
    );
    let CacheEventData::Stored { blocks, .. } = &events[0].data else {
        panic!("not stored");
    };
    assert_eq!(blocks[0].engine_hash, 0x0909_0909_0909_0909);
    assert_eq!(blocks[1].engine_hash, u64::MAX);

    let (events, _) = run_with(|options| options.format.is_eagle = true, vec![event()]);
    let mut hasher = BlockHasher::default();
    assert_eq!(
        local_hashes(&events[0]),
        [
            hasher.hash(&[1, 2, 3], &[], seed),
            hasher.hash(&[3, 4, 5], &[], seed)
        ]
    );
}

#[test]
fn window_groups_and_remote_blocks_are_left_out() {
    let in_group = |group: u8, kind: &str| {
        vec![
            Nil,
            text("GPU"),
            Nil,
            Nil,
            Number(group),
            text(kind),
            Number(128),
        ]
    };
    let remote = vec![
        Nil,
        text("GPU"),
        Nil,
        Nil,
        Number(1),
        text("full_attention"),
        Nil,
        text("REMOTE"),
        text("fork"),
    ];
    let (events, counters) = run(vec![
        stored(&[1], Nil, &[5, 6], in_group(0, "sliding_window")),
        stored(&[1], Nil, &[5, 6], in_group(1, "full_attention")),
        stored(&[3], Nil, &[5, 6], remote),
        removed(&[1], vec![text("GPU"), Number(0)]),
        removed(&[1], vec![text("GPU"), Number(1)]),
    ]);
    assert_eq!(events.len(), 2);
    let filtered = |stored, removed| StoresAndRemovals { stored, removed };
    assert_eq!(counters.filtered_groups, filtered(1, 1));
    assert_eq!(counters.filtered_localities, filtered(1, 0));
}

#[test]
fn bad_events_are_counted_and_the_others_of_the_frame_applied() {
    let wrong_size = List(vec![
        text("BlockStored"),
        numbers(&[1]),
        Nil,
        numbers(&[5, 6, 7]),
        Number(3),
    ]);
    let wide_token = List(vec![
        text("BlockStored"),
        numbers(&[1]),
        Nil,
        List(vec![Negative(-5)]),
        Number(2),
    ]);
    let (events, counters) = run(vec![
        wrong_size,
        wide_token,
        stored(&[1, 1], Nil, &[5, 6, 7, 8], vec![]),
        stored(&[1], Number(1), &[5, 6], vec![]),
        stored(&[1, 2], Nil, &[5, 6, 7], vec![]),
        List(vec![text("BlockMoved"), Number(1)]),
        Map(vec![("type", text("BlockRemoved"))]),
        List(vec![]),
        Number(1),
        removed(&[1], vec![]),
    ]);
    assert_eq!(events.len(), 2);
    assert_eq!(local_hashes(&events[0]).len(), 1);
    assert_eq!(counters.wrong_block_sizes, 1);
    assert_eq!(counters.repeated_hashes, 2);
    assert_eq!(counters.short_tokens, 1);
    assert_eq!(counters.unknown_tags, 1);
    assert_eq!(counters.refused_for(DecodeError::OutOfRange), 1);
    assert_eq!(counters.refused_for(DecodeError::MissingField), 2);
    assert_eq!(counters.refused_for(DecodeError::UnexpectedType), 1);
}

#[test]
fn an_undecodable_frame_does_not_stop_the_stream() {
    let mut stream = EngineEventStream::new(StreamOptions::new(WorkerRank::new(1, 0), 2));
    let mut out = Vec::new();
    let good = batch(vec![removed(&[1], vec![])]);
    stream.accept(0, &good, &mut out).expect("frame");
    assert!(stream.accept(1, b"\xc1", &mut out).is_err());
    assert_eq!(stream.last_sequence(), Some(1));
    stream.accept(2, &good, &mut out).expect("frame");
    assert_eq!(stream.counters().gaps, 0);
}
