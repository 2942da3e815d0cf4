//! Brings OpenAI messages into the shape that a template expects.
use serde_json::{Map, Value, json};

use super::capabilities::{Capabilities, ContentForm};
use crate::error::TextError;

/// Normalises every message in place.
pub(crate) fn normalize(
    messages: &mut [Value],
    capabilities: Capabilities,
) -> Result<(), TextError> {
    for (index, message) in messages.iter_mut().enumerate() {
        let Some(fields) = message.as_object_mut() else {
            return Err(TextError::invalid_request(format!(
                "messages[{index}] must be an object"
            )));
        };
        normalize_content(fields, index, capabilities)?;
        name_reasoning(fields);
        normalize_tool_calls(fields, capabilities.text_arguments);
    }
    Ok(())
}

fn normalize_content(
    fields: &mut Map<String, Value>,
    index: usize,
    capabilities: Capabilities,
) -> Result<(), TextError> {
    match fields.get_mut("content") {
        Some(Value::Array(parts)) if capabilities.content == ContentForm::Text => {
            let text = joined_text(parts, index)?;
            fields.insert("content".to_owned(), Value::String(text));
        }
        Some(content @ Value::String(_)) if capabilities.content == ContentForm::Parts => {
            let text = content.take();
            *content = json!([{"type": "text", "text": text}]);
        }
        Some(Value::Null) | None if !capabilities.null_content => {
            fields.insert("content".to_owned(), json!(""));
        }
        None => {
            fields.insert("content".to_owned(), Value::Null);
        }
        Some(Value::Array(_) | Value::String(_) | Value::Null) => {}
        Some(_) => {
            let message = format!("messages[{index}].content must be a string or a list of parts");
            return Err(TextError::invalid_request(message));
        }
    }
    Ok(())
}

/// Text parts joined by line breaks; other parts need a model that understands them.
fn joined_text(parts: &[Value], index: usize) -> Result<String, TextError> {
    let texts = parts.iter().map(|part| match part {
        Value::String(text) => Ok(text.as_str()),
        part => part.get("text").and_then(Value::as_str).ok_or_else(|| {
            let kind = part
                .get("type")
                .and_then(Value::as_str)
                .unwrap_or("unknown");
            let place = format!("messages[{index}].content");
            TextError::invalid_request(format!(
                "{place}: this model takes text, not parts of type '{kind}'"
            ))
        }),
    });
    Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n"))
}

/// Reasoning comes under several names; templates read `reasoning_content` or `thinking`.
fn name_reasoning(fields: &mut Map<String, Value>) {
    let given = ["reasoning_content", "reasoning", "thinking"]
        .iter()
        .find_map(|name| fields.get(*name).filter(|text| !text.is_null()).cloned());
    if let Some(reasoning) = given {
        fields
            .entry("thinking")
            .or_insert_with(|| reasoning.clone());
        fields.insert("reasoning_content".to_owned(), reasoning);
    }
}

/// Arguments get the form that the template wants, and fields that say nothing are left out.
fn normalize_tool_calls(fields: &mut Map<String, Value>, text_arguments: bool) {
    if fields.get("tool_calls").is_some_and(is_empty) {
        fields.remove("tool_calls");
    }
    let calls = fields.get_mut("tool_calls").and_then(Value::as_array_mut);
    for call in calls.into_iter().flatten() {
        let Some(arguments) = call.pointer_mut("/function/arguments") else {
            continue;
        };
        if text_arguments {
            if !arguments.is_string() {
                *arguments = Value::String(arguments.to_string());
            }
        } else if let Some(parsed) = parsed_arguments(arguments) {
            *arguments = parsed;
        }
    }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_array().is_some_and(Vec::is_empty)
}

fn parsed_arguments(arguments: &Value) -> Option<Value> {
    let text = arguments.as_str()?.trim();
    if text.is_empty() {
        return Some(json!({}));
    }
    serde_json::from_str(text).ok().filter(Value::is_object)
}
