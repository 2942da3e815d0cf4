//! Typed values of event fields.

use super::decode_error::DecodeError;
use super::msgpack::{Reader, Token};

type Result<T> = std::result::Result<T, DecodeError>;

/// An engine hash: a number of either sign, kept bit for bit, or bytes, whose last eight count (big-endian).
pub(crate) fn hash(reader: &mut Reader<'_>) -> Result<u64> {
    hash_of(reader.token()?)
}

/// A hash or nil.
pub(crate) fn optional_hash(reader: &mut Reader<'_>) -> Result<Option<u64>> {
    match reader.token()? {
        Token::Nil => Ok(None),
        token => hash_of(token).map(Some),
    }
}

/// A list of hashes.
pub(crate) fn hashes(reader: &mut Reader<'_>) -> Result<Vec<u64>> {
    let count = array(reader)?;
    let mut values = Vec::with_capacity(reader.capacity(count));
    for _ in 0..count {
        values.push(hash(reader)?);
    }
    Ok(values)
}

/// Token ids, plain or as pairs of neighbours `[[a, b], [b, c], …]`, as engines that draft send them: `a, b, c`.
pub(crate) fn token_ids(reader: &mut Reader<'_>) -> Result<Vec<u32>> {
    let count = array(reader)?;
    let mut tokens = Vec::with_capacity(reader.capacity(count));
    let mut last = None;
    for _ in 0..count {
        match reader.token()? {
            Token::Unsigned(token) if last.is_none() => tokens.push(narrow(token)?),
            Token::Array(2) if last.is_some() || tokens.is_empty() => {
                tokens.push(narrow(unsigned(reader)?)?);
                last = Some(narrow(unsigned(reader)?)?);
            }
            Token::Negative(_) => return Err(DecodeError::OutOfRange),
            _ => return Err(DecodeError::UnexpectedType),
        }
    }
    tokens.extend(last);
    Ok(tokens)
}

/// A number that is not negative.
pub(crate) fn unsigned(reader: &mut Reader<'_>) -> Result<u64> {
    match reader.token()? {
        Token::Unsigned(value) => Ok(value),
        Token::Negative(_) => Err(DecodeError::OutOfRange),
        _ => Err(DecodeError::UnexpectedType),
    }
}

/// A rank or nil.
pub(crate) fn optional_rank(reader: &mut Reader<'_>) -> Result<Option<u32>> {
    match reader.token()? {
        Token::Nil => Ok(None),
        Token::Unsigned(value) => narrow(value).map(Some),
        Token::Negative(_) => Err(DecodeError::OutOfRange),
        _ => Err(DecodeError::UnexpectedType),
    }
}

/// Seconds; engines send a float, others a whole number.
pub(crate) fn seconds(reader: &mut Reader<'_>) -> Result<f64> {
    match reader.token()? {
        Token::Float(value) if value.is_finite() => Ok(value),
        Token::Float(_) => Err(DecodeError::OutOfRange),
        // A whole number of seconds is far below 2^52.
        #[allow(clippy::cast_precision_loss)]
        Token::Unsigned(value) => Ok(value as f64),
        _ => Err(DecodeError::UnexpectedType),
    }
}

/// Length of a list.
pub(crate) fn array(reader: &mut Reader<'_>) -> Result<u32> {
    match reader.token()? {
        Token::Array(count) => Ok(count),
        _ => Err(DecodeError::UnexpectedType),
    }
}

/// Text from its bytes.
pub(crate) fn text(bytes: &[u8]) -> Result<&str> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::InvalidText)
}

/// Text or nil.
pub(crate) fn optional_text<'a>(reader: &mut Reader<'a>) -> Result<Option<&'a str>> {
    match reader.token()? {
        Token::Nil => Ok(None),
        Token::Text(bytes) => text(bytes).map(Some),
        _ => Err(DecodeError::UnexpectedType),
    }
}

fn hash_of(token: Token<'_>) -> Result<u64> {
    match token {
        Token::Unsigned(value) => Ok(value),
        Token::Negative(value) => Ok(value.cast_unsigned()),
        Token::Binary(bytes) if !bytes.is_empty() => Ok(bytes[bytes.len().saturating_sub(8)..]
            .iter()
            .fold(0, |value, byte| (value << 8) | u64::from(*byte))),
        _ => Err(DecodeError::UnexpectedType),
    }
}

fn narrow(value: u64) -> Result<u32> {
    u32::try_from(value).map_err(|_| DecodeError::OutOfRange)
}
