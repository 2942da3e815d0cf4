//! Decision ids: the router's id and a sequence, unique per router process and short enough for a header.

const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// `{low half of the router id, 8 hex digits}-{sequence, base 36}`.
pub(crate) fn decision_id(router_id: u64, sequence: u64) -> String {
    let mut digits = [0_u8; 13];
    let (mut at, mut left) = (digits.len(), sequence);
    loop {
        at -= 1;
        digits[at] = digit(left % 36);
        left /= 36;
        if left == 0 {
            break;
        }
    }
    let mut id = String::with_capacity(9 + digits.len() - at);
    put_prefix(&mut id, router_id);
    id.extend(digits[at..].iter().map(|digit| char::from(*digit)));
    id
}

/// The sequence in an id of this router.
pub(crate) fn sequence_of(router_id: u64, id: &str) -> Option<u64> {
    let mut prefix = String::new();
    put_prefix(&mut prefix, router_id);
    let sequence = id.strip_prefix(&prefix)?;
    u64::from_str_radix(sequence, 36).ok()
}

fn put_prefix(id: &mut String, router_id: u64) {
    for shift in (0..8).rev() {
        id.push(char::from(digit(router_id >> (shift * 4) & 0xf)));
    }
    id.push('-');
}

/// The digit of a value below 36.
fn digit(value: u64) -> u8 {
    DIGITS[usize::try_from(value).unwrap_or(0) % DIGITS.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_gives_its_sequence_back_to_its_router_only() {
        for sequence in [0, 1, 35, 36, 1_000_000, u64::MAX] {
            let id = decision_id(0xabc_0000_0012, sequence);
            assert!(id.starts_with("00000012-"), "{id}");
            assert_eq!(sequence_of(0xabc_0000_0012, &id), Some(sequence));
            assert_eq!(sequence_of(0x13, &id), None);
        }
        assert_eq!(decision_id(1, 36), "00000001-10");
        assert_eq!(sequence_of(1, "nonsense"), None);
    }
}
