//! Tells from a frame's number and clock whether frames were lost, repeated, or the publisher began anew.

/// Place of a frame in its publisher's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FramePlace {
    /// The first frame this stream has seen. Whatever was sent before it is unknown: frames from 0 to here are missing
    /// unless it is frame 0.
    First,
    /// The frame after the last one.
    Next,
    /// Frames are missing before this one.
    Gap {
        /// First missing frame.
        missing_from: u64,
    },
    /// Seen before: late, or repeated by a replay.
    Stale,
    /// The publisher restarted: numbers went back while its clock went on.
    Restarted,
}

/// Last frame seen of one publisher.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SequenceTracker {
    last: Option<(u64, f64)>,
}

impl SequenceTracker {
    /// Where a frame stands; nothing changes.
    pub(crate) fn place(&self, sequence: u64, timestamp: f64) -> FramePlace {
        match self.last {
            None => FramePlace::First,
            Some((last, _)) if Some(sequence) == last.checked_add(1) => FramePlace::Next,
            Some((last, _)) if sequence > last => FramePlace::Gap {
                missing_from: last + 1,
            },
            Some((_, clock)) if timestamp > clock => FramePlace::Restarted,
            Some(_) => FramePlace::Stale,
        }
    }

    /// Takes the frame as the last one seen.
    pub(crate) fn advance(&mut self, sequence: u64, timestamp: f64) {
        self.last = Some((sequence, timestamp));
    }

    /// Gives up frames before `next`; returns how many were missing.
    pub(crate) fn skip_to(&mut self, next: u64) -> u64 {
        let Some((last, clock)) = self.last else {
            return 0;
        };
        let missing = next.saturating_sub(last.saturating_add(1));
        if missing > 0 {
            self.last = Some((next - 1, clock));
        }
        missing
    }

    /// Number of the last frame.
    pub(crate) fn last(&self) -> Option<u64> {
        self.last.map(|(sequence, _)| sequence)
    }

    pub(crate) fn clock(&self) -> f64 {
        self.last.map_or(0.0, |(_, clock)| clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_repeated_and_restarted_frames_are_told_apart() {
        let mut tracker = SequenceTracker::default();
        assert_eq!(tracker.place(5, 1.0), FramePlace::First);
        tracker.advance(5, 1.0);
        assert_eq!(tracker.place(6, 1.1), FramePlace::Next);
        assert_eq!(tracker.place(9, 1.3), FramePlace::Gap { missing_from: 6 });
        assert_eq!(tracker.place(5, 1.0), FramePlace::Stale);
        assert_eq!(tracker.place(0, 7.0), FramePlace::Restarted);
        assert_eq!(tracker.skip_to(9), 3);
        assert_eq!(tracker.place(9, 1.3), FramePlace::Next);
    }

    #[test]
    fn the_last_possible_number_does_not_overflow() {
        let mut tracker = SequenceTracker::default();
        tracker.advance(u64::MAX, 1.0);
        assert_eq!(tracker.place(0, 0.5), FramePlace::Stale);
        assert_eq!(tracker.skip_to(u64::MAX), 0);
    }
}
