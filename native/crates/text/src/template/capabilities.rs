//! What a template can do, found out by rendering small conversations with it once, when it is loaded.
use minijinja::{Environment, context};
use serde_json::{Value, json};

use super::values::from_json;

const PROBE: &str = "tEmPlAtE-pRoBe";

/// Forms of messages that a template renders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Capabilities {
    pub content: ContentForm,
    /// An assistant message with tool calls may have null as its content.
    pub null_content: bool,
    /// Arguments of tool calls are put into the prompt as they are, so they must be JSON text and not objects.
    pub text_arguments: bool,
}

/// How a template takes content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentForm {
    /// As a string only.
    Text,
    /// As a string or as a list of parts.
    TextOrParts,
    /// As a list of parts only.
    Parts,
}

impl Capabilities {
    /// Tries the template called `name`.
    pub fn probe(environment: &Environment<'_>, name: &str) -> Self {
        let probe = Probe { environment, name };
        // In order of preference; the last resort is what most templates take.
        let forms = [(true, false), (false, false), (true, true), (false, true)];
        let (null_content, text_arguments) = forms
            .into_iter()
            .find(|(null, text)| probe.shows_call(*null, *text))
            .unwrap_or_else(|| {
                let null_fails = probe.call(true, false).is_none();
                (!null_fails || probe.call(false, false).is_none(), false)
            });
        Self {
            content: probe.content_form(),
            null_content,
            text_arguments,
        }
    }
}

struct Probe<'a> {
    environment: &'a Environment<'a>,
    name: &'a str,
}

impl Probe<'_> {
    fn content_form(&self) -> ContentForm {
        let parts = self.shows_content(&json!([{"type": "text", "text": PROBE}]));
        match (parts, self.shows_content(&json!(PROBE))) {
            (true, false) => ContentForm::Parts,
            (true, true) => ContentForm::TextOrParts,
            (false, _) => ContentForm::Text,
        }
    }

    fn shows_content(&self, content: &Value) -> bool {
        self.render(json!([{"role": "user", "content": content}]))
            .is_some_and(|text| {
                text.contains(PROBE) && !text.contains("\"type\"") && !text.contains("'type'")
            })
    }

    /// The call's arguments are in the prompt, and not as Python or JSON would quote them once too often.
    fn shows_call(&self, null_content: bool, text_arguments: bool) -> bool {
        self.call(null_content, text_arguments).is_some_and(|text| {
            text.contains(PROBE) && !text.contains(&format!("{{'{PROBE}")) && !text.contains("\\\"")
        })
    }

    fn call(&self, null_content: bool, text_arguments: bool) -> Option<String> {
        let arguments = json!({PROBE: 1});
        let arguments = if text_arguments {
            json!(arguments.to_string())
        } else {
            arguments
        };
        let content = if null_content { Value::Null } else { json!("") };
        let call = json!({
            "id": "call00000", "type": "function",
            "function": {"name": "probe", "arguments": arguments},
        });
        self.render(json!([
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": content, "tool_calls": [call]},
        ]))
    }

    fn render(&self, messages: Value) -> Option<String> {
        let template = self.environment.get_template(self.name).ok()?;
        let messages = from_json(messages);
        template
            .render(context! { messages, add_generation_prompt => true })
            .ok()
    }
}
