//! What a model's files say, and which files there are.
use std::path::PathBuf;

use serde_json::{Map, Value};

use crate::error::TextError;

/// What a file is to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileRole {
    /// `tokenizer.json`.
    TokenizerJson,
    /// `tokenizer_config.json`: special tokens, often the chat template.
    TokenizerConfig,
    /// `chat_template.jinja`, or a template chosen by the operator; wins over `tokenizer_config.json`.
    ChatTemplate,
    /// `config.json`: context length, end-of-sequence ids.
    Config,
    /// `generation_config.json`: sampling defaults, end-of-sequence ids.
    GenerationConfig,
    /// A whole `.gguf` file; only its metadata is read.
    Gguf,
    /// The extract that [`crate::extract_vocabulary`] makes.
    GgufVocabulary,
    /// The byte-level model that needs no files.
    Builtin,
}

impl FileRole {
    /// The role of that name.
    ///
    /// # Errors
    /// `model.invalid` for an unknown name.
    pub fn parse(name: &str) -> Result<Self, TextError> {
        Ok(match name {
            "tokenizer_json" => Self::TokenizerJson,
            "tokenizer_config" => Self::TokenizerConfig,
            "chat_template" => Self::ChatTemplate,
            "config" => Self::Config,
            "generation_config" => Self::GenerationConfig,
            "gguf" => Self::Gguf,
            "gguf_vocabulary" => Self::GgufVocabulary,
            "builtin" => Self::Builtin,
            _ => {
                return Err(TextError::invalid_model(format!(
                    "unknown model file role '{name}'"
                )));
            }
        })
    }
}

/// One file of a model.
#[derive(Debug, Clone)]
pub struct ModelFile {
    /// What the file is.
    pub role: FileRole,
    /// Where it is; empty for [`FileRole::Builtin`].
    pub path: PathBuf,
}

/// Everything the files say, as Hugging Face's formats say it.
#[derive(Debug, Default)]
pub(crate) struct ModelSource {
    /// `tokenizer.json`.
    pub tokenizer: Option<Value>,
    pub tokenizer_config: Map<String, Value>,
    pub config: Map<String, Value>,
    pub generation_config: Option<Map<String, Value>>,
    pub chat_template: Option<String>,
    /// Chat prompts get `<s>` even when the template writes none: llama.cpp's rule, not Hugging Face's.
    pub adds_bos_to_chat: bool,
}

impl ModelSource {
    /// Named template sources; empty when the model has none.
    pub fn templates(&self) -> Vec<(String, String)> {
        let named = |name: &str, text: &str| (name.to_owned(), text.to_owned());
        if let Some(text) = &self.chat_template {
            return vec![named("default", text)];
        }
        match self.tokenizer_config.get("chat_template") {
            Some(Value::String(text)) => vec![named("default", text)],
            Some(Value::Array(list)) => list
                .iter()
                .filter_map(|entry| {
                    Some(named(
                        entry.get("name")?.as_str()?,
                        entry.get("template")?.as_str()?,
                    ))
                })
                .collect(),
            _ => Vec::new(),
        }
    }
}
