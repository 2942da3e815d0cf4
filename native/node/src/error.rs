//! Errors as JavaScript sees them: an `Error` whose `code` is one of the registered codes.
use dynamo_text::TextError;
use napi::bindgen_prelude::Unknown;
use napi::{Env, JsError};

/// A registered code and one sentence.
#[derive(Debug, Clone)]
pub struct NativeError {
    code: &'static str,
    message: String,
}

impl NativeError {
    /// An error with a registered code.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The registered code.
    #[cfg(test)]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The error of a synchronous function.
    pub fn into_js(self) -> napi::Error<&'static str> {
        napi::Error::new(self.code, self.message)
    }

    /// The reason that a promise is rejected with.
    pub fn into_rejection(self, env: Env) -> napi::Error {
        let value: Unknown<'_> = JsError::from(self.into_js()).into_unknown(env);
        napi::Error::from(value)
    }
}

impl From<TextError> for NativeError {
    fn from(error: TextError) -> Self {
        Self::new(error.code(), error.message())
    }
}
