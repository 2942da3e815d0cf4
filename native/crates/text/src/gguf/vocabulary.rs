//! A GGUF file's vocabulary as a `tokenizer.json`, its template and ids as the other Hugging Face files.
use std::collections::HashMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::pre_tokenizer::PreTokenizer;
use super::reader::Metadata;
use crate::error::TextError;
use crate::source::ModelSource;

/// Token types of llama.cpp.
const TYPE_UNKNOWN: i64 = 2;
const TYPE_CONTROL: i64 = 3;
const TYPE_USER_DEFINED: i64 = 4;
/// Control tokens that end a turn in one chat format or another; llama.cpp stops at them whatever the file says.
const END_OF_TURN: [&str; 8] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|eom_id|>",
    "<|end_of_text|>",
    "< EOT >",
];

/// Reads a whole GGUF file or an extract of one.
pub(crate) fn model_source(path: &Path) -> Result<ModelSource, TextError> {
    let metadata = Metadata::read(path)?;
    Vocabulary::read(&metadata)
        .and_then(|vocabulary| vocabulary.model_source())
        .map_err(|error| {
            TextError::invalid_model(format!("{}: {}", path.display(), error.message()))
        })
}

struct Vocabulary<'a> {
    metadata: &'a Metadata,
    tokens: Vec<String>,
    types: Vec<i64>,
}

/// What depends on the kind of vocabulary.
struct Pipeline {
    model: Value,
    normalizer: Value,
    pre_tokenizer: Value,
    decoder: Value,
    adds_bos: bool,
}

impl<'a> Vocabulary<'a> {
    fn read(metadata: &'a Metadata) -> Result<Self, TextError> {
        let tokens = metadata.texts("tokenizer.ggml.tokens");
        let tokens = tokens.ok_or_else(|| {
            TextError::invalid_model("tokenizer.ggml.tokens is missing or invalid")
        })?;
        let types = metadata.whole_numbers("tokenizer.ggml.token_type");
        let types = types.filter(|types| types.len() == tokens.len());
        let types = types.unwrap_or_else(|| vec![1; tokens.len()]);
        Ok(Self {
            metadata,
            tokens,
            types,
        })
    }

    fn model_source(&self) -> Result<ModelSource, TextError> {
        let kind = self
            .metadata
            .text("tokenizer.ggml.model")
            .unwrap_or_default();
        let pipeline = match kind.as_str() {
            "gpt2" => self.byte_level()?,
            "llama" => self.sentence_piece()?,
            other => {
                let message =
                    format!("tokenizer model '{other}' is not supported (gpt2 and llama are)");
                return Err(TextError::invalid_model(message));
            }
        };
        let adds_bos = self
            .metadata
            .flag("tokenizer.ggml.add_bos_token")
            .unwrap_or(pipeline.adds_bos);
        let tokenizer = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": self.added_tokens(),
            "normalizer": pipeline.normalizer,
            "pre_tokenizer": pipeline.pre_tokenizer,
            "post_processor": self.post_processor(adds_bos),
            "decoder": pipeline.decoder,
            "model": pipeline.model,
        });
        Ok(ModelSource {
            tokenizer: Some(tokenizer),
            tokenizer_config: self.tokenizer_config(),
            config: self.config(),
            adds_bos_to_chat: adds_bos,
            ..ModelSource::default()
        })
    }

    fn byte_level(&self) -> Result<Pipeline, TextError> {
        let merges = self.metadata.texts("tokenizer.ggml.merges");
        let merges = merges.ok_or_else(|| {
            TextError::invalid_model("tokenizer.ggml.merges is missing or invalid")
        })?;
        let merges: Vec<_> = merges
            .iter()
            .filter_map(|merge| split_merge(merge))
            .collect();
        let name = self
            .metadata
            .text("tokenizer.ggml.pre")
            .unwrap_or_else(|| "default".to_owned());
        let pre = PreTokenizer::named(&name).ok_or_else(|| {
            TextError::invalid_model(format!("pre-tokenizer '{name}' is not supported"))
        })?;
        Ok(Pipeline {
            model: json!({
                "type": "BPE", "dropout": null, "unk_token": null,
                "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
                "byte_fallback": false, "ignore_merges": pre.ignore_merges,
                "vocab": self.vocab(), "merges": merges,
            }),
            normalizer: Value::Null,
            pre_tokenizer: pre.component,
            decoder: json!({
                "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false,
                "use_regex": false,
            }),
            adds_bos: pre.adds_bos,
        })
    }

    /// SentencePiece BPE: scores order the merges, unknown characters fall back to bytes.
    fn sentence_piece(&self) -> Result<Pipeline, TextError> {
        let scores = self.metadata.floats("tokenizer.ggml.scores");
        let scores = scores
            .filter(|scores| scores.len() == self.tokens.len())
            .ok_or_else(|| {
                TextError::invalid_model("tokenizer.ggml.scores is missing or invalid")
            })?;
        let prefix = self
            .metadata
            .flag("tokenizer.ggml.add_space_prefix")
            .unwrap_or(true);
        let spaces = json!({"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"});
        let normalizer = if prefix {
            let prepend = json!({"type": "Prepend", "prepend": "\u{2581}"});
            json!({"type": "Sequence", "normalizers": [prepend, spaces]})
        } else {
            spaces
        };
        let mut decoders = vec![
            json!({"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "}),
            json!({"type": "ByteFallback"}),
            json!({"type": "Fuse"}),
        ];
        if prefix {
            decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
        }
        Ok(Pipeline {
            model: json!({
                "type": "BPE", "dropout": null, "unk_token": self.token("unknown_token_id", 0),
                "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true,
                "byte_fallback": true, "ignore_merges": false,
                "vocab": self.vocab(), "merges": self.merges_from_scores(&scores),
            }),
            normalizer,
            pre_tokenizer: Value::Null,
            decoder: json!({"type": "Sequence", "decoders": decoders}),
            adds_bos: true,
        })
    }

    /// Every way to put a token together from two others, best score first, as Hugging Face's converter does.
    fn merges_from_scores(&self, scores: &[f64]) -> Vec<[&str; 2]> {
        let ids: HashMap<&str, usize> = self
            .tokens
            .iter()
            .enumerate()
            .map(|(id, token)| (token.as_str(), id))
            .collect();
        let mut merges: Vec<(f64, usize, usize)> = Vec::new();
        for (id, token) in self.tokens.iter().enumerate() {
            let mut pairs: Vec<(usize, usize)> = token
                .char_indices()
                .skip(1)
                .filter_map(|(at, _)| Some((*ids.get(&token[..at])?, *ids.get(&token[at..])?)))
                .collect();
            pairs.sort_unstable();
            merges.extend(
                pairs
                    .into_iter()
                    .map(|(left, right)| (scores[id], left, right)),
            );
        }
        merges.sort_by(|a, b| b.0.total_cmp(&a.0));
        merges
            .into_iter()
            .map(|(_, left, right)| [self.tokens[left].as_str(), self.tokens[right].as_str()])
            .collect()
    }

    fn vocab(&self) -> Map<String, Value> {
        self.tokens
            .iter()
            .enumerate()
            .map(|(id, token)| (token.clone(), json!(id)))
            .collect()
    }

    fn added_tokens(&self) -> Vec<Value> {
        let listed = self.tokens.iter().zip(&self.types).enumerate();
        listed
            .filter(|(_, (content, kind))| {
                matches!(**kind, TYPE_UNKNOWN | TYPE_CONTROL | TYPE_USER_DEFINED)
                    && !content.is_empty()
            })
            .map(|(id, (content, kind))| {
                json!({
                    "id": id, "content": content, "special": *kind != TYPE_USER_DEFINED,
                    "normalized": false, "single_word": false, "lstrip": false, "rstrip": false,
                })
            })
            .collect()
    }

    fn post_processor(&self, adds_bos: bool) -> Value {
        let closes = self
            .metadata
            .flag("tokenizer.ggml.add_eos_token")
            .unwrap_or(false);
        let special = |content: &str| json!({"SpecialToken": {"id": content, "type_id": 0}});
        let bos = self.token("bos_token_id", 1).filter(|_| adds_bos);
        let eos = self.token("eos_token_id", 2).filter(|_| closes);
        if bos.is_none() && eos.is_none() {
            return Value::Null;
        }
        let mut single: Vec<Value> = bos.map(special).into_iter().collect();
        single.push(json!({"Sequence": {"id": "A", "type_id": 0}}));
        single.extend(eos.map(special));
        let mut tokens = Map::new();
        for content in [bos, eos].into_iter().flatten() {
            let id = self.tokens.iter().position(|token| token == content);
            tokens.insert(
                content.to_owned(),
                json!({"id": content, "ids": [id], "tokens": [content]}),
            );
        }
        let pair = json!([
            {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}},
        ]);
        json!({"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens})
    }

    fn tokenizer_config(&self) -> Map<String, Value> {
        let mut config = Map::new();
        let bases = [("bos", 1), ("eos", 2), ("unknown", 0), ("padding", -1)];
        for ((name, default), field) in
            bases
                .iter()
                .zip(["bos_token", "eos_token", "unk_token", "pad_token"])
        {
            if let Some(content) = self.token(&format!("{name}_token_id"), *default) {
                config.insert(field.to_owned(), json!(content));
            }
        }
        if let Some(template) = self.metadata.text("tokenizer.chat_template") {
            config.insert("chat_template".to_owned(), json!(template));
        }
        config
    }

    fn config(&self) -> Map<String, Value> {
        let mut config = Map::new();
        let architecture = self
            .metadata
            .text("general.architecture")
            .unwrap_or_default();
        let context = self
            .metadata
            .unsigned(&format!("{architecture}.context_length"));
        if let Some(length) = context {
            config.insert("max_position_embeddings".to_owned(), json!(length));
        }
        let stated = ["eos", "eot", "eom"].iter().filter_map(|name| {
            self.metadata
                .unsigned(&format!("tokenizer.ggml.{name}_token_id"))
        });
        let known =
            self.tokens
                .iter()
                .zip(&self.types)
                .enumerate()
                .filter(|(_, (content, kind))| {
                    **kind == TYPE_CONTROL && END_OF_TURN.contains(&content.as_str())
                });
        let ids: Vec<u64> = stated.chain(known.map(|(id, _)| id as u64)).collect();
        config.insert("eos_token_id".to_owned(), json!(ids));
        config
    }

    /// The token that a `tokenizer.ggml.*` id names. SentencePiece files may leave the usual ids out.
    fn token(&self, name: &str, sentence_piece_default: i64) -> Option<&str> {
        let stated = self.metadata.unsigned(&format!("tokenizer.ggml.{name}"));
        let default = || {
            let is_llama = self.metadata.text("tokenizer.ggml.model").as_deref() == Some("llama");
            u64::try_from(sentence_piece_default)
                .ok()
                .filter(|_| is_llama)
        };
        let id = usize::try_from(stated.or_else(default)?).ok()?;
        self.tokens.get(id).map(String::as_str)
    }
}

/// A merge is two tokens with a space between them; tokens themselves spell spaces otherwise.
fn split_merge(merge: &str) -> Option<[&str; 2]> {
    let (at, _) = merge
        .char_indices()
        .skip(1)
        .find(|(_, char)| *char == ' ')?;
    Some([&merge[..at], &merge[at + 1..]])
}
