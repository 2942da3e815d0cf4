//! What a template can do, found out by rendering small conversations with it once, when it is loaded.
use minijinja::{Environment, context};
use serde_json::{Value, json};

use super::values::from_json;

const PROBE: &str = "tEmPlAtE-pRoBe";

/// Forms of message content that a template renders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capabilities {
    /// A list of content parts is rendered part by part.
    pub content_lists: bool,
    /// A plain string is not rendered: content must be a list.
    pub only_content_lists: bool,
    /// An assistant message with tool calls may have null as its content.
    pub null_content: bool,
}

impl Capabilities {
    /// Tries the template called `name`.
    pub fn probe(environment: &Environment<'_>, name: &str) -> Self {
        let shows = |content: Value| {
            render(
                environment,
                name,
                json!([{"role": "user", "content": content}]),
            )
            .is_some_and(|text| {
                text.contains(PROBE) && !text.contains("\"type\"") && !text.contains("'type'")
            })
        };
        let lists = shows(json!([{"type": "text", "text": PROBE}]));
        let strings = shows(json!(PROBE));
        let with_call = |content: Value| {
            let call = json!({"id": "call00000", "type": "function", "function": {"name": PROBE, "arguments": {}}});
            let messages = json!([
                {"role": "user", "content": PROBE},
                {"role": "assistant", "content": content, "tool_calls": [call]},
            ]);
            render(environment, name, messages).is_some()
        };
        Self {
            content_lists: lists,
            only_content_lists: lists && !strings,
            null_content: with_call(Value::Null) || !with_call(json!("")),
        }
    }
}

fn render(environment: &Environment<'_>, name: &str, messages: Value) -> Option<String> {
    let template = environment.get_template(name).ok()?;
    let messages = from_json(messages);
    template
        .render(context! { messages, add_generation_prompt => true })
        .ok()
}
