//! What a cache tells routers about its content, and the bytes it travels in.
//!
//! Records follow each other without padding, little-endian, every field 8-aligned from the start of the buffer:
//!
//! ```text
//! kind u8 (1 stored, 2 removed, 3 cleared) | flags u8 (1: has a parent) | rank u16 | count u32 | parent u64
//! count × sequence hash u64
//! count × local hash u64     (stored only)
//! ```
//!
//! Engines of the vLLM family send token ids instead of local hashes, which is twenty times larger and must be hashed
//! again by whoever reads it; a simulated engine has hashed them already.

/// Hashes of one complete block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockHash {
    /// Hash of the block's own tokens.
    pub local: u64,
    /// Hash of everything up to the block's end.
    pub sequence: u64,
}

/// One change of a cache's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvEvent {
    /// Blocks that continue each other can be reused from now on.
    Stored {
        /// Sequence hash of the block before the first one.
        parent: Option<u64>,
        /// The blocks in order.
        blocks: Vec<BlockHash>,
    },
    /// Blocks were given up, by sequence hash.
    Removed {
        /// Sequence hashes.
        hashes: Vec<u64>,
    },
    /// The whole cache was dropped.
    Cleared,
}

const STORED: u8 = 1;
const REMOVED: u8 = 2;
const CLEARED: u8 = 3;
const HAS_PARENT: u8 = 1;

impl KvEvent {
    /// Appends the event's record to `bytes`.
    pub fn encode(&self, rank: u32, bytes: &mut Vec<u8>) {
        match self {
            Self::Stored { parent, blocks } => {
                header(bytes, STORED, rank, blocks.len(), *parent);
                words(bytes, blocks.iter().map(|block| block.sequence));
                words(bytes, blocks.iter().map(|block| block.local));
            }
            Self::Removed { hashes } => {
                header(bytes, REMOVED, rank, hashes.len(), None);
                words(bytes, hashes.iter().copied());
            }
            Self::Cleared => header(bytes, CLEARED, rank, 0, None),
        }
    }
}

/// Ranks and counts are bounded by the settings: 65,535 ranks and a u32 number of blocks.
#[allow(clippy::cast_possible_truncation)]
fn header(bytes: &mut Vec<u8>, kind: u8, rank: u32, count: usize, parent: Option<u64>) {
    let flags = if parent.is_some() { HAS_PARENT } else { 0 };
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&(rank as u16).to_le_bytes());
    bytes.extend_from_slice(&(count as u32).to_le_bytes());
    bytes.extend_from_slice(&parent.unwrap_or(0).to_le_bytes());
}

fn words(bytes: &mut Vec<u8>, values: impl Iterator<Item = u64>) {
    for value in values {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_have_the_documented_layout() {
        let mut bytes = Vec::new();
        let blocks = vec![
            BlockHash {
                local: 1,
                sequence: 2,
            },
            BlockHash {
                local: 3,
                sequence: 4,
            },
        ];
        KvEvent::Stored {
            parent: Some(9),
            blocks,
        }
        .encode(258, &mut bytes);
        KvEvent::Removed { hashes: vec![5] }.encode(0, &mut bytes);
        KvEvent::Cleared.encode(1, &mut bytes);
        let words: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap()))
            .collect();
        let head = |kind: u64, flags: u64, rank: u64, count: u64| {
            kind | flags << 8 | rank << 16 | count << 32
        };
        assert_eq!(
            words,
            [
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
                0
            ]
        );
    }
}
