//! Facts about a model that its files state: stop ids, context length, sampling defaults.
use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::source::ModelSource;
use crate::tokenizer::TextTokenizer;

/// Above this a `model_max_length` is Hugging Face's stand-in for "not stated" (1e30).
const LARGEST_CONTEXT: u64 = 1 << 40;

/// What callers need to know about a loaded model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModelInfo {
    /// One more than the largest token id.
    pub vocab_size: usize,
    /// Ids that end an answer, in ascending order.
    pub eos_token_ids: Vec<u32>,
    /// Id that opens a text.
    pub bos_token_id: Option<u32>,
    /// Longest prompt and answer together, in tokens.
    pub context_length: Option<u64>,
    /// Chat requests can be rendered.
    pub has_chat_template: bool,
    /// Text is the concatenation of the ids' bytes.
    pub byte_level: bool,
    /// `generation_config.json` as it is.
    pub generation_defaults_json: Option<String>,
}

impl ModelInfo {
    pub(crate) fn read(source: &ModelSource, tokenizer: &TextTokenizer) -> Self {
        let special = |name| special_token(&source.tokenizer_config, name);
        let named = |name| special(name).and_then(|content| tokenizer.added_id(content));
        let mut eos: BTreeSet<u32> = BTreeSet::new();
        eos.extend(ids(source.config.get("eos_token_id")));
        eos.extend(ids(source
            .generation_config
            .as_ref()
            .and_then(|it| it.get("eos_token_id"))));
        eos.extend(named("eos_token"));
        let bos = ids(source.config.get("bos_token_id")).first().copied();
        Self {
            vocab_size: tokenizer.size(),
            eos_token_ids: eos.into_iter().collect(),
            bos_token_id: named("bos_token").or(bos),
            context_length: context_length(source),
            has_chat_template: !source.templates().is_empty(),
            byte_level: tokenizer.is_byte_level(),
            generation_defaults_json: source
                .generation_config
                .clone()
                .map(|fields| Value::Object(fields).to_string()),
        }
    }
}

/// The special tokens of `tokenizer_config.json` as template variables: `bos_token`, `eos_token` and so on.
pub(crate) fn special_token_variables(tokenizer_config: &Map<String, Value>) -> Map<String, Value> {
    let names = tokenizer_config
        .keys()
        .filter(|name| name.ends_with("_token"));
    names
        .filter_map(|name| {
            Some((
                name.clone(),
                Value::from(special_token(tokenizer_config, name)?),
            ))
        })
        .collect()
}

/// A special token is written as its content or as an object with it.
pub(crate) fn special_token<'a>(config: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    match config.get(name)? {
        Value::String(content) => Some(content),
        Value::Object(fields) => fields.get("content")?.as_str(),
        _ => None,
    }
}

fn ids(value: Option<&Value>) -> Vec<u32> {
    let one = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(one).collect(),
        Some(value) => one(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// `max_position_embeddings`, also of a nested text model, else the tokenizer's `model_max_length` (RF 4.1).
fn context_length(source: &ModelSource) -> Option<u64> {
    const NAME: &str = "max_position_embeddings";
    let nested = [
        "text_config",
        "language_config",
        "llm_config",
        "thinker_config",
    ];
    let own = source.config.get(NAME).and_then(Value::as_u64);
    let inner = || {
        nested
            .iter()
            .find_map(|part| source.config.get(*part)?.get(NAME)?.as_u64())
    };
    let tokenizer = || {
        let length = source.tokenizer_config.get("model_max_length")?.as_u64();
        length.filter(|length| *length < LARGEST_CONTEXT)
    };
    own.or_else(inner).or_else(tokenizer)
}
