//! Reads the key-value part of a GGUF file: the entries about vocabulary and template, as raw bytes and as values.
//!
//! Layout: `GGUF`, version, tensor count, entry count, then entries of key, type and value, all little endian. Lengths are
//! checked against the file's size before anything is allocated.
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use crate::error::TextError;

pub(super) const MAGIC: &[u8; 4] = b"GGUF";
/// Versions with 64-bit lengths; version 1 is long out of use.
const VERSIONS: std::ops::RangeInclusive<u32> = 2..=3;
const TYPE_STRING: u32 = 8;
const TYPE_ARRAY: u32 = 9;

/// One entry as it stands in the file.
pub(super) struct RawEntry {
    pub key: String,
    pub kind: u32,
    /// The value's bytes; for an array they begin with its element type and length.
    pub bytes: Vec<u8>,
}

/// The entries of a file that concern text.
pub(super) struct Metadata {
    pub entries: Vec<RawEntry>,
}

impl Metadata {
    /// Reads the metadata of a GGUF file.
    pub fn read(path: &Path) -> Result<Self, TextError> {
        let failed = |error: &std::io::Error| {
            TextError::invalid_model(format!("{}: {error}", path.display()))
        };
        let file = File::open(path).map_err(|error| failed(&error))?;
        let size = file.metadata().map_err(|error| failed(&error))?.len();
        Scanner {
            input: BufReader::with_capacity(1 << 18, file),
            size,
        }
        .read()
        .map_err(|error| failed(&error))
    }

    pub fn text(&self, key: &str) -> Option<String> {
        let entry = self.find(key).filter(|entry| entry.kind == TYPE_STRING)?;
        Cursor(&entry.bytes).text()
    }

    pub fn unsigned(&self, key: &str) -> Option<u64> {
        let entry = self.find(key)?;
        let value = Cursor(&entry.bytes).number(entry.kind)?;
        u64::try_from(value.whole()?).ok()
    }

    pub fn flag(&self, key: &str) -> Option<bool> {
        self.find(key)?.bytes.first().map(|byte| *byte != 0)
    }

    pub fn texts(&self, key: &str) -> Option<Vec<String>> {
        let (kind, length, mut cursor) = self.array(key)?;
        (kind == TYPE_STRING).then(|| (0..length).map(|_| cursor.text()).collect())?
    }

    pub fn whole_numbers(&self, key: &str) -> Option<Vec<i64>> {
        let (kind, length, mut cursor) = self.array(key)?;
        (0..length).map(|_| cursor.number(kind)?.whole()).collect()
    }

    pub fn floats(&self, key: &str) -> Option<Vec<f64>> {
        let (kind, length, mut cursor) = self.array(key)?;
        (0..length)
            .map(|_| cursor.number(kind).map(Number::float))
            .collect()
    }

    fn find(&self, key: &str) -> Option<&RawEntry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    fn array(&self, key: &str) -> Option<(u32, u64, Cursor<'_>)> {
        let entry = self.find(key).filter(|entry| entry.kind == TYPE_ARRAY)?;
        let mut cursor = Cursor(&entry.bytes);
        let kind = u32::from_le_bytes(cursor.take()?);
        let length = u64::from_le_bytes(cursor.take()?);
        Some((kind, length, cursor))
    }
}

/// Entries that a tokenizer, a template and their limits need.
fn is_wanted(key: &str) -> bool {
    key.starts_with("tokenizer.")
        || key == "general.architecture"
        || key == "general.name"
        || key.ends_with(".context_length")
}

struct Scanner {
    input: BufReader<File>,
    size: u64,
}

impl Scanner {
    fn read(mut self) -> std::io::Result<Metadata> {
        if self.bytes(4)? != MAGIC {
            return Err(invalid("not a GGUF file"));
        }
        let version = u32::from_le_bytes(self.array()?);
        if !VERSIONS.contains(&version) {
            return Err(invalid(&format!("GGUF version {version} is not supported")));
        }
        let _tensors = self.u64()?;
        let count = self.u64()?;
        let mut entries = Vec::new();
        for _ in 0..count {
            let length = self.u64()?;
            let key = String::from_utf8_lossy(&self.bytes(length)?).into_owned();
            let kind = u32::from_le_bytes(self.array()?);
            if is_wanted(&key) {
                let mut bytes = Vec::new();
                self.value(kind, Some(&mut bytes))?;
                entries.push(RawEntry { key, kind, bytes });
            } else {
                self.value(kind, None)?;
            }
        }
        Ok(Metadata { entries })
    }

    fn value(&mut self, kind: u32, mut keep: Option<&mut Vec<u8>>) -> std::io::Result<()> {
        match kind {
            TYPE_STRING => {
                let length = self.u64()?;
                if let Some(keep) = keep.as_deref_mut() {
                    keep.extend(length.to_le_bytes());
                }
                self.take(length, keep)
            }
            TYPE_ARRAY => {
                let element: [u8; 4] = self.array()?;
                let length = self.u64()?;
                if let Some(keep) = keep.as_deref_mut() {
                    keep.extend(element);
                    keep.extend(length.to_le_bytes());
                }
                self.elements(u32::from_le_bytes(element), length, keep)
            }
            kind => self.take(fixed_size(kind)?, keep),
        }
    }

    fn elements(
        &mut self,
        kind: u32,
        length: u64,
        mut keep: Option<&mut Vec<u8>>,
    ) -> std::io::Result<()> {
        if kind == TYPE_ARRAY {
            return Err(invalid("arrays of arrays are not supported"));
        }
        if kind != TYPE_STRING {
            return self.take(length.saturating_mul(fixed_size(kind)?), keep);
        }
        for _ in 0..length {
            self.value(kind, keep.as_deref_mut())?;
        }
        Ok(())
    }

    fn take(&mut self, length: u64, keep: Option<&mut Vec<u8>>) -> std::io::Result<()> {
        let Some(keep) = keep else {
            self.check(length)?;
            return self
                .input
                .seek_relative(i64::try_from(length).map_err(|_| invalid("too long"))?);
        };
        keep.extend(self.bytes(length)?);
        Ok(())
    }

    fn bytes(&mut self, length: u64) -> std::io::Result<Vec<u8>> {
        self.check(length)?;
        let mut bytes = vec![0; usize::try_from(length).map_err(|_| invalid("too long"))?];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn check(&mut self, length: u64) -> std::io::Result<()> {
        let left = self.size.saturating_sub(self.input.stream_position()?);
        if length <= left {
            Ok(())
        } else {
            Err(invalid("the file is cut short"))
        }
    }

    fn array<const N: usize>(&mut self) -> std::io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    fn u64(&mut self) -> std::io::Result<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

fn invalid(message: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, message)
}

fn fixed_size(kind: u32) -> std::io::Result<u64> {
    match kind {
        0 | 1 | 7 => Ok(1),
        2 | 3 => Ok(2),
        4..=6 => Ok(4),
        10..=12 => Ok(8),
        _ => Err(invalid(&format!("value type {kind} is unknown"))),
    }
}

#[derive(Clone, Copy)]
enum Number {
    Whole(i64),
    Float(f64),
}

impl Number {
    fn whole(self) -> Option<i64> {
        match self {
            Self::Whole(value) => Some(value),
            Self::Float(_) => None,
        }
    }

    #[allow(clippy::cast_precision_loss)] // scores are small
    fn float(self) -> f64 {
        match self {
            Self::Whole(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    fn text(&mut self) -> Option<String> {
        let length = usize::try_from(u64::from_le_bytes(self.take()?)).ok()?;
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(String::from_utf8_lossy(head).into_owned())
    }

    fn number(&mut self, kind: u32) -> Option<Number> {
        Some(match kind {
            0 | 7 => Number::Whole(i64::from(u8::from_le_bytes(self.take()?))),
            1 => Number::Whole(i64::from(i8::from_le_bytes(self.take()?))),
            2 => Number::Whole(i64::from(u16::from_le_bytes(self.take()?))),
            3 => Number::Whole(i64::from(i16::from_le_bytes(self.take()?))),
            4 => Number::Whole(i64::from(u32::from_le_bytes(self.take()?))),
            5 => Number::Whole(i64::from(i32::from_le_bytes(self.take()?))),
            6 => Number::Float(f64::from(f32::from_le_bytes(self.take()?))),
            10 => Number::Whole(i64::try_from(u64::from_le_bytes(self.take()?)).ok()?),
            11 => Number::Whole(i64::from_le_bytes(self.take()?)),
            12 => Number::Float(f64::from_le_bytes(self.take()?)),
            _ => return None,
        })
    }
}
