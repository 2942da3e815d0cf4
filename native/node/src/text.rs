//! Tokenizers and chat templates for JavaScript.
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use dynamo_text::{
    ChatOptions, EncodeOptions, EncodedPrompt, FileRole, IncrementalDecoder, ModelFile, TextModel,
};
use napi::bindgen_prelude::{AsyncTask, BigUint64Array, Uint8Array, Uint32Array};
use napi_derive::napi;

use crate::error::NativeError;
use crate::job::{Job, guarded, start};

const DEFAULT_PREFIX_CACHE_BYTES: f64 = 64.0 * 1024.0 * 1024.0;

type Thrown = napi::Error<&'static str>;

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

/// Tokenizer and chat template of one model. Calls that return a promise work off the event loop.
#[napi]
pub struct NativeTextModel {
    handle: Arc<Handle>,
}

#[napi]
impl NativeTextModel {
    /// Loads a model's files. Rejects with `model.invalid`.
    #[napi(ts_return_type = "Promise<NativeTextModel>")]
    pub fn load(options: NativeTextModelOptions) -> AsyncTask<Job<NativeTextModel>> {
        start(move || {
            let files = options.files.into_iter().map(|file| {
                Ok(ModelFile {
                    role: FileRole::parse(&file.role)?,
                    path: PathBuf::from(file.path.unwrap_or_default()),
                })
            });
            let files = files.collect::<Result<Vec<_>, NativeError>>()?;
            let cache = options
                .prefix_cache_bytes
                .unwrap_or(DEFAULT_PREFIX_CACHE_BYTES);
            let model = TextModel::load(&files, whole(cache))?;
            Ok(NativeTextModel {
                handle: Arc::new(Handle::new(model)),
            })
        })
    }

    /// Renders and encodes a raw OpenAI chat completion body.
    #[napi(ts_return_type = "Promise<NativeEncodedPrompt>")]
    pub fn encode_chat(
        &self,
        body: Uint8Array,
        options: NativeEncodeOptions,
    ) -> AsyncTask<Job<NativeEncodedPrompt>> {
        let options = ChatOptions {
            add_generation_prompt: options.add_generation_prompt,
            keep_prompt: options.keep_formatted_prompt == Some(true),
            encode: encode_options(options),
        };
        self.encode(move |model| model.encode_chat(&body, &options))
    }

    /// Encodes a text as it is.
    #[napi(ts_return_type = "Promise<NativeEncodedPrompt>")]
    pub fn encode_text(
        &self,
        text: String,
        options: NativeEncodeOptions,
    ) -> AsyncTask<Job<NativeEncodedPrompt>> {
        let options = encode_options(options);
        self.encode(move |model| model.encode_text(&text, &options))
    }

    /// Encodes prompt number `promptIndex` of a raw OpenAI completion body; token ids are taken as they are.
    #[napi(ts_return_type = "Promise<NativeEncodedPrompt>")]
    pub fn encode_completion(
        &self,
        body: Uint8Array,
        prompt_index: u32,
        options: NativeEncodeOptions,
    ) -> AsyncTask<Job<NativeEncodedPrompt>> {
        let options = encode_options(options);
        self.encode(move |model| model.encode_completion(&body, prompt_index as usize, &options))
    }

    /// Text of an id sequence.
    #[napi]
    pub fn decode(&self, ids: Uint32Array, skip_special: bool) -> Result<String, Thrown> {
        self.handle
            .run(|model| Ok(model.decode(&ids, skip_special)?))
            .map_err(NativeError::into_js)
    }

    /// A decoder for one answer; `promptTail` are the last ids before it (they decide about a leading space).
    #[napi]
    pub fn create_decoder(
        &self,
        skip_special: bool,
        prompt_tail: Option<Uint32Array>,
    ) -> Result<NativeDecoder, Thrown> {
        let tail = prompt_tail.as_deref().unwrap_or(&[]);
        let decoder = self
            .handle
            .run(|model| Ok(model.decoder(skip_special, tail)?));
        decoder
            .map(|decoder| NativeDecoder { decoder })
            .map_err(NativeError::into_js)
    }

    /// What each id decodes to; about 2 MB for 150,000 ids, so ask once.
    #[napi]
    pub fn token_table(&self) -> Result<NativeTokenTable, Thrown> {
        let table = self.handle.run(|model| {
            let table = model.token_table();
            Ok(NativeTokenTable {
                bytes: table.bytes.clone().into(),
                offsets: table.offsets.clone().into(),
                flags: table.flags.clone().into(),
            })
        });
        table.map_err(NativeError::into_js)
    }

    /// Facts that the model's files state.
    #[napi]
    pub fn info(&self) -> Result<NativeModelInfo, Thrown> {
        let info = self.handle.run(|model| Ok(model.info().clone()));
        let info = info.map_err(NativeError::into_js)?;
        Ok(NativeModelInfo {
            vocab_size: saturated(info.vocab_size),
            eos_token_ids: info.eos_token_ids.into(),
            bos_token_id: info.bos_token_id,
            context_length: info.context_length.map(float),
            has_chat_template: info.has_chat_template,
            byte_level: info.byte_level,
            generation_defaults_json: info.generation_defaults_json,
        })
    }

    /// Text is the concatenation of the ids' bytes, so `tokenTable` is all a reader needs.
    #[napi(getter)]
    pub fn byte_level(&self) -> Result<bool, Thrown> {
        self.handle
            .run(|model| Ok(model.info().byte_level))
            .map_err(NativeError::into_js)
    }

    /// Bytes held by vocabulary, cache and table; 0 once closed.
    #[napi]
    pub fn memory_bytes(&self) -> f64 {
        self.handle
            .run(|model| Ok(float(model.memory_bytes() as u64)))
            .unwrap_or(0.0)
    }

    /// Lets go of the model; later calls throw `runtime.closed`. Work already begun is finished.
    #[napi]
    pub fn close(&self) {
        self.handle.close();
    }

    fn encode(
        &self,
        work: impl FnOnce(&TextModel) -> Result<EncodedPrompt, dynamo_text::TextError> + Send + 'static,
    ) -> AsyncTask<Job<NativeEncodedPrompt>> {
        let handle = Arc::clone(&self.handle);
        start(move || {
            handle
                .run(|model| Ok(work(model)?))
                .map(NativeEncodedPrompt::from)
        })
    }
}

/// Turns one answer's ids into text as they arrive.
#[napi]
pub struct NativeDecoder {
    decoder: IncrementalDecoder,
}

#[napi]
impl NativeDecoder {
    /// Text that these ids complete; may be empty.
    #[napi]
    pub fn push(&mut self, ids: Uint32Array) -> Result<String, Thrown> {
        guarded(|| Ok(self.decoder.push(&ids)?)).map_err(NativeError::into_js)
    }

    /// Text still held back when the stream ends.
    #[napi]
    pub fn flush(&mut self) -> Result<String, Thrown> {
        guarded(|| Ok(self.decoder.flush()?)).map_err(NativeError::into_js)
    }
}

/// The small fields of a large body, parsed off the event loop. Rejects with `request.invalid`.
#[napi(ts_return_type = "Promise<NativeInspectedBody>")]
pub fn inspect_body(body: Uint8Array) -> AsyncTask<Job<NativeInspectedBody>> {
    start(move || {
        Ok(NativeInspectedBody {
            fields_json: dynamo_text::inspect_body(&body)?,
        })
    })
}

/// Valid JSON for a body that `JSON.parse` refuses: raw control characters in strings are escaped, invalid UTF-8 and
/// halves of surrogate pairs become U+FFFD. Throws `request.invalid` when that is not enough.
#[napi]
#[allow(clippy::needless_pass_by_value)] // napi hands arguments over by value
pub fn repair_json(body: Uint8Array) -> Result<String, Thrown> {
    let repaired = guarded(|| Ok(dynamo_text::parse_json(&body)?.to_string()));
    repaired.map_err(NativeError::into_js)
}

/// Tokenizer and template of a GGUF file as a small file of their own, which role `gguf_vocabulary` loads.
#[napi(ts_return_type = "Promise<Uint8Array>")]
pub fn extract_gguf_vocabulary(path: String) -> AsyncTask<Job<Uint8Array>> {
    start(move || {
        Ok(Uint8Array::from(dynamo_text::extract_vocabulary(
            Path::new(&path),
        )?))
    })
}

/// Owns a model between JavaScript and the threads that work with it.
struct Handle {
    model: RwLock<Option<Arc<TextModel>>>,
    poisoned: AtomicBool,
}

impl Handle {
    fn new(model: TextModel) -> Self {
        Self {
            model: RwLock::new(Some(Arc::new(model))),
            poisoned: AtomicBool::new(false),
        }
    }

    /// Runs `work`; a panic in it poisons the handle.
    fn run<T>(
        &self,
        work: impl FnOnce(&TextModel) -> Result<T, NativeError>,
    ) -> Result<T, NativeError> {
        if self.poisoned.load(Ordering::Acquire) {
            let message = "the model cannot be used any more: an earlier call panicked";
            return Err(NativeError::new("runtime.poisoned", message));
        }
        let model = self
            .model
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let model =
            model.ok_or_else(|| NativeError::new("runtime.closed", "the text model is closed"))?;
        catch_unwind(AssertUnwindSafe(|| work(&model))).unwrap_or_else(|panic| {
            self.poisoned.store(true, Ordering::Release);
            guarded(|| std::panic::resume_unwind(panic))
        })
    }

    fn close(&self) {
        self.model
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }
}

impl From<EncodedPrompt> for NativeEncodedPrompt {
    fn from(prompt: EncodedPrompt) -> Self {
        Self {
            token_ids: prompt.token_ids.into(),
            block_hashes: prompt.block_hashes.into(),
            formatted_prompt: prompt.formatted_prompt,
            cached_tokens: saturated(prompt.cached_tokens),
        }
    }
}

fn encode_options(options: NativeEncodeOptions) -> EncodeOptions {
    EncodeOptions {
        block_size: options.block_size as usize,
        lora_name: options.lora_name.unwrap_or_default(),
        salt: options.salt.unwrap_or_default(),
        add_special_tokens: options.add_special_tokens == Some(true),
        max_prompt_tokens: options.max_prompt_tokens.map(|limit| limit as usize),
    }
}

fn saturated(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[allow(clippy::cast_precision_loss)] // exact up to 2^53
fn float(count: u64) -> f64 {
    count as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // negative and huge values saturate
fn whole(count: f64) -> usize {
    count as usize
}
