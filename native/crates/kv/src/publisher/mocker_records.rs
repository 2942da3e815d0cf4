//! Reads the simulated engine's event records: little-endian, 8-aligned, one after the other.
//!
//! ```text
//! kind u8 (1 stored, 2 removed, 3 cleared) | flags u8 (1: has a parent) | rank u16 | count u32 | parent u64
//! count × engine hash u64
//! count × local hash u64     (stored only)
//! ```

use std::fmt;

use crate::events::CacheEventData;
use crate::index::StoredBlock;
use crate::wire::hashes_from_bytes;

/// Records that end early or have an unknown kind; both sides come from one build, so this is a defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MockerRecordsError;

impl fmt::Display for MockerRecordsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the mocker's KV event records cannot be read")
    }
}

impl std::error::Error for MockerRecordsError {}

/// Reads all records; each with the rank it concerns.
pub(super) fn read_records(
    mut bytes: &[u8],
) -> Result<Vec<(u16, CacheEventData)>, MockerRecordsError> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        records.push(read_record(&mut bytes).ok_or(MockerRecordsError)?);
    }
    Ok(records)
}

fn read_record(bytes: &mut &[u8]) -> Option<(u16, CacheEventData)> {
    let (header, rest) = bytes.split_first_chunk::<16>()?;
    *bytes = rest;
    let [kind, flags, rank @ .., _, _, _, _] = *header.first_chunk::<8>()?;
    let count = u32::from_le_bytes(*header[4..].first_chunk()?) as usize;
    let parent = u64::from_le_bytes(*header.last_chunk()?);
    let data = match kind {
        1 => {
            let engine_hashes = take_hashes(bytes, count)?;
            let local_hashes = take_hashes(bytes, count)?;
            let blocks = engine_hashes
                .zip(local_hashes)
                .map(|(engine_hash, local_hash)| StoredBlock {
                    engine_hash,
                    local_hash,
                });
            CacheEventData::Stored {
                parent: (flags & 1 == 1).then_some(parent),
                blocks: blocks.collect(),
            }
        }
        2 => CacheEventData::Removed {
            engine_hashes: take_hashes(bytes, count)?.collect(),
        },
        3 => CacheEventData::Cleared,
        _ => return None,
    };
    Some((u16::from_le_bytes(rank), data))
}

fn take_hashes<'a>(bytes: &mut &'a [u8], count: usize) -> Option<impl Iterator<Item = u64> + 'a> {
    let (hashes, rest) = bytes.split_at_checked(count.checked_mul(8)?)?;
    *bytes = rest;
    hashes_from_bytes(hashes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    fn head(kind: u64, flags: u64, rank: u64, count: u64) -> u64 {
        kind | flags << 8 | rank << 16 | count << 32
    }

    #[test]
    fn every_kind_is_read() {
        let bytes = words(&[
            head(1, 1, 258, 2),
            9,
            2,
            4,
            1,
            3,
            head(2, 0, 0, 1),
            0,
            5,
            head(3, 0, 1, 0),
            0,
        ]);
        let block = |engine_hash, local_hash| StoredBlock {
            engine_hash,
            local_hash,
        };
        assert_eq!(
            read_records(&bytes),
            Ok(vec![
                (
                    258,
                    CacheEventData::Stored {
                        parent: Some(9),
                        blocks: vec![block(2, 1), block(4, 3)],
                    }
                ),
                (
                    0,
                    CacheEventData::Removed {
                        engine_hashes: vec![5]
                    }
                ),
                (1, CacheEventData::Cleared),
            ])
        );
        for cut in [1, 15, 24, 40, bytes.len() - 1] {
            assert_eq!(read_records(&bytes[..cut]), Err(MockerRecordsError));
        }
    }

    #[test]
    fn unknown_kinds_and_counts_beyond_the_end_are_refused() {
        for first in [head(4, 0, 0, 0), head(2, 0, 0, u64::from(u32::MAX))] {
            assert_eq!(read_records(&words(&[first, 0])), Err(MockerRecordsError));
        }
    }
}
