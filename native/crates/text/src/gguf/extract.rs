//! The part of a GGUF file that travels to frontends: tokenizer and template, without tensors.
//!
//! The extract is itself a GGUF file, of the kind that llama.cpp calls vocabulary-only.
use std::path::Path;

use super::reader::{MAGIC, Metadata};
use crate::error::TextError;

const VERSION: u32 = 3;

/// Makes the extract of the GGUF file at `path`; role `gguf_vocabulary` loads it.
///
/// # Errors
/// `model.invalid` when the file cannot be read or has no tokenizer.
pub fn extract_vocabulary(path: &Path) -> Result<Vec<u8>, TextError> {
    let metadata = Metadata::read(path)?;
    if metadata.text("tokenizer.ggml.model").is_none() {
        let message = format!("{} has no tokenizer in its metadata", path.display());
        return Err(TextError::invalid_model(message));
    }
    let mut output = Vec::new();
    output.extend(MAGIC);
    output.extend(VERSION.to_le_bytes());
    output.extend(0_u64.to_le_bytes());
    output.extend((metadata.entries.len() as u64).to_le_bytes());
    for entry in &metadata.entries {
        output.extend((entry.key.len() as u64).to_le_bytes());
        output.extend(entry.key.as_bytes());
        output.extend(entry.kind.to_le_bytes());
        output.extend(&entry.bytes);
    }
    Ok(output)
}
