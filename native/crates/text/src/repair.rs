//! Reads JSON as lenient clients write it: raw control characters inside strings, invalid UTF-8 and halves of surrogate
//! pairs are repaired; anything else that is not JSON is refused.
use std::borrow::Cow;
use std::fmt::Write;

use serde_json::Value;

use crate::error::TextError;

/// Levels that `serde_json` follows.
const DEEPEST: usize = 127;

/// Parses a body, repairing it when it does not parse as it stands.
///
/// # Errors
/// `request.invalid` when it is no JSON even after the repair; the message says where.
pub fn parse_json(body: &[u8]) -> Result<Value, TextError> {
    if let Ok(value) = serde_json::from_slice(body) {
        return Ok(value);
    }
    serde_json::from_str(&repaired(body))
        .map_err(|error| TextError::invalid_request(refusal(&error)))
}

/// What is wrong with a body; the parser's limit protects the stack and is none of JSON.
fn refusal(error: &serde_json::Error) -> String {
    let text = error.to_string();
    if text.starts_with("recursion limit exceeded") {
        format!("the body nests deeper than {DEEPEST} levels")
    } else {
        format!("the body is not valid JSON: {text}")
    }
}

/// The body with its strings made valid. What stands outside of strings is left alone.
fn repaired(body: &[u8]) -> String {
    let text: Cow<'_, str> = String::from_utf8_lossy(body);
    let mut output = String::with_capacity(text.len() + 64);
    let mut rest = text.as_ref();
    let mut in_string = false;
    while let Some(at) = rest.find(|char: char| char == '"' || char == '\\' || char < ' ') {
        output.push_str(&rest[..at]);
        rest = &rest[at..];
        let taken = match rest.as_bytes()[0] {
            b'\\' if in_string => push_escape(rest, &mut output),
            control if in_string && control < b' ' => {
                let _ = write!(output, "\\u{control:04x}");
                1
            }
            plain => {
                in_string ^= plain == b'"';
                output.push(char::from(plain));
                1
            }
        };
        rest = &rest[taken..];
    }
    output.push_str(rest);
    output
}

/// Copies one escape sequence; half a surrogate pair becomes U+FFFD. Returns how many bytes it took.
fn push_escape(rest: &str, output: &mut String) -> usize {
    const UNIT: usize = 6;
    let (taken, valid) = match code_unit(rest) {
        Some(0xd800..=0xdbff) => match rest.get(UNIT..).and_then(code_unit) {
            Some(0xdc00..=0xdfff) => (2 * UNIT, true),
            _ => (UNIT, false),
        },
        Some(0xdc00..=0xdfff) => (UNIT, false),
        _ => (1 + rest[1..].chars().next().map_or(0, char::len_utf8), true),
    };
    output.push_str(if valid { &rest[..taken] } else { "\\ufffd" });
    taken
}

fn code_unit(text: &str) -> Option<u32> {
    u32::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn raw_control_characters_in_strings_are_kept_as_text() {
        let body = b"{\n\t\"a\": \"line\nnext\ttab\\n\", \"b\\\"\": 1}";
        assert_eq!(
            parse_json(body).unwrap(),
            json!({"a": "line\nnext\ttab\n", "b\"": 1})
        );
    }

    #[test]
    fn invalid_utf8_and_lone_surrogates_become_replacement_characters() {
        let body =
            b"{\"a\": \"x\xff\xfey\", \"b\": \"\\ud83d!\", \"c\": \"\\ud83d\\ude00\\udc00\"}";
        assert_eq!(
            parse_json(body).unwrap(),
            json!({"a": "x\u{fffd}\u{fffd}y", "b": "\u{fffd}!", "c": "😀\u{fffd}"})
        );
    }

    #[test]
    fn broken_json_is_refused_with_its_place() {
        let error = parse_json(b"{\"a\": [1, 2").unwrap_err();
        assert_eq!(error.code(), "request.invalid");
        assert!(error.message().contains("line 1"), "{}", error.message());
    }

    #[test]
    fn a_body_that_nests_too_deep_is_told_so() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse_json(nested(DEEPEST).as_bytes()).is_ok());
        let error = parse_json(nested(DEEPEST + 1).as_bytes()).unwrap_err();
        assert_eq!(error.message(), "the body nests deeper than 127 levels");
    }

    #[test]
    fn every_prefix_of_a_body_gives_an_error_and_no_panic() {
        let body = "{\"a\": \"\u{1}é\\u00e9\\ud83d\\ude00\\\\\", \"b\": [true]}".as_bytes();
        for end in 0..body.len() {
            assert!(parse_json(&body[..end]).is_err(), "{end}");
        }
        assert!(parse_json(body).is_ok());
    }
}
