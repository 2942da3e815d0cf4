//! Times what one placement needs besides the index, and the decoding of engine events.
//! `cargo run --release -p dynamo-kv --example placement_bench`
#![allow(clippy::print_stdout, clippy::cast_precision_loss)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use dynamo_kv::{
    ActiveSequences, Candidates, CostSettings, EngineEventStream, NewRequest, SeededRandom,
    SelectRequest, SequenceOptions, StreamOptions, WorkerRank, select, sequence_hashes,
};

const RECORDING: &str = include_str!("../tests/fixtures/vllm-0.32-kv-events.jsonl");
const WORKERS: u64 = 64;
const BLOCKS: u64 = 1024;

fn main() {
    let local: Vec<u64> = (0..BLOCKS).collect();
    let hashes = sequence_hashes(&local);
    let ranks: Vec<WorkerRank> = (0..WORKERS).map(|id| WorkerRank::new(id, 0)).collect();
    let mut sequences = ActiveSequences::new(SequenceOptions::default());
    for at in 0..WORKERS * 8 {
        let depth = (at * 37 % BLOCKS) as usize;
        let mut mine = local[..depth].to_vec();
        mine.extend((0..BLOCKS - depth as u64).map(|tail| 1_000_000 * (at + 1) + tail));
        add(
            &mut sequences,
            &format!("r{at}"),
            ranks[(at % WORKERS) as usize],
            &sequence_hashes(&mine),
        );
    }
    time("potential loads, 64 ranks, 1024 blocks, 64 depths", || {
        black_box(sequences.potential_loads(&hashes, 0, &ranks));
    });
    time("add and free, 1024 blocks", || {
        add(&mut sequences, "x", ranks[5], &hashes);
        sequences.free("x");
    });

    let loads = sequences.potential_loads(&hashes, 0, &ranks);
    let overlap: Vec<u32> = (0..64).map(|at| at * 7 % 100).collect();
    let candidates = Candidates {
        ranks: &ranks,
        device_overlap_blocks: &overlap,
        active_prefill_tokens: &loads.prefill_tokens,
        potential_decode_blocks: &loads.decode_blocks,
        active_requests: &loads.active_requests,
        ..Candidates::default()
    };
    let request = SelectRequest {
        isl_tokens: 16_384,
        block_size: 16,
        ..SelectRequest::default()
    };
    let mut random = SeededRandom::new(1);
    for temperature in [0.0, 0.5] {
        let settings = CostSettings {
            temperature,
            ..CostSettings::default()
        };
        time(
            &format!("select among 64, temperature {temperature}"),
            || {
                black_box(select(&request, &candidates, &settings, &mut random).is_ok());
            },
        );
    }
    time(
        "decode and convert the recording (20 frames, 30 blocks of 32 tokens)",
        decode_recording(),
    );
}

fn add(sequences: &mut ActiveSequences, id: &str, rank: WorkerRank, hashes: &[u64]) {
    let request = NewRequest {
        id,
        rank,
        sequence_hashes: hashes,
        private_blocks: 0,
        prefill_tokens: 100,
        now_ms: 0,
    };
    assert!(sequences.add(&request).is_ok(), "duplicate {id}");
}

fn decode_recording() -> impl FnMut() {
    let digits = |text: &str, at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap_or(0);
    let payloads: Vec<Vec<u8>> = RECORDING
        .lines()
        .filter_map(|line| line.split('"').nth(7))
        .map(|hex| {
            (0..hex.len())
                .step_by(2)
                .map(|at| digits(hex, at))
                .collect()
        })
        .collect();
    move || {
        let mut stream = EngineEventStream::new(StreamOptions::new(WorkerRank::new(1, 0), 32));
        let mut out = Vec::new();
        for (sequence, payload) in (0..).zip(&payloads) {
            assert!(stream.accept(sequence, payload, &mut out).is_ok());
        }
        black_box(out);
    }
}

/// Prints the median and the 99th percentile.
fn time(name: &str, mut run: impl FnMut()) {
    let mut times: Vec<Duration> = (0..5000)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    let micros = |at: usize| times[at].as_nanos() as f64 / 1000.0;
    println!(
        "{name}: p50 {:.2} µs, p99 {:.2} µs",
        micros(2500),
        micros(4950)
    );
}
