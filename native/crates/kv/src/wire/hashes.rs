//! Hashes as they travel: little-endian u64 in a bytes field, which costs a copy instead of a varint each.

/// The hashes as bytes.
#[must_use]
pub fn hashes_to_bytes(hashes: impl Iterator<Item = u64>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(hashes.size_hint().0 * 8);
    for hash in hashes {
        bytes.extend_from_slice(&hash.to_le_bytes());
    }
    bytes
}

/// The hashes in bytes; none when they are no whole number of hashes.
#[must_use]
pub fn hashes_from_bytes(bytes: &[u8]) -> Option<impl ExactSizeIterator<Item = u64>> {
    let (hashes, rest) = bytes.as_chunks::<8>();
    rest.is_empty()
        .then(|| hashes.iter().map(|hash| u64::from_le_bytes(*hash)))
}
