//! A loaded model: everything between a request's text and its token ids.
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dynamo_kv::{BlockSeed, local_block_hashes};
use serde_json::Value;

use crate::body::{ChatInput, CompletionPrompt};
use crate::decoder::IncrementalDecoder;
use crate::error::TextError;
use crate::model_info::{ModelInfo, special_token_variables};
use crate::segment_cache::SegmentCache;
use crate::source::ModelFile;
use crate::source_reader::read_source;
use crate::special_tokens::SpecialTokens;
use crate::template::ChatTemplate;
use crate::token_table::TokenTable;
use crate::tokenizer::TextTokenizer;

/// How a prompt is encoded.
#[derive(Debug, Clone, Default)]
pub struct EncodeOptions {
    /// Tokens per block hash; 0 gives none.
    pub block_size: usize,
    /// Adapter whose cache is apart from others.
    pub lora_name: String,
    /// Tenant or session whose cache is apart from others.
    pub salt: String,
    /// Add what the tokenizer puts around a text, such as `<s>`.
    pub add_special_tokens: bool,
    /// Longest prompt that is accepted; longer ones are `request.context_length`.
    pub max_prompt_tokens: Option<usize>,
}

/// How a chat request is rendered and encoded.
#[derive(Debug, Clone, Default)]
pub struct ChatOptions {
    /// How the rendered prompt is encoded; `add_special_tokens` is not used, templates write them.
    pub encode: EncodeOptions,
    /// End with the opening of an answer; without it the body decides, else yes.
    pub add_generation_prompt: Option<bool>,
    /// Return the rendered prompt.
    pub keep_prompt: bool,
}

/// A prompt ready for routing.
#[derive(Debug, Clone, Default)]
pub struct EncodedPrompt {
    /// What the engine gets.
    pub token_ids: Vec<u32>,
    /// Local hash of every complete block.
    pub block_hashes: Vec<u64>,
    /// The rendered prompt, when asked for.
    pub formatted_prompt: Option<String>,
    /// Ids that came from the cache of segments seen before.
    pub cached_tokens: usize,
    /// Time to read the body and render the template; zero without one.
    pub template_time: Duration,
    /// Time to turn the text into ids.
    pub tokenize_time: Duration,
}

/// Tokenizer, template and cache of one model; shared between threads.
pub struct TextModel {
    tokenizer: Arc<TextTokenizer>,
    template: Option<ChatTemplate>,
    cache: Option<(SpecialTokens, SegmentCache)>,
    info: ModelInfo,
    chat_bos: Option<u32>,
    table: OnceLock<TokenTable>,
    loaded_bytes: usize,
}

impl TextModel {
    /// Reads a model's files. `cache_bytes` is the budget for segments seen before; 0 turns that cache off.
    ///
    /// # Errors
    /// `model.invalid` when a file is missing, cannot be read or describes something unsupported.
    pub fn load(files: &[ModelFile], cache_bytes: usize) -> Result<Self, TextError> {
        let mut source = read_source(files)?;
        let Some(json) = source.tokenizer.take() else {
            return Err(TextError::invalid_model(
                "the model has no tokenizer: give tokenizer.json, a GGUF file or the built-in model",
            ));
        };
        let tokenizer = TextTokenizer::from_json(json)?;
        let info = ModelInfo::read(&source, &tokenizer);
        let templates = source.templates();
        let template = if templates.is_empty() {
            None
        } else {
            let globals = special_token_variables(&source.tokenizer_config);
            Some(ChatTemplate::new(templates, globals)?)
        };
        let cuts = SpecialTokens::new(&tokenizer).filter(|_| cache_bytes > 0);
        Ok(Self {
            chat_bos: info.bos_token_id.filter(|_| source.adds_bos_to_chat),
            // Roughly what a vocabulary entry takes with its merges and tables.
            loaded_bytes: tokenizer.size() * 400,
            tokenizer: Arc::new(tokenizer),
            template,
            cache: cuts.map(|cuts| (cuts, SegmentCache::new(cache_bytes))),
            info,
            table: OnceLock::new(),
        })
    }

    /// Facts that the files state.
    #[must_use]
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// Renders and encodes an OpenAI chat completion body.
    ///
    /// # Errors
    /// `request.invalid` for a body that cannot be rendered, `request.context_length` for one that is too long.
    pub fn encode_chat(
        &self,
        body: &[u8],
        options: &ChatOptions,
    ) -> Result<EncodedPrompt, TextError> {
        let started = Instant::now();
        let mut input = ChatInput::parse(body)?;
        if let Some(token_ids) = input.token_data.take() {
            return self.take_tokens(token_ids, &options.encode);
        }
        let prompt = self.render(input, options.add_generation_prompt)?;
        let mut encoded = EncodedPrompt {
            template_time: started.elapsed(),
            ..EncodedPrompt::default()
        };
        let rendered = Instant::now();
        self.append_prompt(&prompt, &mut encoded)?;
        encoded.tokenize_time = rendered.elapsed();
        if let Some(bos) = self
            .chat_bos
            .filter(|bos| encoded.token_ids.first() != Some(bos))
        {
            encoded.token_ids.insert(0, bos);
        }
        encoded.formatted_prompt = options.keep_prompt.then_some(prompt);
        finish(encoded, &options.encode)
    }

    /// Encodes a text as it is.
    ///
    /// # Errors
    /// `request.context_length` for one that is too long.
    pub fn encode_text(
        &self,
        text: &str,
        options: &EncodeOptions,
    ) -> Result<EncodedPrompt, TextError> {
        let started = Instant::now();
        let mut encoded = EncodedPrompt::default();
        if options.add_special_tokens {
            self.tokenizer
                .encode_into(text, true, &mut encoded.token_ids)?;
        } else {
            self.append_prompt(text, &mut encoded)?;
        }
        encoded.tokenize_time = started.elapsed();
        finish(encoded, options)
    }

    /// Encodes prompt number `index` of an OpenAI completion body; token ids in it are taken as they are.
    ///
    /// # Errors
    /// As [`Self::encode_text`], and `request.invalid` when there is no such prompt.
    pub fn encode_completion(
        &self,
        body: &[u8],
        index: usize,
        options: &EncodeOptions,
    ) -> Result<EncodedPrompt, TextError> {
        match CompletionPrompt::parse(body, index)? {
            CompletionPrompt::Text(text) => self.encode_text(&text, options),
            CompletionPrompt::Tokens(token_ids) => self.take_tokens(token_ids, options),
        }
    }

    /// Text of an id sequence.
    ///
    /// # Errors
    /// `runtime.internal` when the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String, TextError> {
        self.tokenizer.decode(ids, skip_special)
    }

    /// A decoder for one answer; `prompt_tail` are the last ids before it.
    ///
    /// # Errors
    /// `runtime.internal` when the tokenizer's decoder fails.
    pub fn decoder(
        &self,
        skip_special: bool,
        prompt_tail: &[u32],
    ) -> Result<IncrementalDecoder, TextError> {
        IncrementalDecoder::new(Arc::clone(&self.tokenizer), skip_special, prompt_tail)
    }

    /// What each id decodes to; built at the first call.
    pub fn token_table(&self) -> &TokenTable {
        self.table
            .get_or_init(|| TokenTable::build(&self.tokenizer))
    }

    /// Bytes held: an estimate for the vocabulary, exact for cache and table.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let cache = self
            .cache
            .as_ref()
            .map_or(0, |(_, cache)| cache.size_bytes());
        let table = self.table.get().map_or(0, |table| {
            table.bytes.capacity() + table.offsets.capacity() * 4 + table.flags.capacity()
        });
        self.loaded_bytes + cache + table
    }

    /// A prompt that came as ids of this vocabulary.
    fn take_tokens(
        &self,
        token_ids: Vec<u32>,
        options: &EncodeOptions,
    ) -> Result<EncodedPrompt, TextError> {
        let unknown = |id: &&u32| **id as usize >= self.info.vocab_size;
        if let Some(id) = token_ids.iter().find(unknown) {
            return Err(TextError::invalid_request(format!(
                "token id {id} is outside of the vocabulary of {}",
                self.info.vocab_size
            )));
        }
        let encoded = EncodedPrompt {
            token_ids,
            ..EncodedPrompt::default()
        };
        finish(encoded, options)
    }

    fn render(&self, input: ChatInput, wish: Option<bool>) -> Result<String, TextError> {
        if input.raw_prompt {
            return raw_prompt(&input);
        }
        let Some(template) = &self.template else {
            return Err(TextError::invalid_request(
                "this model has no chat template: use /v1/completions",
            ));
        };
        let wish = wish.or(input.add_generation_prompt);
        if wish == Some(true) && input.continue_final_message {
            return Err(TextError::invalid_request(
                "add_generation_prompt and continue_final_message exclude each other",
            ));
        }
        let add = wish.unwrap_or(!input.continue_final_message);
        template.render(input, add)
    }

    /// Encodes segment by segment where that is exact, taking known segments from the cache.
    fn append_prompt(&self, prompt: &str, encoded: &mut EncodedPrompt) -> Result<(), TextError> {
        let ids = &mut encoded.token_ids;
        let Some((cuts, cache)) = &self.cache else {
            return self.tokenizer.encode_into(prompt, false, ids);
        };
        for segment in cuts.segments(prompt) {
            if !cache.takes(segment) {
                self.tokenizer.encode_into(segment, false, ids)?;
                continue;
            }
            if let Some(known) = cache.get(segment) {
                ids.extend_from_slice(&known);
                encoded.cached_tokens += known.len();
                continue;
            }
            let start = ids.len();
            self.tokenizer.encode_into(segment, false, ids)?;
            cache.put(segment, &ids[start..]);
        }
        Ok(())
    }
}

fn raw_prompt(input: &ChatInput) -> Result<String, TextError> {
    let content = input
        .messages
        .last()
        .and_then(|message| message.get("content"));
    content
        .and_then(Value::as_str)
        .map(str::to_owned)
        .ok_or_else(|| TextError::invalid_request("use_raw_prompt needs a final message with text"))
}

fn finish(mut encoded: EncodedPrompt, options: &EncodeOptions) -> Result<EncodedPrompt, TextError> {
    let tokens = encoded.token_ids.len();
    if let Some(limit) = options.max_prompt_tokens.filter(|limit| tokens > *limit) {
        return Err(TextError::context_length(tokens, limit));
    }
    let seed = BlockSeed::new(&options.lora_name, &options.salt);
    encoded.block_hashes = local_block_hashes(&encoded.token_ids, options.block_size, seed);
    Ok(encoded)
}
