//! A worker's answer, read without the index, so that nobody waits for it.

use prost::Message;

use crate::events::CacheEvent;
use crate::index::{StagingRoom, StoredRun, WorkerRank, parse_snapshot};
use crate::wire::{KvQueryResult, WorkerKvQueryResponse};

/// Most blocks of an event that is applied at once; four times what a publisher of ours makes.
const MAX_EVENT_BLOCKS: usize = 4096;

/// What one rank's worker answered.
#[derive(Debug)]
pub struct ParsedRecovery {
    pub(super) epoch: u64,
    pub(super) last_event_id: u64,
    pub(super) answer: Answer,
}

#[derive(Debug)]
pub(super) enum Answer {
    /// Everything the rank holds, and room for it.
    Snapshot(Vec<StoredRun>, StagingRoom),
    /// What was asked for, in order.
    Events(Vec<CacheEvent>),
    /// There is nothing after this event.
    TooNew(u64),
    InvalidRange,
    /// The worker could not answer, or what it answered makes no sense.
    Failed(String),
}

impl ParsedRecovery {
    /// Reads the encoded `WorkerKvQueryResponse` items of one answer. A bad answer is a result too.
    #[must_use]
    pub fn parse(rank: WorkerRank, items: &[Vec<u8>]) -> Self {
        read(rank, items).unwrap_or_else(|problem| Self {
            epoch: 0,
            last_event_id: 0,
            answer: Answer::Failed(problem),
        })
    }

    /// Why the answer cannot be used.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        match &self.answer {
            Answer::Failed(problem) => Some(problem),
            _ => None,
        }
    }
}

fn read(rank: WorkerRank, items: &[Vec<u8>]) -> Result<ParsedRecovery, String> {
    let mut epoch = 0;
    let mut last_event_id = 0;
    let mut results = Vec::with_capacity(items.len());
    for item in items {
        let item = WorkerKvQueryResponse::decode(item.as_slice())
            .map_err(|_| "the answer cannot be read".to_owned())?;
        if (item.worker_id, item.dp_rank) != (rank.worker_id, rank.dp_rank) || item.epoch == 0 {
            return Err("the answer is about another rank".to_owned());
        }
        if results.is_empty() {
            (epoch, last_event_id) = (item.epoch, item.last_event_id);
        } else if (epoch, last_event_id) != (item.epoch, item.last_event_id) {
            return Err(NOT_TOGETHER.to_owned());
        }
        results.push(item.result.ok_or("the answer is empty")?);
    }
    Ok(ParsedRecovery {
        epoch,
        last_event_id,
        answer: join(rank, results)?,
    })
}

const NOT_TOGETHER: &str = "the parts of the answer do not belong together";

fn join(rank: WorkerRank, results: Vec<KvQueryResult>) -> Result<Answer, String> {
    let count = results.len();
    match results.first() {
        None => Err("the worker answered nothing".to_owned()),
        Some(KvQueryResult::Snapshot(_)) => join_snapshot(rank, results),
        Some(KvQueryResult::Events(_)) => join_events(rank, results),
        Some(_) if count > 1 => Err(NOT_TOGETHER.to_owned()),
        Some(KvQueryResult::TooNew(answer)) => Ok(Answer::TooNew(answer.newest_event_id)),
        Some(KvQueryResult::InvalidRange(_)) => Ok(Answer::InvalidRange),
        Some(KvQueryResult::Error(problem)) => Err(problem.clone()),
    }
}

fn join_snapshot(rank: WorkerRank, results: Vec<KvQueryResult>) -> Result<Answer, String> {
    let count = results.len();
    let mut bytes = Vec::new();
    for (position, result) in results.into_iter().enumerate() {
        let KvQueryResult::Snapshot(chunk) = result else {
            return Err(NOT_TOGETHER.to_owned());
        };
        if (chunk.index as usize, chunk.count as usize) != (position, count) {
            return Err("parts of the snapshot are missing".to_owned());
        }
        if bytes.is_empty() {
            bytes = chunk.data;
        } else {
            bytes.extend(chunk.data);
        }
    }
    let ranks = parse_snapshot(&bytes).map_err(|error| error.to_string())?;
    match <[_; 1]>::try_from(ranks) {
        Ok([(of, runs)]) if of == rank => {
            let room = StagingRoom::for_runs(&runs);
            Ok(Answer::Snapshot(runs, room))
        }
        _ => Err("the snapshot is of another rank".to_owned()),
    }
}

fn join_events(rank: WorkerRank, results: Vec<KvQueryResult>) -> Result<Answer, String> {
    let mut events = Vec::new();
    for result in results {
        let KvQueryResult::Events(batch) = result else {
            return Err(NOT_TOGETHER.to_owned());
        };
        for event in batch.events {
            let event = event.to_cache_event(rank.worker_id);
            let event = event.filter(|event| event.rank == rank);
            events.push(event.ok_or("an event of the answer makes no sense")?);
        }
    }
    if events.iter().any(|e| e.data.len() > MAX_EVENT_BLOCKS) {
        // A snapshot can be applied in steps.
        return Ok(Answer::InvalidRange);
    }
    Ok(Answer::Events(events))
}
