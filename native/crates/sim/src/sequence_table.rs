//! All requests of an engine, by their id.

use crate::sequence::{RequestId, Sequence};

/// Requests by id. Its size follows the largest id, so ids should be small and be reused.
#[derive(Debug, Default)]
pub struct SequenceTable {
    sequences: Vec<Option<Box<Sequence>>>,
    len: usize,
}

impl SequenceTable {
    /// Number of requests.
    #[must_use]
    #[allow(clippy::len_without_is_empty)] // nobody asks
    pub fn len(&self) -> usize {
        self.len
    }

    /// The request with this id.
    #[must_use]
    pub fn get(&self, id: RequestId) -> Option<&Sequence> {
        self.sequences.get(id as usize)?.as_deref()
    }

    /// The request with this id, to change it.
    pub fn get_mut(&mut self, id: RequestId) -> Option<&mut Sequence> {
        self.sequences.get_mut(id as usize)?.as_deref_mut()
    }

    /// Adds a request whose id is not in use.
    pub fn insert(&mut self, id: RequestId, sequence: Sequence) {
        let slot = id as usize;
        if slot >= self.sequences.len() {
            self.sequences.resize_with(slot + 1, || None);
        }
        if self.sequences[slot].replace(Box::new(sequence)).is_none() {
            self.len += 1;
        }
    }

    /// Takes a request out.
    pub fn remove(&mut self, id: RequestId) -> Option<Sequence> {
        let sequence = self.sequences.get_mut(id as usize)?.take()?;
        self.len -= 1;
        Some(*sequence)
    }
}
