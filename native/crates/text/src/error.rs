//! The one error of this crate.
use std::fmt;

/// What went wrong, with the registered code that callers map to a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextError {
    code: &'static str,
    message: String,
}

impl TextError {
    /// The request's content cannot be used; the caller's fault.
    #[must_use]
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self {
            code: "request.invalid",
            message: message.into(),
        }
    }

    /// The prompt is longer than the model's context; names both numbers.
    #[must_use]
    pub fn context_length(prompt_tokens: usize, limit: usize) -> Self {
        let message = format!(
            "the prompt has {prompt_tokens} tokens, but at most {limit} fit the model's context"
        );
        Self {
            code: "request.context_length",
            message,
        }
    }

    /// A model file cannot be used; names the file or the field.
    #[must_use]
    pub fn invalid_model(message: impl Into<String>) -> Self {
        Self {
            code: "model.invalid",
            message: message.into(),
        }
    }

    /// A defect of this crate or of a library below it.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self {
            code: "runtime.internal",
            message: message.into(),
        }
    }

    /// The registered code, for example `request.invalid`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// One sentence for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for TextError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for TextError {}
