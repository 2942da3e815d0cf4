//! What to do with an answer, from where the cursor stands.

use super::cursor::{Cursor, FeedState};
use super::parsed_recovery::{Answer, ParsedRecovery};
use crate::events::{CacheEvent, CacheEventData};
use crate::index::{StagingRoom, StoredRun};

pub(super) enum Verdict {
    /// Take it in place of everything.
    Load(Vec<StoredRun>, StagingRoom),
    /// Go on with these; they follow the cursor.
    Apply(Vec<CacheEvent>),
    /// It tells nothing that is missing here.
    Ignore,
    /// It does not help: only everything will do.
    AskForAll,
    Demote,
}

pub(super) fn judge(cursor: &mut Cursor, parsed: ParsedRecovery) -> Verdict {
    if cursor.state == FeedState::Live {
        judge_unawaited(cursor, parsed)
    } else {
        judge_awaited(cursor, parsed)
    }
}

/// Nothing is missing any more. An answer that goes further than the cursor still comes from the worker itself.
fn judge_unawaited(cursor: &Cursor, parsed: ParsedRecovery) -> Verdict {
    let is_same = parsed.epoch == cursor.epoch;
    let is_newer = if is_same {
        parsed.last_event_id > cursor.last
    } else {
        parsed.epoch > cursor.epoch && !cursor.is_past(parsed.epoch)
    };
    match parsed.answer {
        Answer::Snapshot(runs, room) if is_newer => Verdict::Load(runs, room),
        Answer::Events(events) if is_newer && is_same => {
            following(cursor.last, parsed.last_event_id, events)
                .map_or(Verdict::Ignore, Verdict::Apply)
        }
        _ => Verdict::Ignore,
    }
}

fn judge_awaited(cursor: &mut Cursor, parsed: ParsedRecovery) -> Verdict {
    let ParsedRecovery {
        epoch,
        last_event_id,
        answer,
    } = parsed;
    if cursor.is_past(epoch) {
        // Late, or the start is not over after all: the next answer will say.
        cursor.forgive(epoch);
        return Verdict::AskForAll;
    }
    let is_same = epoch == cursor.epoch;
    let continues = is_same && !cursor.needs_all;
    match answer {
        Answer::Failed(_) => Verdict::Demote,
        Answer::Snapshot(..) if is_same && last_event_id < cursor.last => {
            // Late; should the worker say so again, it is the cursor that is wrong.
            cursor.set_position(epoch, 0);
            Verdict::AskForAll
        }
        Answer::Snapshot(runs, room) => Verdict::Load(runs, room),
        Answer::Events(events) if continues => {
            following(cursor.last, last_event_id, events).map_or(Verdict::AskForAll, Verdict::Apply)
        }
        Answer::TooNew(newest) if continues && newest == cursor.last => Verdict::Apply(Vec::new()),
        Answer::Events(_) | Answer::TooNew(_) | Answer::InvalidRange => Verdict::AskForAll,
    }
}

/// Those events after `last` that lead to the answer's end without a hole; a clear needs nothing before it.
fn following(last: u64, end: u64, mut events: Vec<CacheEvent>) -> Option<Vec<CacheEvent>> {
    events.retain(|event| event.event_id > last);
    let mut at = last;
    for event in &events {
        let is_next = Some(event.event_id) == at.checked_add(1);
        let clears = event.event_id > at && event.data == CacheEventData::Cleared;
        if !is_next && !clears {
            return None;
        }
        at = event.event_id;
    }
    (at >= end).then_some(events)
}
