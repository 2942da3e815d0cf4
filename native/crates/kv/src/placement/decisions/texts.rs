//! Text in words, each text from a word of its own on.

const BYTES: usize = size_of::<u64>();

/// Words that a text of so many bytes takes.
pub(super) fn text_words(bytes: usize) -> usize {
    bytes.div_ceil(BYTES)
}

/// Writes a text to the beginning of `words`; returns what is left of them.
pub(super) fn write_text<'a>(text: &str, words: &'a mut [u64]) -> &'a mut [u64] {
    let (mine, rest) = words.split_at_mut(text_words(text.len()));
    for (word, bytes) in mine.iter_mut().zip(text.as_bytes().chunks(BYTES)) {
        let mut whole = [0; BYTES];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(whole);
    }
    rest
}

/// Reads a text of so many bytes; returns it and the words behind it.
pub(super) fn read_text(bytes: usize, words: &[u64]) -> (String, &[u64]) {
    let (mine, rest) = words.split_at(text_words(bytes));
    let mut text: Vec<u8> = mine.iter().flat_map(|word| word.to_le_bytes()).collect();
    text.truncate(bytes);
    // It was written from a text.
    (String::from_utf8(text).unwrap_or_default(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_all_lengths_come_back() {
        let texts = ["", "a", "1234567", "12345678", "schön, 9 bytes or more"];
        let mut words = [u64::MAX; 12];
        let mut left = &mut words[..];
        for text in texts {
            left = write_text(text, left);
        }
        let mut left = &words[..];
        for text in texts {
            let (read, rest) = read_text(text.len(), left);
            assert_eq!(read, text);
            left = rest;
        }
    }
}
