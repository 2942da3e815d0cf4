//! Reads `MessagePack` from untrusted bytes: borrows text, never recurses, and believes a length only as far as bytes
//! are left, so that neither depth nor a huge header can cost more than the frame's own size.

use super::decode_error::DecodeError;

type Result<T> = std::result::Result<T, DecodeError>;

/// A value without children, or the header of one with children.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Token<'a> {
    Nil,
    Bool,
    Unsigned(u64),
    Negative(i64),
    Float(f64),
    Text(&'a [u8]),
    Binary(&'a [u8]),
    Array(u32),
    Map(u32),
    Extension,
}

/// A position in the bytes of one frame.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// A capacity for `count` announced elements that the remaining bytes can justify.
    pub(crate) fn capacity(&self, count: u32) -> usize {
        (count as usize).min(self.bytes.len())
    }

    /// The next token without moving on.
    pub(crate) fn peek(&self) -> Result<Token<'a>> {
        self.clone().token()
    }

    /// Passes over one value with everything in it.
    pub(crate) fn skip(&mut self) -> Result<()> {
        let mut pending = 1_u64;
        while pending > 0 {
            pending -= 1;
            pending += match self.token()? {
                Token::Array(count) => u64::from(count),
                Token::Map(count) => 2 * u64::from(count),
                _ => 0,
            };
        }
        Ok(())
    }

    /// The next token; children of an array or a map follow.
    pub(crate) fn token(&mut self) -> Result<Token<'a>> {
        let marker = self.byte()?;
        Ok(match marker {
            0x00..=0x7f => Token::Unsigned(u64::from(marker)),
            0x80..=0x8f => Token::Map(u32::from(marker & 0x0f)),
            0x90..=0x9f => Token::Array(u32::from(marker & 0x0f)),
            0xa0..=0xbf => Token::Text(self.take(usize::from(marker & 0x1f))?),
            0xc0 => Token::Nil,
            0xc2 | 0xc3 => Token::Bool,
            0xc4 => Token::Binary(self.sized(1)?),
            0xc5 => Token::Binary(self.sized(2)?),
            0xc6 => Token::Binary(self.sized(4)?),
            0xc7 => self.extension(1)?,
            0xc8 => self.extension(2)?,
            0xc9 => self.extension(4)?,
            0xca => Token::Float(f64::from(f32::from_bits(u32::from_be_bytes(self.array()?)))),
            0xcb => Token::Float(f64::from_bits(u64::from_be_bytes(self.array()?))),
            0xcc => Token::Unsigned(self.unsigned(1)?),
            0xcd => Token::Unsigned(self.unsigned(2)?),
            0xce => Token::Unsigned(self.unsigned(4)?),
            0xcf => Token::Unsigned(self.unsigned(8)?),
            0xd0 => integer(i64::from(i8::from_be_bytes(self.array()?))),
            0xd1 => integer(i64::from(i16::from_be_bytes(self.array()?))),
            0xd2 => integer(i64::from(i32::from_be_bytes(self.array()?))),
            0xd3 => integer(i64::from_be_bytes(self.array()?)),
            0xd4..=0xd8 => {
                self.take(1 + (1 << (marker - 0xd4)))?;
                Token::Extension
            }
            0xd9 => Token::Text(self.sized(1)?),
            0xda => Token::Text(self.sized(2)?),
            0xdb => Token::Text(self.sized(4)?),
            0xdc => Token::Array(self.count(2)?),
            0xdd => Token::Array(self.count(4)?),
            0xde => Token::Map(self.count(2)?),
            0xdf => Token::Map(self.count(4)?),
            0xe0..=0xff => Token::Negative(i64::from(marker.cast_signed())),
            // 0xc1 is never used by the format.
            0xc1 => return Err(DecodeError::UnexpectedType),
        })
    }

    fn extension(&mut self, width: usize) -> Result<Token<'a>> {
        let size = self.count(width)? as usize;
        self.take(size.saturating_add(1))?;
        Ok(Token::Extension)
    }

    fn sized(&mut self, width: usize) -> Result<&'a [u8]> {
        let size = self.count(width)? as usize;
        self.take(size)
    }

    fn count(&mut self, width: usize) -> Result<u32> {
        u32::try_from(self.unsigned(width)?).map_err(|_| DecodeError::OutOfRange)
    }

    fn unsigned(&mut self, width: usize) -> Result<u64> {
        let bytes = self.take(width)?;
        Ok(bytes
            .iter()
            .fold(0, |value, byte| (value << 8) | u64::from(*byte)))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self
            .bytes
            .split_first_chunk()
            .ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(*head)
    }

    fn byte(&mut self) -> Result<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn take(&mut self, size: usize) -> Result<&'a [u8]> {
        let (head, rest) = self
            .bytes
            .split_at_checked(size)
            .ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(head)
    }
}

/// Signed encodings of numbers that are not negative equal the unsigned ones.
fn integer<'a>(value: i64) -> Token<'a> {
    u64::try_from(value).map_or(Token::Negative(value), Token::Unsigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_announced_length_costs_nothing() {
        let mut reader = Reader::new(&[0xdd, 0xff, 0xff, 0xff, 0xff, 0x01]);
        assert_eq!(reader.token(), Ok(Token::Array(u32::MAX)));
        assert_eq!(reader.capacity(u32::MAX), 1);
        assert_eq!(
            Reader::new(&[0xdb, 0xff, 0xff, 0xff, 0xff]).token(),
            Err(DecodeError::Truncated)
        );
    }

    #[test]
    fn deep_nesting_is_skipped_without_recursion() {
        let mut bytes = vec![0x91; 4_000_000];
        bytes.push(0xc0);
        assert_eq!(Reader::new(&bytes).skip(), Ok(()));
        bytes.pop();
        assert_eq!(Reader::new(&bytes).skip(), Err(DecodeError::Truncated));
    }

    #[test]
    fn numbers_of_every_width_are_read() {
        let cases: [(&[u8], Token); 8] = [
            (&[0x7f], Token::Unsigned(127)),
            (&[0xcc, 0xff], Token::Unsigned(255)),
            (&[0xcd, 1, 0], Token::Unsigned(256)),
            (&[0xce, 1, 0, 0, 0], Token::Unsigned(1 << 24)),
            (&[0xd0, 0x80], Token::Negative(-128)),
            (&[0xd1, 0, 5], Token::Unsigned(5)),
            (&[0xff], Token::Negative(-1)),
            (&[0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], Token::Float(1.5)),
        ];
        for (bytes, token) in cases {
            assert_eq!(Reader::new(bytes).token(), Ok(token));
        }
    }
}
