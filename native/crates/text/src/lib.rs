//! Tokenizers and chat templates: messages in, token ids and block hashes out.
//!
//! Everything that turns text into ids and back, without threads, sockets or a JavaScript engine. A [`TextModel`] is
//! built once from a model's files and is then shared between threads; its calls are synchronous and CPU bound.
mod body;
mod builtin;
mod byte_chars;
mod decoder;
mod error;
mod gguf;
mod inspect;
mod model;
mod model_info;
mod repair;
mod segment_cache;
mod source;
mod source_reader;
mod special_tokens;
mod template;
mod token_table;
mod tokenizer;

pub use decoder::IncrementalDecoder;
pub use error::TextError;
pub use gguf::extract_vocabulary;
pub use inspect::inspect_body;
pub use model::{ChatOptions, EncodeOptions, EncodedPrompt, TextModel};
pub use model_info::ModelInfo;
pub use repair::parse_json;
pub use source::{FileRole, ModelFile};
pub use token_table::{TOKEN_KNOWN, TOKEN_SPECIAL, TokenTable};
