//! Batches of vLLM and `SGLang` (RP 2.3, 2.4): lists or maps, with the fields of every known version. A damaged event is
//! counted and passed over; only a frame whose end cannot be found is refused whole.

use super::decode_error::DecodeError;
use super::decode_event::decode_event;
use super::field;
use super::msgpack::{Reader, Token};
use super::wire::WireBatch;

type Result<T> = std::result::Result<T, DecodeError>;

/// Reads one frame's payload.
///
/// # Errors
/// When the payload is no batch or ends early; nothing of it may be used then.
pub fn decode_batch(payload: &[u8]) -> Result<WireBatch<'_>> {
    let mut reader = Reader::new(payload);
    match reader.token()? {
        Token::Array(count) => decode_array(&mut reader, count),
        Token::Map(count) => decode_map(&mut reader, count),
        _ => Err(DecodeError::UnexpectedType),
    }
}

/// `[timestamp, [events], rank?, …]`.
fn decode_array<'a>(reader: &mut Reader<'a>, count: u32) -> Result<WireBatch<'a>> {
    if count < 2 {
        return Err(DecodeError::MissingField);
    }
    let mut batch = WireBatch {
        timestamp: field::seconds(reader)?,
        ..WireBatch::default()
    };
    read_events(reader, &mut batch)?;
    if count > 2 {
        batch.dp_rank = field::optional_rank(reader)?;
    }
    for _ in 3..count {
        reader.skip()?;
    }
    Ok(batch)
}

fn decode_map<'a>(reader: &mut Reader<'a>, count: u32) -> Result<WireBatch<'a>> {
    let mut batch = WireBatch::default();
    let mut has_events = false;
    for _ in 0..count {
        match reader.token()? {
            Token::Text(b"ts") => batch.timestamp = field::seconds(reader)?,
            Token::Text(b"events") if !has_events => {
                read_events(reader, &mut batch)?;
                has_events = true;
            }
            Token::Text(b"data_parallel_rank" | b"dp_rank" | b"attn_dp_rank") => {
                batch.dp_rank = field::optional_rank(reader)?.or(batch.dp_rank);
            }
            Token::Text(_) => reader.skip()?,
            _ => return Err(DecodeError::UnexpectedType),
        }
    }
    if has_events {
        Ok(batch)
    } else {
        Err(DecodeError::MissingField)
    }
}

fn read_events<'a>(reader: &mut Reader<'a>, batch: &mut WireBatch<'a>) -> Result<()> {
    for _ in 0..field::array(reader)? {
        let mut event = reader.clone();
        reader.skip()?;
        match decode_event(&mut event) {
            Ok(Some(event)) => batch.events.push(event),
            Ok(None) => batch.unknown_tags += 1,
            Err(error) => batch.refused[error.index()] += 1,
        }
    }
    Ok(())
}
