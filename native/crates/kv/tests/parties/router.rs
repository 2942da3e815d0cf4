//! The router.

use std::collections::VecDeque;

use dynamo_kv::{
    EventFeed, ExactIndex, FeedState, ParsedRecovery, RecoveryProgress, RecoveryWanted, WorkerRank,
};

use super::{BLOCK_SIZE, RANKS, Random, WORKER, Worker};
use crate::stream::ask;

/// A router: the feed, its index, the questions that are under way, and the answers being applied.
pub struct Router {
    pub feed: EventFeed,
    pub index: ExactIndex,
    pub asked: VecDeque<RecoveryWanted>,
    pub answered: VecDeque<(WorkerRank, Vec<Vec<u8>>)>,
    pub applying: VecDeque<RecoveryProgress>,
    pub now_ms: u64,
}

impl Router {
    pub fn new() -> Self {
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

    pub fn offer(&mut self, payload: &[u8]) {
        let result = self.feed.offer(&mut self.index, payload, self.now_ms);
        assert_eq!(result.refused, 0);
        self.asked.extend(result.recoveries);
    }

    /// One thing that routers do beside taking batches.
    pub fn act(&mut self, worker: &Worker, random: &mut Random, failing: u64) {
        match random.below(4) {
            0 => self.asked.extend(self.feed.recoveries_due(self.now_ms)),
            1 => {
                let Some(wanted) = random.take(&mut self.asked) else {
                    return;
                };
                if random.chance(failing) {
                    self.feed.fail_recovery(wanted.rank, self.now_ms);
                } else {
                    let items = ask(&wanted, &worker.publisher);
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

    pub fn is_settled(&self) -> bool {
        let live = (0..RANKS).all(|dp_rank| {
            self.feed.state(WorkerRank::new(WORKER, dp_rank)) == Some(FeedState::Live)
        });
        live && self.asked.is_empty() && self.answered.is_empty() && self.applying.is_empty()
    }
}
