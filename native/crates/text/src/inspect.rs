//! The small fields of a large body, so that a caller can validate it without holding its texts.
use serde_json::{Value, json};

use crate::error::TextError;
use crate::repair::parse_json;

/// Stands for a text that is not empty.
const PLACEHOLDER: &str = ".";
/// Longer strings inside messages are texts, shorter ones are roles, names and ids.
const LONGEST_KEPT_BYTES: usize = 256;
/// What the caller parses in one go without keeping others waiting.
const MOST_FIELD_BYTES: usize = 2 * 1024 * 1024;

/// JSON of `body` with the texts in `messages` and `prompt` replaced by `"."`; everything else is kept.
///
/// Counts, roles, names, types of content parts and empty texts stay as they are; a prompt of token ids keeps its shape
/// with one id of each list, and so does `nvext.token_data`.
///
/// # Errors
/// `request.invalid` when the body is not JSON, or holds more than 2 MiB besides its texts and token ids.
pub fn inspect_body(body: &[u8]) -> Result<String, TextError> {
    let mut body = parse_json(body)?;
    if let Some(messages) = body.get_mut("messages").and_then(Value::as_array_mut) {
        messages.iter_mut().for_each(shorten_message);
    }
    if let Some(prompt) = body.get_mut("prompt") {
        shorten_prompt(prompt);
    }
    if let Some(ids) = body.pointer_mut("/nvext/token_data") {
        shorten_prompt(ids);
    }
    let fields = body.to_string();
    if fields.len() > MOST_FIELD_BYTES {
        return Err(TextError::invalid_request(format!(
            "the request has {} bytes of fields besides its texts; at most {MOST_FIELD_BYTES} are accepted",
            fields.len()
        )));
    }
    Ok(fields)
}

fn shorten_message(message: &mut Value) {
    let Some(fields) = message.as_object_mut() else {
        return;
    };
    for (name, value) in fields {
        match value {
            Value::String(text) if name == "content" && !text.is_empty() => {
                PLACEHOLDER.clone_into(text);
            }
            other => shorten_strings(other),
        }
    }
}

fn shorten_strings(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > LONGEST_KEPT_BYTES => PLACEHOLDER.clone_into(text),
        Value::Array(items) => items.iter_mut().for_each(shorten_strings),
        Value::Object(fields) => fields.values_mut().for_each(shorten_strings),
        _ => {}
    }
}

fn shorten_prompt(prompt: &mut Value) {
    match prompt {
        Value::String(text) if !text.is_empty() => *prompt = json!(PLACEHOLDER),
        Value::Array(items) if items.iter().all(Value::is_number) => items.truncate(1),
        Value::Array(items) => items.iter_mut().for_each(shorten_prompt),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspect(body: &Value) -> Value {
        serde_json::from_str(&inspect_body(body.to_string().as_bytes()).unwrap()).unwrap()
    }

    #[test]
    fn texts_go_and_everything_else_stays() {
        let long = "x".repeat(5000);
        let body = json!({
            "model": "m",
            "messages": [
                {"role": "system", "content": ""},
                {"role": "user", "content": long},
                {"role": "user", "content": [{"type": "text", "text": long}, {"type": "image_url", "image_url": {"url": "u"}}]},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "description": long}}],
        });
        let mut expected = body.clone();
        expected["messages"][1]["content"] = json!(".");
        expected["messages"][2]["content"][0]["text"] = json!(".");
        assert_eq!(inspect(&body), expected);
    }

    #[test]
    fn token_data_keeps_one_id_and_what_is_none_stays() {
        let data = |ids: Value| inspect(&json!({"nvext": {"token_data": ids}}))["nvext"].clone();
        assert_eq!(data(json!([1, 2, 3])), json!({"token_data": [1]}));
        assert_eq!(data(json!([1, "x"])), json!({"token_data": [1, "."]}));
    }

    #[test]
    fn fields_are_bounded_and_texts_are_not() {
        let message = |text: &str| json!({"role": "user", "content": text});
        let many = json!({"messages": vec![message("x"); 80_000]});
        let error = inspect_body(many.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.code(), "request.invalid");
        assert!(error.message().contains("bytes of fields"), "{error:?}");
        let large = json!({"messages": [message(&"x".repeat(4 * MOST_FIELD_BYTES))]});
        assert!(inspect_body(large.to_string().as_bytes()).is_ok());
    }

    #[test]
    fn prompts_keep_their_shape() {
        let shape = |prompt: Value| inspect(&json!({ "prompt": prompt }))["prompt"].clone();
        assert_eq!(shape(json!("long")), json!("."));
        assert_eq!(shape(json!("")), json!(""));
        assert_eq!(shape(json!(["a", "b"])), json!([".", "."]));
        assert_eq!(shape(json!([5, 6])), json!([5]));
        assert_eq!(shape(json!([[5, 6], [7]])), json!([[5], [7]]));
        assert_eq!(shape(json!([])), json!([]));
    }
}
