//! The engine and its publisher.

use dynamo_kv::{
    BlockSeed, CacheChange, CacheEventData, CacheTier, ExactIndex, FramePlace, KvIndex,
    KvPublisher, PublisherOptions, StoredBlock, WorkerRank, local_block_hashes,
};

use super::{BLOCK_SIZE, FRAMED, Random, WORKER, content};

/// An engine with a publisher, and beside it an index that is told everything directly.
pub struct Worker {
    pub publisher: KvPublisher,
    pub truth: ExactIndex,
    pub sequence: u64,
    pub clock: u32,
    pub names: Vec<u64>,
}

impl Worker {
    pub fn new(epoch: u64) -> Self {
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

    pub fn change(&mut self, random: &mut Random) {
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
    pub fn frame(&mut self, random: &mut Random) {
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
    pub fn stored_frame(&mut self, random: &mut Random, sequence: u64, rank: WorkerRank) {
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

    pub fn accept(&mut self, sequence: u64, payload: &[u8]) {
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

    pub fn tell(&mut self, rank: WorkerRank, tier: CacheTier, data: &CacheEventData) {
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

    pub fn name(&self, random: &mut Random) -> u64 {
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
