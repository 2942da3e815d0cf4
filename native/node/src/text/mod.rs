//! Tokenizers and chat templates for JavaScript.
#![allow(clippy::needless_pass_by_value)] // napi hands arguments over by value

mod shapes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dynamo_text::{
    ChatOptions, EncodeOptions, EncodedPrompt, FileRole, IncrementalDecoder, ModelFile, TextError,
    TextModel,
};
use napi::bindgen_prelude::{AsyncTask, Uint8Array, Uint32Array};
use napi_derive::napi;

use self::shapes::{
    NativeEncodeOptions, NativeEncodedPrompt, NativeInspectedBody, NativeModelInfo,
    NativeTextModelOptions, NativeTokenTable, float, whole,
};
use crate::error::NativeError;
use crate::handle::Handle;
use crate::job::{Job, guarded, start};

const DEFAULT_PREFIX_CACHE_BYTES: f64 = 64.0 * 1024.0 * 1024.0;

type Thrown = napi::Error<&'static str>;

/// Tokenizer and chat template of one model. Calls that return a promise work off the event loop.
#[napi]
pub struct NativeTextModel {
    handle: Arc<Handle<TextModel>>,
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
                handle: Arc::new(Handle::new("text model", model)),
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
        let options = chat_options(options);
        self.encode(move |model| model.encode_chat(&body, &options))
    }

    /// Encodes a text as it is.
    #[napi(ts_return_type = "Promise<NativeEncodedPrompt>")]
    pub fn encode_text(
        &self,
        text: String,
        options: NativeEncodeOptions,
    ) -> AsyncTask<Job<NativeEncodedPrompt>> {
        let options: EncodeOptions = options.into();
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
        let options: EncodeOptions = options.into();
        self.encode(move |model| model.encode_completion(&body, prompt_index as usize, &options))
    }

    /// `encodeChat` on this thread: for a body so short that the way to another one takes longer.
    #[napi]
    pub fn encode_chat_now(
        &self,
        body: Uint8Array,
        options: NativeEncodeOptions,
    ) -> Result<NativeEncodedPrompt, Thrown> {
        let options = chat_options(options);
        self.encode_now(|model| model.encode_chat(&body, &options))
    }

    /// `encodeText` on this thread.
    #[napi]
    pub fn encode_text_now(
        &self,
        text: String,
        options: NativeEncodeOptions,
    ) -> Result<NativeEncodedPrompt, Thrown> {
        let options: EncodeOptions = options.into();
        self.encode_now(|model| model.encode_text(&text, &options))
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
        self.handle
            .run(|model| Ok(NativeTokenTable::from(model.token_table())))
            .map_err(NativeError::into_js)
    }

    /// Facts that the model's files state.
    #[napi]
    pub fn info(&self) -> Result<NativeModelInfo, Thrown> {
        self.handle
            .run(|model| Ok(NativeModelInfo::from(model.info())))
            .map_err(NativeError::into_js)
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
        work: impl FnOnce(&TextModel) -> Result<EncodedPrompt, TextError> + Send + 'static,
    ) -> AsyncTask<Job<NativeEncodedPrompt>> {
        let handle = Arc::clone(&self.handle);
        start(move || {
            handle
                .run(|model| Ok(work(model)?))
                .map(NativeEncodedPrompt::from)
        })
    }

    fn encode_now(
        &self,
        work: impl FnOnce(&TextModel) -> Result<EncodedPrompt, TextError>,
    ) -> Result<NativeEncodedPrompt, Thrown> {
        self.handle
            .run(|model| Ok(work(model)?))
            .map(NativeEncodedPrompt::from)
            .map_err(NativeError::into_js)
    }
}

fn chat_options(options: NativeEncodeOptions) -> ChatOptions {
    ChatOptions {
        add_generation_prompt: options.add_generation_prompt,
        keep_prompt: options.keep_formatted_prompt == Some(true),
        encode: options.into(),
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
