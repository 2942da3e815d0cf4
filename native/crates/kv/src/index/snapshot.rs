//! Snapshots: the dump of ranks as bytes. Little-endian; a checksum at the end; every length is checked against what is
//! there before anything is made of it.

use std::fmt;

use xxhash_rust::xxh3::xxh3_64;

use super::KvIndex;
use super::exact::ExactIndex;
use super::stored_run::StoredRun;
use super::types::{CacheTier, StoredBlock, WorkerRank};

const MAGIC: &[u8; 8] = b"dynkvix1";

/// Why a snapshot was refused; the index is then as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotError {
    /// Not a snapshot of this version.
    UnknownFormat,
    /// Cut short or altered.
    Damaged,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownFormat => "not an index snapshot of a known version",
            Self::Damaged => "the index snapshot is damaged",
        })
    }
}

impl std::error::Error for SnapshotError {}

impl ExactIndex {
    /// The given ranks, as bytes.
    #[must_use]
    pub fn snapshot(&self, ranks: &[WorkerRank]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_count(&mut out, ranks.len());
        for &rank in ranks {
            let runs = self.dump_rank(rank);
            out.extend(rank.worker_id.to_le_bytes());
            out.extend(rank.dp_rank.to_le_bytes());
            put_count(&mut out, runs.len());
            for run in &runs {
                put_run(&mut out, run);
            }
        }
        let sum = xxh3_64(&out);
        out.extend(sum.to_le_bytes());
        out
    }

    /// Replaces the ranks that the snapshot has; others stay. Returns the ranks.
    ///
    /// # Errors
    /// When the bytes are not a whole snapshot of a known version; nothing has changed then.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<Vec<WorkerRank>, SnapshotError> {
        let ranks = parse(bytes)?;
        for (rank, runs) in &ranks {
            self.remove_rank(*rank);
            self.load_rank(*rank, runs);
        }
        self.keep_budget();
        Ok(ranks.into_iter().map(|(rank, _)| rank).collect())
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

fn put_run(out: &mut Vec<u8>, run: &StoredRun) {
    out.push(run.tier as u8);
    out.push(u8::from(run.parent.is_some()));
    if let Some(parent) = run.parent {
        out.extend(parent.to_le_bytes());
    } else {
        put_count(out, run.ancestors.len());
        out.extend(run.ancestors.iter().flat_map(|hash| hash.to_le_bytes()));
    }
    put_count(out, run.blocks.len());
    for block in &run.blocks {
        out.extend(block.engine_hash.to_le_bytes());
        out.extend(block.local_hash.to_le_bytes());
    }
}

/// Reads a snapshot.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<(WorkerRank, Vec<StoredRun>)>, SnapshotError> {
    if !bytes.starts_with(MAGIC) {
        return Err(SnapshotError::UnknownFormat);
    }
    let (body, sum) = bytes.split_last_chunk().ok_or(SnapshotError::Damaged)?;
    if xxh3_64(body) != u64::from_le_bytes(*sum) {
        return Err(SnapshotError::Damaged);
    }
    let mut reader = Reader(&body[MAGIC.len()..]);
    reader.ranks().ok_or(SnapshotError::Damaged)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn ranks(&mut self) -> Option<Vec<(WorkerRank, Vec<StoredRun>)>> {
        let mut ranks = Vec::new();
        for _ in 0..self.u32()? {
            let rank = WorkerRank::new(self.u64()?, self.u32()?);
            let mut runs = Vec::new();
            for _ in 0..self.u32()? {
                runs.push(self.run()?);
            }
            ranks.push((rank, runs));
        }
        self.0.is_empty().then_some(ranks)
    }

    fn run(&mut self) -> Option<StoredRun> {
        let tier = *CacheTier::ALL.get(usize::from(self.u8()?))?;
        let (mut parent, mut ancestors) = (None, Vec::new());
        if self.u8()? == 1 {
            parent = Some(self.u64()?);
        } else {
            let count = self.count(8)?;
            ancestors = (0..count).map_while(|_| self.u64()).collect();
        }
        let count = self.count(16)?;
        let blocks = (0..count).map_while(|_| self.block()).collect();
        Some(StoredRun {
            tier,
            parent,
            outer_parent: None,
            ancestors,
            blocks,
        })
    }

    fn block(&mut self) -> Option<StoredBlock> {
        Some(StoredBlock {
            engine_hash: self.u64()?,
            local_hash: self.u64()?,
        })
    }

    /// A count of items of the given size, none when there are not so many bytes left.
    fn count(&mut self, size: usize) -> Option<usize> {
        let count = self.u32()? as usize;
        (count.checked_mul(size)? <= self.0.len()).then_some(count)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*bytes)
    }
}
