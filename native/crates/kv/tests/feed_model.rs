//! Whatever happens between an engine and a router, in the end the router's index is what the engine holds: random engine
//! frames and changes, lost, repeated and damaged frames, restarts of engine, publisher and router, a channel that loses,
//! repeats and reorders batches, answers that fail or come late.

#![allow(clippy::unwrap_used)] // a test may panic

use std::collections::{BTreeMap, VecDeque};

use dynamo_kv::{
    BlockSeed, CacheChange, CacheEventData, CacheTier, EventFeed, ExactIndex, FeedState,
    FramePlace, KvIndex, KvPublisher, ParsedRecovery, PublisherOptions, RecoveryProgress,
    RecoveryWanted, StoredBlock, WorkerKvQueryRequest, WorkerRank, local_block_hashes,
};
use prost::Message;

const WORKER: u64 = 7;
const RANKS: u32 = 2;
const BLOCK_SIZE: usize = 2;
/// The rank whose events are frames; the others' come as changes.
const FRAMED: u32 = 1;
const FIRST_EPOCH: u64 = 1_000;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn take<T>(&mut self, from: &mut VecDeque<T>) -> Option<T> {
        let at = self.below(from.len().max(1) as u64);
        from.remove(usize::try_from(at).unwrap())
    }
}

/// Content of a rank: where it is, the engine's name, and the local hashes from the start of the prompt.
type Content = BTreeMap<(CacheTier, u64), Vec<u64>>;

fn content(index: &ExactIndex, rank: WorkerRank) -> Content {
    let mut content = Content::new();
    for run in index.dump_rank(rank) {
        let mut path = match run.parent {
            Some(parent) => content[&(run.tier, parent)].clone(),
            None => run.ancestors,
        };
        for block in run.blocks {
            path.push(block.local_hash);
            content.insert((run.tier, block.engine_hash), path.clone());
        }
    }
    content
}

/// An engine with a publisher, and beside it an index that is told everything directly.
struct Worker {
    publisher: KvPublisher,
    truth: ExactIndex,
    sequence: u64,
    clock: u32,
    names: Vec<u64>,
}

impl Worker {
    fn new(epoch: u64) -> Self {
        let mut options = PublisherOptions::new(WORKER, epoch, BLOCK_SIZE);
        options.ring_events = 12;
        options.max_batch_blocks = 6;
        Self {
            publisher: KvPublisher::new(options).unwrap(),
            truth: ExactIndex::default(),
            sequence: 0,
            clock: 1,
            names: Vec::new(),
        }
    }

    fn change(&mut self, random: &mut Random) {
        let tier = CacheTier::ALL[usize::try_from(random.below(2)).unwrap()];
        let rank = WorkerRank::new(WORKER, 0);
        let data = match random.below(12) {
            0 => CacheEventData::Cleared,
            1..=4 => CacheEventData::Removed {
                engine_hashes: (0..=random.below(4)).map(|_| self.name(random)).collect(),
            },
            _ => {
                // A store that fails must not be joined with one that would not, so parents are known ones.
                let held = content(&self.truth, rank);
                let at = usize::try_from(random.below(2 * held.len() as u64 + 1)).unwrap();
                let parent = held.keys().nth(at).map(|(_, hash)| *hash);
                let first = 1 + random.below(60);
                let blocks = (first..=first + random.below(5)).map(|hash| StoredBlock {
                    engine_hash: hash,
                    local_hash: hash % 9,
                });
                CacheEventData::Stored {
                    parent,
                    blocks: blocks.collect(),
                }
            }
        };
        if let CacheEventData::Stored { parent, blocks } = &data {
            if blocks.iter().any(|b| Some(b.engine_hash) == *parent) {
                return;
            }
            self.names.extend(blocks.iter().map(|b| b.engine_hash));
        }
        self.tell(rank, tier, &data);
        self.publisher.accept_change(0, tier, data);
    }

    /// Sends a frame, unless it is lost or damaged, in which case the rank is empty for everyone.
    fn frame(&mut self, random: &mut Random) {
        let sequence = self.sequence;
        self.sequence += 1;
        self.clock += 1;
        let rank = WorkerRank::new(WORKER, FRAMED);
        match random.below(30) {
            0 => {
                // Lost: the next one shows the gap, and there is no replay.
                let next = sequence + 1;
                self.sequence += 1;
                let payload = removed_frame(self.clock, &[1]);
                let place = self.publisher.accept_frame(FRAMED, next, &payload).unwrap();
                if sequence == 0 {
                    assert_eq!(place, FramePlace::First);
                    return;
                }
                assert_eq!(
                    place,
                    FramePlace::Gap {
                        missing_from: sequence
                    }
                );
                assert_eq!(self.publisher.skip_to(FRAMED, next), next);
                self.publisher.accept_frame(FRAMED, next, &payload).unwrap();
                self.tell(rank, CacheTier::Device, &CacheEventData::Cleared);
            }
            1 => {
                let result = self.publisher.accept_frame(FRAMED, sequence, &[0xc1, 2, 3]);
                assert!(result.is_err());
                self.tell(rank, CacheTier::Device, &CacheEventData::Cleared);
                if sequence == 0 {
                    self.sequence = 0;
                }
            }
            2 if sequence > 0 => {
                // The engine restarts: its numbers begin again.
                self.sequence = 1;
                let payload = removed_frame(self.clock, &[1]);
                let place = self.publisher.accept_frame(FRAMED, 0, &payload).unwrap();
                assert_eq!(place, FramePlace::Restarted);
                self.tell(rank, CacheTier::Device, &CacheEventData::Cleared);
            }
            3..=12 => {
                let name = 1_000 + random.below(30);
                let payload = removed_frame(self.clock, &[name]);
                self.accept(sequence, &payload);
                let data = CacheEventData::Removed {
                    engine_hashes: vec![name],
                };
                self.tell(rank, CacheTier::Device, &data);
            }
            _ => self.stored_frame(random, sequence, rank),
        }
    }

    /// One block after another one or at the start; stored once, because copies are counted.
    fn stored_frame(&mut self, random: &mut Random, sequence: u64, rank: WorkerRank) {
        let held = content(&self.truth, rank);
        let name = 1_000 + random.below(30);
        let parents: Vec<u64> = held.keys().map(|(_, hash)| *hash).collect();
        if parents.contains(&name) {
            self.accept(sequence, &removed_frame(self.clock, &[]));
            return;
        }
        let parent = parents
            .get(usize::try_from(random.below(8)).unwrap())
            .copied();
        let tokens = [u8::try_from(random.below(4)).unwrap(), 5];
        let payload = stored_frame(self.clock, name, parent, tokens);
        self.accept(sequence, &payload);
        let local = local_block_hashes(&tokens.map(u32::from), BLOCK_SIZE, BlockSeed::default());
        let data = CacheEventData::Stored {
            parent,
            blocks: vec![StoredBlock {
                engine_hash: name,
                local_hash: local[0],
            }],
        };
        self.tell(rank, CacheTier::Device, &data);
    }

    fn accept(&mut self, sequence: u64, payload: &[u8]) {
        let place = self
            .publisher
            .accept_frame(FRAMED, sequence, payload)
            .unwrap();
        assert!(matches!(place, FramePlace::First | FramePlace::Next));
        if sequence.is_multiple_of(5) {
            let again = self
                .publisher
                .accept_frame(FRAMED, sequence, payload)
                .unwrap();
            assert_eq!(again, FramePlace::Stale);
        }
    }

    fn tell(&mut self, rank: WorkerRank, tier: CacheTier, data: &CacheEventData) {
        let change = match data {
            CacheEventData::Stored { parent, blocks } => CacheChange::Stored {
                parent: *parent,
                blocks,
            },
            CacheEventData::Removed { engine_hashes } => CacheChange::Removed { engine_hashes },
            CacheEventData::Cleared => CacheChange::Cleared,
        };
        self.truth.apply(rank, tier, &change);
    }

    fn name(&self, random: &mut Random) -> u64 {
        let at = random.below(self.names.len().max(1) as u64);
        let at = usize::try_from(at).unwrap();
        self.names.get(at).copied().unwrap_or(99)
    }
}

fn frame(clock: u32, event: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0x93, 0xce];
    bytes.extend(clock.to_be_bytes());
    bytes.push(0x91);
    bytes.extend(event);
    bytes.push(0xc0);
    bytes
}

fn hashes(out: &mut Vec<u8>, hashes: &[u64]) {
    out.push(0x90 | u8::try_from(hashes.len()).unwrap());
    for hash in hashes {
        out.push(0xcf);
        out.extend(hash.to_be_bytes());
    }
}

fn removed_frame(clock: u32, names: &[u64]) -> Vec<u8> {
    let mut event = vec![0x93, 0xac];
    event.extend(b"BlockRemoved");
    hashes(&mut event, names);
    event.extend(b"\xa3GPU");
    frame(clock, &event)
}

fn stored_frame(clock: u32, name: u64, parent: Option<u64>, tokens: [u8; 2]) -> Vec<u8> {
    let mut event = vec![0x97, 0xab];
    event.extend(b"BlockStored");
    hashes(&mut event, &[name]);
    match parent {
        Some(parent) => {
            event.push(0xcf);
            event.extend(parent.to_be_bytes());
        }
        None => event.push(0xc0),
    }
    event.extend([0x92, tokens[0], tokens[1], 2, 0xc0]);
    event.extend(b"\xa3GPU");
    frame(clock, &event)
}

/// A router: the feed, its index, the questions that are under way, and the answers being applied.
struct Router {
    feed: EventFeed,
    index: ExactIndex,
    asked: VecDeque<RecoveryWanted>,
    answered: VecDeque<(WorkerRank, Vec<Vec<u8>>)>,
    applying: VecDeque<RecoveryProgress>,
    now_ms: u64,
}

impl Router {
    fn new() -> Self {
        let mut feed = EventFeed::new(u32::try_from(BLOCK_SIZE).unwrap());
        for dp_rank in 0..RANKS {
            feed.add_rank(WorkerRank::new(WORKER, dp_rank));
        }
        Self {
            feed,
            index: ExactIndex::default(),
            asked: VecDeque::new(),
            answered: VecDeque::new(),
            applying: VecDeque::new(),
            now_ms: 0,
        }
    }

    fn offer(&mut self, payload: &[u8]) {
        let result = self.feed.offer(&mut self.index, payload, self.now_ms);
        assert_eq!(result.refused, 0);
        self.asked.extend(result.recoveries);
    }

    /// One thing that routers do beside taking batches.
    fn act(&mut self, worker: &Worker, random: &mut Random, failing: u64) {
        match random.below(4) {
            0 => self.asked.extend(self.feed.recoveries_due(self.now_ms)),
            1 => {
                let Some(wanted) = random.take(&mut self.asked) else {
                    return;
                };
                if random.chance(failing) {
                    self.feed.fail_recovery(wanted.rank, self.now_ms);
                } else {
                    let items = ask(&worker.publisher, &wanted);
                    self.answered.push_back((wanted.rank, items));
                }
            }
            2 => {
                if let Some((rank, items)) = random.take(&mut self.answered) {
                    let parsed = ParsedRecovery::parse(rank, &items);
                    let now_ms = self.now_ms;
                    let progress = self
                        .feed
                        .begin_recovery(&mut self.index, rank, parsed, now_ms);
                    self.applying.push_back(progress);
                }
            }
            _ => {
                let Some(mut progress) = random.take(&mut self.applying) else {
                    return;
                };
                let max_blocks = usize::try_from(random.below(9)).unwrap();
                let result = self.feed.step_recovery(
                    &mut self.index,
                    &mut progress,
                    max_blocks,
                    self.now_ms,
                );
                match result {
                    Some(result) => self.asked.extend(result.recoveries),
                    None => self.applying.push_back(progress),
                }
            }
        }
    }

    fn is_settled(&self) -> bool {
        let live = (0..RANKS).all(|dp_rank| {
            self.feed.state(WorkerRank::new(WORKER, dp_rank)) == Some(FeedState::Live)
        });
        live && self.asked.is_empty() && self.answered.is_empty() && self.applying.is_empty()
    }
}

fn ask(publisher: &KvPublisher, wanted: &RecoveryWanted) -> Vec<Vec<u8>> {
    let request = WorkerKvQueryRequest {
        worker_id: wanted.rank.worker_id,
        dp_rank: wanted.rank.dp_rank,
        start_event_id: wanted.start_event_id,
        end_event_id: None,
        epoch: wanted.epoch,
    };
    publisher.query(&request.encode_to_vec())
}

#[test]
fn after_any_history_the_routers_index_is_what_the_engine_holds() {
    for seed in 1..=400 {
        run(seed);
    }
}

fn run(seed: u64) {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let mut worker = Worker::new(FIRST_EPOCH);
    let mut starts = 0;
    let mut router = Router::new();
    let mut channel: VecDeque<Vec<u8>> = VecDeque::new();
    for _ in 0..400 {
        router.now_ms += random.below(200);
        match random.below(100) {
            0 => {
                // Every start has an epoch of its own, but clocks step back too.
                starts += 1;
                let epoch = if random.chance(80) {
                    FIRST_EPOCH + starts
                } else {
                    FIRST_EPOCH - starts
                };
                worker = Worker::new(epoch);
            }
            1 => router = Router::new(),
            2 => {
                let rank = WorkerRank::new(WORKER, u32::try_from(random.below(2)).unwrap());
                router.feed.restore_needed(rank);
            }
            3..=25 => worker.change(&mut random),
            26..=45 => worker.frame(&mut random),
            46..=60 => channel.extend(worker.publisher.flush()),
            61..=80 => carry(&mut channel, &mut router, &mut random),
            _ => router.act(&worker, &mut random, 20),
        }
    }
    settle(&mut worker, &mut router, channel, &mut random);
    for dp_rank in 0..RANKS {
        let rank = WorkerRank::new(WORKER, dp_rank);
        let truth = content(&worker.truth, rank);
        assert_eq!(content(&router.index, rank), truth, "seed {seed}, {rank:?}");
        let recovered = restored(&worker.publisher, rank);
        assert_eq!(recovered, truth, "seed {seed}, {rank:?}, own index");
    }
    while router.index.sweep(100) {}
    for dp_rank in 0..RANKS {
        router.index.remove_rank(WorkerRank::new(WORKER, dp_rank));
    }
    assert_eq!(router.index.stats().blocks, 0, "seed {seed}");
}

fn carry(channel: &mut VecDeque<Vec<u8>>, router: &mut Router, random: &mut Random) {
    let early = random.chance(10);
    let next = if early {
        random.take(channel)
    } else {
        channel.pop_front()
    };
    let Some(payload) = next else { return };
    match random.below(10) {
        0 => {}
        1 => {
            router.offer(&payload);
            channel.push_back(payload);
        }
        _ => router.offer(&payload),
    }
}

/// The network is quiet again and everyone works; engines go on, because only a later event shows that one was lost.
fn settle(
    worker: &mut Worker,
    router: &mut Router,
    mut channel: VecDeque<Vec<u8>>,
    random: &mut Random,
) {
    for payload in channel.drain(..) {
        router.offer(&payload);
    }
    for round in 0..100 {
        worker.publisher.beat();
        while let Some(payload) = worker.publisher.flush() {
            router.offer(&payload);
        }
        for _ in 0..2_000 {
            router.now_ms += 100;
            router.act(worker, random, 0);
            if router.is_settled() && round > 0 {
                break;
            }
        }
    }
    assert!(router.is_settled());
}

fn restored(publisher: &KvPublisher, rank: WorkerRank) -> Content {
    let wanted = RecoveryWanted {
        rank,
        epoch: 0,
        start_event_id: None,
    };
    let mut feed = EventFeed::new(2);
    let mut index = ExactIndex::default();
    feed.add_rank(rank);
    let parsed = ParsedRecovery::parse(rank, &ask(publisher, &wanted));
    let mut progress = feed.begin_recovery(&mut index, rank, parsed, 0);
    while feed
        .step_recovery(&mut index, &mut progress, 10, 0)
        .is_none()
    {}
    content(&index, rank)
}
