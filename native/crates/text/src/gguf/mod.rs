//! GGUF files as a source of tokenizer and template. Only metadata is read, never tensors.
mod extract;
mod pre_tokenizer;
mod reader;
mod vocabulary;

pub use extract::extract_vocabulary;
pub(crate) use vocabulary::model_source;
