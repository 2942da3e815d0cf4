//! Chat templates: messages to one prompt text, with Hugging Face's semantics.
mod capabilities;
mod environment;
mod messages;
mod python_format;
#[cfg(test)]
mod tests;
mod values;

use minijinja::{Environment, Value};
use serde_json::{Map, Value as Json};

use self::capabilities::Capabilities;
use self::environment::{RaisedByTemplate, hugging_face_environment, without_generation_tags};
use crate::body::ChatInput;
use crate::error::TextError;

const DEFAULT: &str = "default";
const TOOL_USE: &str = "tool_use";
/// Marks where a continued message ends; no client writes it by chance. Its trailing space shows whether the template
/// trims messages.
const CONTINUATION: &str = "\u{f8ff}cOnTiNuAtIoN\u{f8ff} ";

/// A model's chat templates, compiled.
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
    capabilities: Capabilities,
    has_tool_use: bool,
}

impl ChatTemplate {
    /// Compiles `sources` (name and text; one is called `default`) with `globals` such as `bos_token`.
    pub fn new(
        sources: Vec<(String, String)>,
        globals: Map<String, Json>,
    ) -> Result<Self, TextError> {
        let mut environment = hugging_face_environment();
        for (name, value) in globals {
            environment.add_global(name, values::from_json(value));
        }
        for (name, source) in sources {
            environment
                .add_template_owned(name.clone(), without_generation_tags(&source))
                .map_err(|error| {
                    TextError::invalid_model(format!("chat template '{name}': {error:#}"))
                })?;
        }
        if environment.get_template(DEFAULT).is_err() {
            return Err(TextError::invalid_model(
                "no chat template is called 'default'",
            ));
        }
        let capabilities = Capabilities::probe(&environment, DEFAULT);
        let has_tool_use = environment.get_template(TOOL_USE).is_ok();
        Ok(Self {
            environment,
            capabilities,
            has_tool_use,
        })
    }

    /// The prompt for `input`.
    pub fn render(
        &self,
        mut input: ChatInput,
        add_generation_prompt: bool,
    ) -> Result<String, TextError> {
        messages::normalize(&mut input.messages, self.capabilities)?;
        let continued = input.continue_final_message;
        if continued {
            mark_final_message(&mut input.messages)?;
        }
        let name = if self.has_tool_use && input.tools.is_some() {
            TOOL_USE
        } else {
            DEFAULT
        };
        let template = self.environment.get_template(name);
        let template = template.map_err(|error| TextError::internal(error.to_string()))?;
        let prompt = template
            .render(variables(input, add_generation_prompt))
            .map_err(|error| refused(&error))?;
        if continued {
            up_to_mark(prompt)
        } else {
            Ok(prompt)
        }
    }
}

fn variables(input: ChatInput, add_generation_prompt: bool) -> Value {
    let mut fields = input.variables;
    fields.insert("messages".to_owned(), Json::Array(input.messages));
    fields.insert("tools".to_owned(), input.tools.unwrap_or_default());
    fields.insert("documents".to_owned(), input.documents.unwrap_or_default());
    fields.insert(
        "add_generation_prompt".to_owned(),
        Json::Bool(add_generation_prompt),
    );
    values::from_json(Json::Object(fields))
}

fn refused(error: &minijinja::Error) -> TextError {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(RaisedByTemplate(message)) = cause.downcast_ref() {
            return TextError::invalid_request(format!(
                "the chat template refuses these messages: {message}"
            ));
        }
        source = cause.source();
    }
    TextError::invalid_request(format!(
        "the chat template cannot render these messages: {error}"
    ))
}

/// Puts the mark at the end of the final message's text.
fn mark_final_message(messages: &mut [Json]) -> Result<(), TextError> {
    let last = messages
        .last_mut()
        .and_then(|message| message.get_mut("content"));
    let text = match last {
        Some(Json::Array(parts)) => parts
            .iter_mut()
            .rev()
            .find_map(|part| part.get_mut("text").filter(|text| text.is_string())),
        other => other,
    };
    match text {
        Some(Json::String(text)) => {
            text.push_str(CONTINUATION);
            Ok(())
        }
        _ => Err(TextError::invalid_request(
            "continue_final_message needs a final message with text to continue",
        )),
    }
}

/// Cuts the prompt where the final message's text ends; a template that trims messages also trims there.
fn up_to_mark(mut prompt: String) -> Result<String, TextError> {
    let Some(end) = prompt.rfind(CONTINUATION.trim_end()) else {
        return Err(TextError::invalid_request(
            "continue_final_message: the chat template does not render the final message",
        ));
    };
    let kept_spaces = prompt[end..].starts_with(CONTINUATION);
    prompt.truncate(end);
    if !kept_spaces {
        prompt.truncate(prompt.trim_end().len());
    }
    Ok(prompt)
}
