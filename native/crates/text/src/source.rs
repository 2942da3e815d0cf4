//! A model's files, read and parsed.
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::builtin;
use crate::error::TextError;
use crate::gguf;

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
    /// Reads all files; what a folder says wins over what a GGUF says.
    pub fn read(files: &[ModelFile]) -> Result<Self, TextError> {
        let mut source = Self::default();
        let is_whole = |file: &&ModelFile| {
            matches!(
                file.role,
                FileRole::Gguf | FileRole::GgufVocabulary | FileRole::Builtin
            )
        };
        if let Some(file) = files.iter().find(is_whole) {
            source = match file.role {
                FileRole::Builtin => builtin::model_source(),
                _ => gguf::model_source(&file.path)?,
            };
        }
        for file in files.iter().filter(|file| !is_whole(file)) {
            source.read_file(file)?;
        }
        Ok(source)
    }

    fn read_file(&mut self, file: &ModelFile) -> Result<(), TextError> {
        match file.role {
            FileRole::TokenizerJson => {
                self.tokenizer = Some(read_json(&file.path)?);
                self.adds_bos_to_chat = false;
            }
            FileRole::TokenizerConfig => self.tokenizer_config = read_object(&file.path)?,
            FileRole::Config => self.config = read_object(&file.path)?,
            FileRole::GenerationConfig => self.generation_config = Some(read_object(&file.path)?),
            FileRole::ChatTemplate => self.chat_template = Some(read_template(&file.path)?),
            FileRole::Gguf | FileRole::GgufVocabulary | FileRole::Builtin => {}
        }
        Ok(())
    }

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

fn read_template(path: &Path) -> Result<String, TextError> {
    let text = String::from_utf8(read(path)?)
        .map_err(|_| TextError::invalid_model(format!("{} is not UTF-8", path.display())))?;
    // A `chat_template.json` holds the template in a field.
    let field = serde_json::from_str::<Value>(&text).ok();
    let field = field.and_then(|json| json.get("chat_template")?.as_str().map(str::to_owned));
    Ok(field.unwrap_or(text))
}

fn read_object(path: &Path) -> Result<Map<String, Value>, TextError> {
    match read_json(path)? {
        Value::Object(fields) => Ok(fields),
        _ => Err(TextError::invalid_model(format!(
            "{} is no JSON object",
            path.display()
        ))),
    }
}

fn read_json(path: &Path) -> Result<Value, TextError> {
    serde_json::from_slice(&read(path)?)
        .map_err(|error| TextError::invalid_model(format!("{}: {error}", path.display())))
}

fn read(path: &Path) -> Result<Vec<u8>, TextError> {
    fs::read(path).map_err(|error| TextError::invalid_model(format!("{}: {error}", path.display())))
}
