//! What goes over the boundary: options in, prompts and facts out.
use dynamo_text::{EncodeOptions, EncodedPrompt, ModelInfo, TokenTable};
use napi::bindgen_prelude::{BigUint64Array, Uint8Array, Uint32Array};
use napi_derive::napi;

/// One file of a model.
#[napi(object)]
pub struct NativeModelFile {
    /// `tokenizer_json`, `tokenizer_config`, `chat_template`, `config`, `generation_config`, `gguf` (a whole file),
    /// `gguf_vocabulary` (the extract of one) or `builtin` (needs no path).
    pub role: String,
    /// Where the file is.
    pub path: Option<String>,
}

/// What to load.
#[napi(object)]
pub struct NativeTextModelOptions {
    /// The model's files.
    pub files: Vec<NativeModelFile>,
    /// Budget of the cache of tokenised segments; 0 turns it off. Default 64 MiB.
    pub prefix_cache_bytes: Option<f64>,
}

/// How a prompt is encoded.
#[napi(object)]
pub struct NativeEncodeOptions {
    /// Tokens per block hash; 0 gives none.
    pub block_size: u32,
    /// Adapter name; keeps its blocks apart.
    pub lora_name: Option<String>,
    /// Cache salt; keeps a tenant's blocks apart.
    pub salt: Option<String>,
    /// Texts only: add what the tokenizer puts around a text, such as `<s>`. Default false.
    pub add_special_tokens: Option<bool>,
    /// Chat only: end with the opening of an answer. The body decides when absent, else yes.
    pub add_generation_prompt: Option<bool>,
    /// Chat only: return the rendered prompt. Default false.
    pub keep_formatted_prompt: Option<bool>,
    /// Longer prompts are `request.context_length`.
    pub max_prompt_tokens: Option<u32>,
}

/// A prompt ready for routing.
#[napi(object, object_from_js = false)]
pub struct NativeEncodedPrompt {
    /// What the engine gets.
    pub token_ids: Uint32Array,
    /// Local hash of every complete block.
    pub block_hashes: BigUint64Array,
    /// The rendered prompt, when asked for.
    pub formatted_prompt: Option<String>,
    /// Ids that came from the cache.
    pub cached_tokens: u32,
    /// Time to read the body and render the template; 0 without one.
    pub template_ms: f64,
    /// Time to turn the text into ids.
    pub tokenize_ms: f64,
}

/// What each id decodes to: the bytes of id `i` are `bytes[offsets[i]..offsets[i + 1]]`.
#[napi(object, object_from_js = false)]
pub struct NativeTokenTable {
    /// All bytes, one id after the other.
    pub bytes: Uint8Array,
    /// One entry more than there are ids.
    pub offsets: Uint32Array,
    /// Bit 1: special token; bit 2: the vocabulary has this id.
    pub flags: Uint8Array,
}

/// Facts that a model's files state.
#[napi(object, object_from_js = false)]
pub struct NativeModelInfo {
    /// One more than the largest token id.
    pub vocab_size: u32,
    /// Ids that end an answer.
    pub eos_token_ids: Uint32Array,
    /// Id that opens a text.
    pub bos_token_id: Option<u32>,
    /// Longest prompt and answer together, in tokens.
    pub context_length: Option<f64>,
    /// Chat requests can be rendered.
    pub has_chat_template: bool,
    /// Text is the concatenation of the ids' bytes.
    pub byte_level: bool,
    /// `generation_config.json` as it is.
    pub generation_defaults_json: Option<String>,
}

/// The small fields of a large body.
#[napi(object, object_from_js = false)]
pub struct NativeInspectedBody {
    /// JSON of the body with long texts replaced by `"."`.
    pub fields_json: String,
}

impl From<EncodedPrompt> for NativeEncodedPrompt {
    fn from(prompt: EncodedPrompt) -> Self {
        Self {
            token_ids: prompt.token_ids.into(),
            block_hashes: prompt.block_hashes.into(),
            formatted_prompt: prompt.formatted_prompt,
            cached_tokens: saturated(prompt.cached_tokens),
            template_ms: prompt.template_time.as_secs_f64() * 1000.0,
            tokenize_ms: prompt.tokenize_time.as_secs_f64() * 1000.0,
        }
    }
}

impl From<NativeEncodeOptions> for EncodeOptions {
    fn from(options: NativeEncodeOptions) -> Self {
        Self {
            block_size: options.block_size as usize,
            lora_name: options.lora_name.unwrap_or_default(),
            salt: options.salt.unwrap_or_default(),
            add_special_tokens: options.add_special_tokens == Some(true),
            max_prompt_tokens: options.max_prompt_tokens.map(|limit| limit as usize),
        }
    }
}

impl From<&TokenTable> for NativeTokenTable {
    fn from(table: &TokenTable) -> Self {
        Self {
            bytes: table.bytes.clone().into(),
            offsets: table.offsets.clone().into(),
            flags: table.flags.clone().into(),
        }
    }
}

impl From<&ModelInfo> for NativeModelInfo {
    fn from(info: &ModelInfo) -> Self {
        Self {
            vocab_size: saturated(info.vocab_size),
            eos_token_ids: info.eos_token_ids.clone().into(),
            bos_token_id: info.bos_token_id,
            context_length: info.context_length.map(float),
            has_chat_template: info.has_chat_template,
            byte_level: info.byte_level,
            generation_defaults_json: info.generation_defaults_json.clone(),
        }
    }
}

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A count as JavaScript's number.
#[allow(clippy::cast_precision_loss)] // exact up to 2^53
pub fn float(count: u64) -> f64 {
    count as f64
}

/// A JavaScript number as a count.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // negative and huge values saturate
pub fn whole(count: f64) -> usize {
    count as usize
}
