//! What each id decodes to, as one flat table that a caller can index without calling back.
use crate::byte_chars::printable;
use crate::tokenizer::TextTokenizer;

/// Flag bit: the id is a special token, which readers usually do not show.
pub const TOKEN_SPECIAL: u8 = 1;
/// Flag bit: the vocabulary has this id.
pub const TOKEN_KNOWN: u8 = 2;

/// Bytes per id: those of id `i` are `bytes[offsets[i]..offsets[i + 1]]`.
///
/// In byte-level vocabularies text is the concatenation of these bytes. In others (SentencePiece) they are only what
/// the id shows when it stands alone.
#[derive(Debug, Clone, Default)]
pub struct TokenTable {
    /// All bytes, one id after the other.
    pub bytes: Vec<u8>,
    /// Start of each id's bytes; one entry more than there are ids.
    pub offsets: Vec<u32>,
    /// [`TOKEN_SPECIAL`] and [`TOKEN_KNOWN`] per id.
    pub flags: Vec<u8>,
}

impl TokenTable {
    pub(crate) fn build(tokenizer: &TextTokenizer) -> Self {
        let mut pieces = Pieces::new(tokenizer);
        let mut table = Self::default();
        table.offsets.push(0);
        for id in 0..u32::try_from(tokenizer.size()).unwrap_or(u32::MAX) {
            table.flags.push(pieces.append(id, &mut table.bytes));
            table
                .offsets
                .push(u32::try_from(table.bytes.len()).unwrap_or(u32::MAX));
        }
        table
    }
}

struct Pieces<'a> {
    tokenizer: &'a TextTokenizer,
    added: std::collections::HashMap<u32, (&'a str, bool)>,
    byte_of: std::collections::HashMap<char, u8>,
}

impl<'a> Pieces<'a> {
    fn new(tokenizer: &'a TextTokenizer) -> Self {
        let added = tokenizer.added_tokens().iter();
        Self {
            tokenizer,
            added: added
                .map(|token| (token.id, (token.content.as_str(), token.special)))
                .collect(),
            byte_of: (0..=u8::MAX).map(|byte| (printable(byte), byte)).collect(),
        }
    }

    fn append(&mut self, id: u32, bytes: &mut Vec<u8>) -> u8 {
        if let Some((content, special)) = self.added.get(&id) {
            bytes.extend_from_slice(content.as_bytes());
            return TOKEN_KNOWN | if *special { TOKEN_SPECIAL } else { 0 };
        }
        let Some(piece) = self.tokenizer.piece(id) else {
            return 0;
        };
        if self.tokenizer.is_byte_level() {
            bytes.extend(piece.chars().filter_map(|char| self.byte_of.get(&char)));
        } else if let Some(byte) = fallback_byte(&piece) {
            bytes.push(byte);
        } else {
            bytes.extend_from_slice(piece.replace('\u{2581}', " ").as_bytes());
        }
        TOKEN_KNOWN
    }
}

/// The byte of a SentencePiece byte-fallback piece such as `<0x0A>`.
fn fallback_byte(piece: &str) -> Option<u8> {
    let digits = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_fallback_pieces_are_recognised() {
        assert_eq!(fallback_byte("<0x0A>"), Some(10));
        assert_eq!(fallback_byte("<0x0AA>"), None);
        assert_eq!(fallback_byte("<s>"), None);
    }
}
