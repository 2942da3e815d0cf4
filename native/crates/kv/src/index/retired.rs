//! Content that nobody finds any more, taken apart piece by piece.

use super::ranks::Ranks;
use super::segment::Place;
use super::sharded_map::IntoIter;

/// Content on its way out.
#[derive(Debug)]
pub(super) struct Retired {
    pub(super) number: u32,
    places: [IntoIter<Place>; 4],
}

impl Retired {
    pub(super) fn new(ranks: &mut Ranks, number: u32) -> Self {
        let tables = ranks.take_tables(number);
        Self {
            number,
            places: tables.map(|table| table.places.into_iter()),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        let left: usize = self.places.iter().map(ExactSizeIterator::len).sum();
        left * (size_of::<(u64, Place)>() + 1)
    }

    pub(super) fn next(&mut self) -> Option<Place> {
        let place = self.places.iter_mut().find_map(Iterator::next);
        place.map(|(_, place)| place)
    }
}
