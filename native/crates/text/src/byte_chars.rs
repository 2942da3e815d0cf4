//! How byte-level vocabularies write bytes.

/// The printable character that GPT-2's vocabularies write for a byte.
pub(crate) fn printable(byte: u8) -> char {
    let plain = |byte: u8| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    if plain(byte) {
        return char::from(byte);
    }
    let hidden_before = (0..byte).filter(|&other| !plain(other)).count();
    u32::try_from(256 + hidden_before)
        .ok()
        .and_then(char::from_u32)
        .unwrap_or('\u{fffd}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stand_ins_are_those_of_gpt2() {
        assert_eq!(printable(b' '), 'Ġ');
        assert_eq!(printable(b'\n'), 'Ċ');
        assert_eq!(printable(b'a'), 'a');
        assert_eq!(printable(0xad), 'Ń');
    }
}
