//! What an engine mixed into its block hashes, told apart by shape (RP 2.3): `[identifier, offset]` is a multimodal
//! object, a text of 64 hexadecimal digits is one of an older engine, other texts are the adapter or the salt, and bytes
//! are prompt embeddings.

use xxhash_rust::xxh3::xxh3_64;

use super::decode_error::DecodeError;
use super::field;
use super::msgpack::{Reader, Token};
use super::wire::ExtraKeys;

type Result<T> = std::result::Result<T, DecodeError>;

/// Marks a salt among keys that could also be adapter names.
const SALT_PREFIX: &str = "dynamo-cache-salt:";

/// Reads one entry per block: nil, a list of keys, or a map with `mm_objects`.
pub(crate) fn read<'a>(reader: &mut Reader<'a>) -> Result<ExtraKeys<'a>> {
    let mut keys = ExtraKeys::default();
    for block in 0..field::array(reader)? {
        match reader.token()? {
            Token::Nil => {}
            Token::Array(count) => read_keys(reader, block, count, &mut keys)?,
            Token::Map(count) => read_infos(reader, block, count, &mut keys)?,
            _ => return Err(DecodeError::UnexpectedType),
        }
    }
    Ok(keys)
}

/// The salt among the texts of the first block: the first one that is neither the adapter (once) nor a digest. An engine
/// that is salted by a third party sends it bare; taking an unknown text for a salt can only keep caches apart.
pub(crate) fn salt<'a>(texts: &[&'a str], lora_name: Option<&str>) -> Option<&'a str> {
    let mut adapter = lora_name;
    texts
        .iter()
        .find(|&&text| {
            let is_adapter = adapter == Some(text);
            if is_adapter {
                adapter = None;
            }
            !is_adapter && !text.is_empty() && digest(text).is_none()
        })
        .map(|text| text.strip_prefix(SALT_PREFIX).unwrap_or(text))
}

/// Hash of a multimodal identifier: the first 16 digits of a digest, else a hash of the text.
#[must_use]
pub fn multimodal_hash(identifier: &str) -> u64 {
    digest(identifier).unwrap_or_else(|| xxh3_64(identifier.as_bytes()))
}

fn read_keys<'a>(
    reader: &mut Reader<'a>,
    block: u32,
    count: u32,
    keys: &mut ExtraKeys<'a>,
) -> Result<()> {
    for _ in 0..count {
        match reader.peek()? {
            Token::Text(bytes) => {
                reader.skip()?;
                let text = field::text(bytes)?;
                keys.multimodal
                    .extend(digest(text).map(|hash| (block, hash)));
                if block == 0 {
                    keys.first_block_texts.push(text);
                }
            }
            Token::Array(2) => {
                reader.token()?;
                if let Token::Text(bytes) = reader.peek()? {
                    keys.multimodal
                        .push((block, multimodal_hash(field::text(bytes)?)));
                }
                reader.skip()?;
                reader.skip()?;
            }
            _ => reader.skip()?,
        }
    }
    Ok(())
}

fn read_infos(
    reader: &mut Reader<'_>,
    block: u32,
    count: u32,
    keys: &mut ExtraKeys<'_>,
) -> Result<()> {
    for _ in 0..count {
        if reader.token()? != Token::Text(b"mm_objects") {
            reader.skip()?;
            continue;
        }
        for _ in 0..field::array(reader)? {
            let Token::Map(fields) = reader.token()? else {
                return Err(DecodeError::UnexpectedType);
            };
            for _ in 0..fields {
                if reader.token()? == Token::Text(b"mm_hash") {
                    keys.multimodal.push((block, field::hash(reader)?));
                } else {
                    reader.skip()?;
                }
            }
        }
    }
    Ok(())
}

fn digest(text: &str) -> Option<u64> {
    let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest
        .then(|| u64::from_str_radix(&text[..16], 16).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_salt_is_what_is_neither_adapter_nor_digest() {
        let digest = "a".repeat(64);
        assert_eq!(salt(&["my-lora"], Some("my-lora")), None);
        assert_eq!(salt(&["x", "x"], Some("x")), Some("x"));
        assert_eq!(salt(&[&digest, "tenant"], None), Some("tenant"));
        assert_eq!(salt(&["dynamo-cache-salt:t"], None), Some("t"));
    }

    #[test]
    fn digests_and_other_identifiers_have_different_hashes() {
        assert_eq!(multimodal_hash(&"0f".repeat(32)), 0x0f0f_0f0f_0f0f_0f0f);
        assert_eq!(multimodal_hash("cat.png"), xxh3_64(b"cat.png"));
    }
}
