//! Words in memory that is used round and round: lists are written one after the other, over the oldest ones.

/// Where a list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extent {
    /// Words that had passed before it; only grows.
    start: u64,
    words: usize,
}

/// The memory. What is too old to be there any more is not read.
#[derive(Debug)]
pub(super) struct Tape {
    /// Zeroed pages cost nothing before they are written for the first time.
    words: Vec<u64>,
    passed: u64,
}

impl Tape {
    /// So many words.
    pub(super) fn new(words: usize) -> Self {
        Self {
            words: vec![0; words],
            passed: 0,
        }
    }

    /// Writes a list of `words` words in one piece; one that is longer than the tape is not kept.
    pub(super) fn write(&mut self, words: usize, fill: impl FnOnce(&mut [u64])) -> Extent {
        let whole = self.words.len();
        if words > whole {
            let start = self.passed;
            return Extent { start, words };
        }
        let mut at = self.position(self.passed);
        if at + words > whole {
            self.passed += (whole - at) as u64;
            at = 0;
        }
        fill(&mut self.words[at..at + words]);
        let start = self.passed;
        self.passed += words as u64;
        Extent { start, words }
    }

    /// A list, as long as it is there.
    pub(super) fn read(&self, extent: Extent) -> Option<&[u64]> {
        let whole = self.words.len();
        if extent.words > whole || extent.start + (whole as u64) < self.passed {
            return None;
        }
        let at = self.position(extent.start);
        self.words.get(at..at + extent.words)
    }

    /// Memory that has been written to.
    pub(super) fn bytes(&self) -> usize {
        let passed = usize::try_from(self.passed).unwrap_or(usize::MAX);
        passed.min(self.words.len()) * size_of::<u64>()
    }

    #[allow(clippy::cast_possible_truncation)] // below the length
    fn position(&self, passed: u64) -> usize {
        (passed % self.words.len().max(1) as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(tape: &mut Tape, list: &[u64]) -> Extent {
        tape.write(list.len(), |words| words.copy_from_slice(list))
    }

    #[test]
    fn lists_stay_until_they_are_written_over() {
        let mut tape = Tape::new(10);
        let first = put(&mut tape, &[1, 2, 3, 4]);
        let second = put(&mut tape, &[5, 6, 7, 8]);
        assert_eq!(tape.read(first), Some(&[1, 2, 3, 4][..]));
        // Two words are left, which is not enough in one piece.
        let third = put(&mut tape, &[9, 10, 11]);
        assert_eq!(tape.read(first), None);
        assert_eq!(tape.read(second), Some(&[5, 6, 7, 8][..]));
        assert_eq!(tape.read(third), Some(&[9, 10, 11][..]));
        let fourth = put(&mut tape, &[12, 13]);
        assert_eq!(tape.read(second), None);
        assert_eq!(tape.read(third), Some(&[9, 10, 11][..]));
        assert_eq!(tape.read(fourth), Some(&[12, 13][..]));
        assert_eq!(tape.bytes(), 80);
    }

    #[test]
    fn a_list_that_is_longer_than_the_tape_is_not_kept_and_harms_no_other() {
        let mut tape = Tape::new(4);
        let short = put(&mut tape, &[1, 2]);
        let long = put(&mut tape, &[0; 5]);
        assert_eq!(tape.read(long), None);
        assert_eq!(tape.read(short), Some(&[1, 2][..]));
        let whole = put(&mut tape, &[3, 4, 5, 6]);
        assert_eq!(tape.read(whole), Some(&[3, 4, 5, 6][..]));
        assert_eq!(tape.read(short), None);
        let mut none = Tape::new(0);
        let list = put(&mut none, &[1]);
        assert_eq!(none.read(list), None);
    }
}
