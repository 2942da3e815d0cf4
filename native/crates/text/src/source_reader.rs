//! Reads a model's files.
use std::fs;
use std::path::Path;

use serde_json::{Map, Value};

use crate::builtin;
use crate::error::TextError;
use crate::gguf;
use crate::source::{FileRole, ModelFile, ModelSource};

/// Reads all files; what a folder says wins over what a GGUF says.
pub(crate) fn read_source(files: &[ModelFile]) -> Result<ModelSource, TextError> {
    let mut source = ModelSource::default();
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
        read_file(&mut source, file)?;
    }
    Ok(source)
}

fn read_file(source: &mut ModelSource, file: &ModelFile) -> Result<(), TextError> {
    match file.role {
        FileRole::TokenizerJson => {
            source.tokenizer = Some(read_json(&file.path)?);
            source.adds_bos_to_chat = false;
        }
        FileRole::TokenizerConfig => source.tokenizer_config = read_object(&file.path)?,
        FileRole::Config => source.config = read_object(&file.path)?,
        FileRole::GenerationConfig => source.generation_config = Some(read_object(&file.path)?),
        FileRole::ChatTemplate => source.chat_template = Some(read_template(&file.path)?),
        FileRole::Gguf | FileRole::GgufVocabulary | FileRole::Builtin => {}
    }
    Ok(())
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
