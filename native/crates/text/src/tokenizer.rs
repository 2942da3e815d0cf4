//! One tokenizer: text to ids and ids to text, as Hugging Face's own library does it.
//!
//! The library's pipeline is read-only and shared between threads. What this file adds is the facts that the rest of
//! the crate needs: which tokens are special, whether ids decode to plain bytes, and whether a segment's ids depend on
//! where in the text it stands.
use serde_json::Value;
use tokenizers::pipeline::{
    EncodeOptions, Override, PipelineModel, PipelineToken, PipelineTokenizer,
};

use crate::byte_chars::printable;
use crate::error::TextError;

/// A token that is matched in text before the model sees it.
#[derive(Debug, Clone)]
pub(crate) struct AddedToken {
    pub id: u32,
    pub content: String,
    pub special: bool,
    pub matching: Matching,
}

/// How an added token is found in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Matching {
    /// In the raw text, wherever it stands.
    Plain,
    /// In the raw text, taking white space to its right with it.
    TakesRight,
    /// Only between non-word characters, so what stands before and after matters.
    SingleWord,
    /// In normalised text, so its place in the raw text is not known.
    Normalized,
}

/// A loaded tokenizer.
pub(crate) struct TextTokenizer {
    pipeline: PipelineTokenizer,
    added: Vec<AddedToken>,
    size: usize,
    /// Ids from `size` on stand for bytes that the vocabulary does not have; they never leave this file.
    has_fillers: bool,
    byte_level: bool,
    position_dependent: bool,
}

impl TextTokenizer {
    /// Builds a tokenizer from a parsed `tokenizer.json`, older forms of it included.
    pub fn from_json(mut json: Value) -> Result<Self, TextError> {
        let added = read_added_tokens(&json);
        let size = read_size(&json, &added);
        let has_fillers = fill_missing_bytes(&mut json, size);
        tokenizers::canonicalize_value(&mut json)
            .map_err(|error| TextError::invalid_model(format!("tokenizer.json: {error}")))?;
        let position_dependent = ["normalizer", "pre_tokenizer"]
            .iter()
            .any(|key| json.get(key).is_some_and(depends_on_position));
        let text = json.to_string();
        drop(json);
        let pipeline = tokenizers::from_json(&text)
            .map_err(|error| TextError::invalid_model(format!("tokenizer.json: {error}")))?;
        let byte_level =
            matches!(pipeline.get_model(), PipelineModel::BPE(model) if model.is_byte_level());
        Ok(Self {
            pipeline,
            added,
            size,
            has_fillers,
            byte_level,
            position_dependent,
        })
    }

    /// Appends the ids of `text`; with `add_special` also what the post-processor puts around it (`<s>` and the like).
    pub fn encode_into(
        &self,
        text: &str,
        add_special: bool,
        ids: &mut Vec<u32>,
    ) -> Result<(), TextError> {
        let options = EncodeOptions {
            add_special_tokens: add_special,
            encode_special_tokens: false,
            padding: Override::Off,
            truncation: Override::Off,
        };
        let mut tokens: Vec<PipelineToken> = Vec::with_capacity(text.len() / 4 + 4);
        self.pipeline
            .encode_into(text, &options, &mut tokens)
            .map_err(|error| TextError::internal(format!("tokenizing failed: {error}")))?;
        let found = tokens.iter().map(|token| token.id());
        if self.has_fillers {
            ids.extend(found.filter(|id| (*id as usize) < self.size));
        } else {
            ids.extend(found);
        }
        Ok(())
    }

    /// Text of a whole id sequence; ids that the vocabulary does not have add nothing.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, TextError> {
        self.pipeline
            .decode(ids, skip_special)
            .map_err(|error| TextError::internal(format!("detokenizing failed: {error}")))
    }

    /// The vocabulary's own spelling of an id: printable stand-ins for bytes in byte-level vocabularies.
    pub fn piece(&self, id: u32) -> Option<String> {
        self.pipeline.get_model().id_to_token(id)
    }

    /// Id of an added token by its exact content.
    pub fn added_id(&self, content: &str) -> Option<u32> {
        self.added
            .iter()
            .find(|token| token.content == content)
            .map(|token| token.id)
    }

    pub fn added_tokens(&self) -> &[AddedToken] {
        &self.added
    }

    /// Whether the id is a special token, which decoding may leave out.
    pub fn is_special(&self, id: u32) -> bool {
        self.added
            .iter()
            .any(|token| token.special && token.id == id)
    }

    /// One more than the largest id.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Every id stands for fixed bytes, and text is their concatenation.
    pub fn is_byte_level(&self) -> bool {
        self.byte_level
    }

    /// A segment's ids depend on whether it opens the text.
    pub fn is_position_dependent(&self) -> bool {
        self.position_dependent
    }
}

fn read_added_tokens(json: &Value) -> Vec<AddedToken> {
    let tokens = json.get("added_tokens").and_then(Value::as_array);
    tokens
        .into_iter()
        .flatten()
        .filter_map(|token| {
            Some(AddedToken {
                id: u32::try_from(token.get("id")?.as_u64()?).ok()?,
                content: token.get("content")?.as_str()?.to_owned(),
                special: is_set(token, "special"),
                matching: read_matching(token),
            })
        })
        .collect()
}

fn read_matching(token: &Value) -> Matching {
    if is_set(token, "normalized") {
        Matching::Normalized
    } else if is_set(token, "single_word") {
        Matching::SingleWord
    } else if is_set(token, "rstrip") {
        Matching::TakesRight
    } else {
        Matching::Plain
    }
}

fn is_set(token: &Value, flag: &str) -> bool {
    token.get(flag).and_then(Value::as_bool) == Some(true)
}

/// Gives ids from `size` on to bytes that a byte-level vocabulary lacks, because the library refuses such vocabularies.
/// Small ones (SmolLM2) lack a few control characters; text loses them, as it does in llama.cpp.
fn fill_missing_bytes(json: &mut Value, size: usize) -> bool {
    if !json.get("pre_tokenizer").is_some_and(is_byte_level) {
        return false;
    }
    let Some(Value::Object(vocab)) = json.pointer_mut("/model/vocab") else {
        return false;
    };
    let bytes = (0..=u8::MAX).map(|byte| printable(byte).to_string());
    let missing: Vec<String> = bytes.filter(|byte| !vocab.contains_key(byte)).collect();
    let filled = !missing.is_empty();
    vocab.extend(
        missing
            .into_iter()
            .enumerate()
            .map(|(at, byte)| (byte, Value::from(size + at))),
    );
    filled
}

fn is_byte_level(component: &Value) -> bool {
    let steps = component.get("pretokenizers").and_then(Value::as_array);
    component.get("type").and_then(Value::as_str) == Some("ByteLevel")
        || steps.is_some_and(|steps| steps.iter().any(is_byte_level))
}

/// Finds the `first` of `prepend_scheme` and its canonical forms at any depth.
fn depends_on_position(component: &Value) -> bool {
    match component {
        Value::Object(fields) => fields.iter().any(|(name, value)| {
            (name.starts_with("prepend") && value.as_str() == Some("first"))
                || depends_on_position(value)
        }),
        Value::Array(items) => items.iter().any(depends_on_position),
        _ => false,
    }
}

fn read_size(json: &Value, added: &[AddedToken]) -> usize {
    let model = match json.pointer("/model/vocab") {
        Some(Value::Object(vocab)) => vocab
            .values()
            .filter_map(Value::as_u64)
            .max()
            .map_or(0, |id| id + 1),
        Some(Value::Array(vocab)) => vocab.len() as u64,
        _ => 0,
    };
    let added = added
        .iter()
        .map(|token| u64::from(token.id) + 1)
        .max()
        .unwrap_or(0);
    usize::try_from(model.max(added)).unwrap_or(0)
}
