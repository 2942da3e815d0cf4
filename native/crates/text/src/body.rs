//! What a request body says about its prompt.
use serde_json::{Map, Value};

use crate::error::TextError;
use crate::repair::parse_json;

/// The parts of a chat request that shape its prompt.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct ChatInput {
    pub messages: Vec<Value>,
    pub tools: Option<Value>,
    pub documents: Option<Value>,
    /// Further template variables: `chat_template_args`, alias `chat_template_kwargs`.
    pub variables: Map<String, Value>,
    /// As asked for in the body; the caller's wish comes first and a default last.
    pub add_generation_prompt: Option<bool>,
    pub continue_final_message: bool,
    /// The last message's text is the prompt, without a template (`nvext.use_raw_prompt`).
    pub raw_prompt: bool,
    /// The prompt is tokenised already (`nvext.token_data`).
    pub token_data: Option<Vec<u32>>,
}

impl ChatInput {
    /// Reads a chat completion body.
    pub fn parse(body: &[u8]) -> Result<Self, TextError> {
        let Value::Object(mut fields) = parse_json(body)? else {
            return Err(TextError::invalid_request("the body must be a JSON object"));
        };
        let messages = match fields.remove("messages") {
            Some(Value::Array(messages)) if !messages.is_empty() => messages,
            Some(_) => {
                return Err(TextError::invalid_request(
                    "'messages' must be a non-empty list",
                ));
            }
            None => return Err(TextError::invalid_request("'messages' is missing")),
        };
        if let Some(at) = messages.iter().position(|message| !message.is_object()) {
            return Err(TextError::invalid_request(format!(
                "messages[{at}] must be an object"
            )));
        }
        let token_data = fields
            .get_mut("nvext")
            .and_then(|nvext| nvext.get_mut("token_data"));
        let token_data = token_data.map(Value::take).filter(|ids| !ids.is_null());
        let variables = template_variables(&mut fields)?;
        let wish = fields
            .get("add_generation_prompt")
            .or(variables.get("add_generation_prompt"));
        let wish = wish.and_then(Value::as_bool);
        Ok(Self {
            messages,
            tools: offered_tools(&mut fields),
            documents: fields
                .remove("documents")
                .filter(|documents| !documents.is_null()),
            add_generation_prompt: wish,
            continue_final_message: is_true(fields.get("continue_final_message")),
            raw_prompt: is_true(
                fields
                    .get("nvext")
                    .and_then(|nvext| nvext.get("use_raw_prompt")),
            ),
            variables,
            token_data: token_data
                .map(|ids| token_ids(&ids, "nvext.token_data"))
                .transpose()?,
        })
    }
}

/// One prompt of a completion request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CompletionPrompt {
    Text(String),
    Tokens(Vec<u32>),
}

impl CompletionPrompt {
    /// Takes prompt number `index` out of a completion body: `prompt` is a string, a list of them, a list of token ids
    /// or a list of such lists.
    pub fn parse(body: &[u8], index: usize) -> Result<Self, TextError> {
        let mut body = parse_json(body)?;
        let prompt = body.get_mut("prompt").map(Value::take).unwrap_or_default();
        match prompt {
            Value::Array(items) if items.iter().any(Value::is_number) => {
                one(index).and_then(|()| Self::from_value(Value::Array(items)))
            }
            Value::Array(mut items) if index < items.len() => Self::from_value(items[index].take()),
            Value::Array(items) => Err(no_prompt(index, items.len())),
            single => one(index).and_then(|()| Self::from_value(single)),
        }
    }

    fn from_value(value: Value) -> Result<Self, TextError> {
        match value {
            Value::String(text) => Ok(Self::Text(text)),
            Value::Array(ids) if !ids.is_empty() => {
                token_ids(&Value::Array(ids), "prompt").map(Self::Tokens)
            }
            _ => Err(TextError::invalid_request(
                "'prompt' must be a string, a list of strings, or token ids",
            )),
        }
    }
}

fn token_ids(value: &Value, field: &str) -> Result<Vec<u32>, TextError> {
    let ids = match value {
        Value::Array(ids) => ids
            .iter()
            .map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok()))
            .collect::<Option<Vec<_>>>(),
        _ => None,
    };
    ids.ok_or_else(|| {
        TextError::invalid_request(format!("'{field}' holds something that is no token id"))
    })
}

fn one(index: usize) -> Result<(), TextError> {
    if index == 0 {
        Ok(())
    } else {
        Err(no_prompt(index, 1))
    }
}

fn no_prompt(index: usize, count: usize) -> TextError {
    TextError::invalid_request(format!(
        "there is no prompt {index}: the request has {count}"
    ))
}

fn is_true(value: Option<&Value>) -> bool {
    value.and_then(Value::as_bool) == Some(true)
}

fn template_variables(fields: &mut Map<String, Value>) -> Result<Map<String, Value>, TextError> {
    let mut variables = Map::new();
    for name in ["chat_template_kwargs", "chat_template_args"] {
        match fields.remove(name) {
            Some(Value::Object(given)) => variables.extend(given),
            None | Some(Value::Null) => {}
            Some(_) => {
                return Err(TextError::invalid_request(format!(
                    "'{name}' must be an object"
                )));
            }
        }
    }
    if let Some(effort) = fields
        .remove("reasoning_effort")
        .filter(|effort| !effort.is_null())
    {
        variables.entry("reasoning_effort").or_insert(effort);
    }
    Ok(variables)
}

/// Tools that the model is told about: none when the caller forbids their use.
fn offered_tools(fields: &mut Map<String, Value>) -> Option<Value> {
    if fields.get("tool_choice").and_then(Value::as_str) == Some("none") {
        return None;
    }
    fields
        .remove("tools")
        .filter(|tools| tools.as_array().is_some_and(|tools| !tools.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(body: &str) -> Result<ChatInput, TextError> {
        ChatInput::parse(body.as_bytes())
    }

    #[test]
    fn messages_must_be_a_list_of_objects() {
        for body in ["[]", "{}", r#"{"messages": []}"#, r#"{"messages": "x"}"#] {
            assert_eq!(chat(body).unwrap_err().code(), "request.invalid", "{body}");
        }
        let error = chat(r#"{"messages": [{}, 1]}"#).unwrap_err();
        assert!(error.message().contains("messages[1]"));
    }

    #[test]
    fn a_prompt_may_be_tokenised_already() {
        let body =
            |ids: &str| format!(r#"{{"messages": [{{}}], "nvext": {{"token_data": {ids}}}}}"#);
        assert_eq!(chat(&body("[7, 8]")).unwrap().token_data, Some(vec![7, 8]));
        assert_eq!(chat(&body("null")).unwrap().token_data, None);
        for ids in ["[7, -1]", r#""7""#, "[7.5]"] {
            assert_eq!(
                chat(&body(ids)).unwrap_err().code(),
                "request.invalid",
                "{ids}"
            );
        }
    }

    #[test]
    fn tools_are_hidden_when_the_caller_forbids_them() {
        let body = |choice: &str| {
            format!(r#"{{"messages": [{{}}], "tools": [{{}}], "tool_choice": "{choice}"}}"#)
        };
        assert!(chat(&body("auto")).unwrap().tools.is_some());
        assert!(chat(&body("none")).unwrap().tools.is_none());
    }

    #[test]
    fn template_variables_come_from_both_names() {
        let input = chat(
            r#"{"messages": [{}], "chat_template_kwargs": {"a": 1, "b": 1},
                "chat_template_args": {"b": 2}, "reasoning_effort": "low"}"#,
        );
        let variables = Value::Object(input.unwrap().variables);
        assert_eq!(
            variables,
            serde_json::json!({"a": 1, "b": 2, "reasoning_effort": "low"})
        );
    }

    #[test]
    fn a_completion_prompt_is_taken_by_its_index() {
        let take = |prompt: &str, index| {
            CompletionPrompt::parse(format!(r#"{{"prompt": {prompt}}}"#).as_bytes(), index)
        };
        let text = |text: &str| CompletionPrompt::Text(text.to_owned());
        assert_eq!(take(r#""a""#, 0).unwrap(), text("a"));
        assert_eq!(take(r#"["a", "b"]"#, 1).unwrap(), text("b"));
        assert_eq!(
            take("[1, 2]", 0).unwrap(),
            CompletionPrompt::Tokens(vec![1, 2])
        );
        assert_eq!(
            take("[[1], [2, 3]]", 1).unwrap(),
            CompletionPrompt::Tokens(vec![2, 3])
        );
        for (prompt, index) in [
            ("[1, 2]", 1),
            ("[]", 0),
            ("[1, -2]", 0),
            ("{}", 0),
            (r#""a""#, 1),
            (r#"["a"]"#, 3),
        ] {
            assert_eq!(
                take(prompt, index).unwrap_err().code(),
                "request.invalid",
                "{prompt}"
            );
        }
    }
}
