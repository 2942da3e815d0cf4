//! One event: `[tag, fields…]` by position, or a map with `type` among its keys.

use super::decode_error::DecodeError;
use super::extra_keys;
use super::field;
use super::msgpack::{Reader, Token};
use super::wire::{WireEvent, WirePlace, WireStored};

type Result<T> = std::result::Result<T, DecodeError>;

/// Reads one event; none when its tag is unknown.
pub(crate) fn decode_event<'a>(reader: &mut Reader<'a>) -> Result<Option<WireEvent<'a>>> {
    match reader.token()? {
        Token::Array(0) => Err(DecodeError::MissingField),
        Token::Array(count) => decode_array(reader, count - 1),
        Token::Map(count) => decode_map(reader, count),
        // A struct without fields may be its tag alone.
        Token::Text(b"AllBlocksCleared") => Ok(Some(WireEvent::Cleared)),
        Token::Text(_) => Ok(None),
        _ => Err(DecodeError::UnexpectedType),
    }
}

fn decode_array<'a>(reader: &mut Reader<'a>, fields: u32) -> Result<Option<WireEvent<'a>>> {
    let Token::Text(tag) = reader.token()? else {
        return Err(DecodeError::UnexpectedType);
    };
    match tag {
        b"BlockStored" if fields < 4 => Err(DecodeError::MissingField),
        b"BlockStored" => stored_by_position(reader, fields).map(Some),
        b"BlockRemoved" if fields < 1 => Err(DecodeError::MissingField),
        b"BlockRemoved" => removed_by_position(reader, fields).map(Some),
        b"AllBlocksCleared" => Ok(Some(WireEvent::Cleared)),
        _ => Ok(None),
    }
}

fn stored_by_position<'a>(reader: &mut Reader<'a>, fields: u32) -> Result<WireEvent<'a>> {
    let block_hashes = field::hashes(reader)?;
    let parent = field::optional_hash(reader)?;
    let token_ids = field::token_ids(reader)?;
    let mut stored = WireStored {
        block_hashes,
        parent,
        token_ids,
        block_size: field::unsigned(reader)?,
        ..WireStored::default()
    };
    for position in 4..fields {
        match position {
            4 => reader.skip()?, // The adapter's number: its name follows or there is none.
            5 => stored.place.medium = field::optional_text(reader)?,
            6 => read_lora_or_metadata(reader, &mut stored)?,
            _ if matches!(reader.peek()?, Token::Array(_)) => {
                stored.extra_keys = extra_keys::read(reader)?;
            }
            _ => read_trailing(reader, &mut stored.place)?,
        }
    }
    Ok(WireEvent::Stored(stored))
}

/// vLLM puts the adapter's name here, `SGLang` a map with the salt.
fn read_lora_or_metadata<'a>(reader: &mut Reader<'a>, stored: &mut WireStored<'a>) -> Result<()> {
    let Token::Map(count) = reader.peek()? else {
        stored.lora_name = field::optional_text(reader)?;
        return Ok(());
    };
    reader.token()?;
    for _ in 0..count {
        if reader.token()? == Token::Text(b"cache_salt") {
            stored.cache_salt = field::optional_text(reader)?;
        } else {
            reader.skip()?;
        }
    }
    Ok(())
}

fn removed_by_position<'a>(reader: &mut Reader<'a>, fields: u32) -> Result<WireEvent<'a>> {
    let block_hashes = field::hashes(reader)?;
    let mut place = WirePlace::default();
    for position in 1..fields {
        if position == 1 {
            place.medium = field::optional_text(reader)?;
        } else {
            read_trailing(reader, &mut place)?;
        }
    }
    Ok(WireEvent::Removed {
        block_hashes,
        place,
    })
}

/// Later fields differ between versions and forks and are told apart by type: the first number is the group, the second
/// its window; a text is a locality or, the first time, the kind of attention.
fn read_trailing<'a>(reader: &mut Reader<'a>, place: &mut WirePlace<'a>) -> Result<()> {
    let mut ahead = reader.clone();
    reader.skip()?;
    match ahead.token()? {
        Token::Unsigned(value) if place.group_idx.is_none() => place.group_idx = Some(value),
        Token::Unsigned(value) => place.sliding_window = Some(value),
        Token::Text(bytes @ (b"LOCAL" | b"REMOTE" | b"UNKNOWN")) => {
            place.locality = Some(field::text(bytes)?);
        }
        Token::Text(bytes) if place.spec_kind.is_none() => {
            place.spec_kind = Some(field::text(bytes)?);
        }
        _ => {}
    }
    Ok(())
}

#[derive(Default)]
struct MapFields<'a> {
    tag: Option<&'a [u8]>,
    block_hashes: Option<Vec<u64>>,
    tokens: Option<Vec<u32>>,
    block_size: Option<u64>,
    stored: WireStored<'a>,
}

fn decode_map<'a>(reader: &mut Reader<'a>, count: u32) -> Result<Option<WireEvent<'a>>> {
    let mut fields = MapFields::default();
    for _ in 0..count {
        let Token::Text(key) = reader.token()? else {
            return Err(DecodeError::UnexpectedType);
        };
        read_field(reader, key, &mut fields)?;
    }
    finish_map(fields)
}

fn read_field<'a>(reader: &mut Reader<'a>, key: &[u8], fields: &mut MapFields<'a>) -> Result<()> {
    let stored = &mut fields.stored;
    match key {
        b"type" => match reader.token()? {
            Token::Text(tag) => fields.tag = Some(tag),
            _ => return Err(DecodeError::UnexpectedType),
        },
        b"block_hashes" => fields.block_hashes = Some(field::hashes(reader)?),
        b"parent_block_hash" => stored.parent = field::optional_hash(reader)?,
        b"token_ids" => fields.tokens = Some(field::token_ids(reader)?),
        b"block_size" => fields.block_size = Some(field::unsigned(reader)?),
        b"lora_name" => stored.lora_name = field::optional_text(reader)?,
        b"cache_salt" | b"cache_namespace" => stored.cache_salt = field::optional_text(reader)?,
        b"extra_keys" | b"block_mm_infos" if reader.peek()? != Token::Nil => {
            stored.extra_keys = extra_keys::read(reader)?;
        }
        b"medium" => stored.place.medium = field::optional_text(reader)?,
        b"kv_cache_spec_kind" => stored.place.spec_kind = field::optional_text(reader)?,
        b"locality" => stored.place.locality = field::optional_text(reader)?,
        b"group_idx" if reader.peek()? != Token::Nil => {
            stored.place.group_idx = Some(field::unsigned(reader)?);
        }
        b"kv_cache_spec_sliding_window" if reader.peek()? != Token::Nil => {
            stored.place.sliding_window = Some(field::unsigned(reader)?);
        }
        _ => reader.skip()?,
    }
    Ok(())
}

fn finish_map(fields: MapFields<'_>) -> Result<Option<WireEvent<'_>>> {
    let missing = DecodeError::MissingField;
    match fields.tag.ok_or(missing)? {
        b"BlockStored" => {
            let token_ids = fields.tokens.ok_or(missing)?;
            Ok(Some(WireEvent::Stored(WireStored {
                block_hashes: fields.block_hashes.ok_or(missing)?,
                token_ids,
                block_size: fields.block_size.ok_or(missing)?,
                ..fields.stored
            })))
        }
        b"BlockRemoved" => Ok(Some(WireEvent::Removed {
            block_hashes: fields.block_hashes.ok_or(missing)?,
            place: fields.stored.place,
        })),
        b"AllBlocksCleared" => Ok(Some(WireEvent::Cleared)),
        _ => Ok(None),
    }
}
