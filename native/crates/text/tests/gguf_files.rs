//! GGUF files made here: a SentencePiece vocabulary, and files that are cut short or damaged.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod models;

use std::path::PathBuf;

use dynamo_text::{
    ChatOptions, EncodeOptions, FileRole, ModelFile, TextError, TextModel, extract_vocabulary,
};
use serde_json::Value;

const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;
const ARRAY: u32 = 9;

/// Writes the metadata of a GGUF file.
#[derive(Default)]
struct GgufWriter {
    count: u64,
    entries: Vec<u8>,
}

impl GgufWriter {
    fn entry(&mut self, key: &str, kind: u32, value: &[u8]) -> &mut Self {
        self.count += 1;
        self.entries.extend(text(key));
        self.entries.extend(kind.to_le_bytes());
        self.entries.extend(value);
        self
    }

    fn array(&mut self, key: &str, kind: u32, items: &[Vec<u8>]) -> &mut Self {
        let mut value = kind.to_le_bytes().to_vec();
        value.extend((items.len() as u64).to_le_bytes());
        value.extend(items.concat());
        self.entry(key, ARRAY, &value)
    }

    fn finish(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3_u32.to_le_bytes());
        file.extend(7_u64.to_le_bytes());
        file.extend(self.count.to_le_bytes());
        file.extend(&self.entries);
        file
    }
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// A file that is removed when the test ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("dynamo-{name}-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }

    fn load(&self, role: FileRole) -> Result<TextModel, TextError> {
        TextModel::load(
            &[ModelFile {
                role,
                path: self.0.clone(),
            }],
            1 << 20,
        )
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The score of a piece as its trainer wrote it: the negative of its rank, and runs of spaces last of all.
#[allow(clippy::cast_precision_loss)] // ranks are small
fn score(id: u64, token: &str) -> Vec<u8> {
    let is_run = id > 258 && token.chars().count() > 1 && token.chars().all(|char| char == '▁');
    let rank = if is_run { id + 1_000_000 } else { id };
    (-(rank as f32)).to_le_bytes().to_vec()
}

/// A SentencePiece vocabulary as llama.cpp's converter writes it.
fn mistral() -> Option<Vec<u8>> {
    let folder = models::folder("mistral")?;
    let json = std::fs::read_to_string(folder.join("tokenizer.json")).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    let vocab = json["model"]["vocab"].as_object().unwrap();
    let mut tokens: Vec<(u64, &str)> = vocab
        .iter()
        .map(|(token, id)| (id.as_u64().unwrap(), token.as_str()))
        .collect();
    tokens.sort_unstable();
    let kind = |id: u64| match id {
        0 => 2_i32,
        1 | 2 => 3,
        3..=258 => 6,
        _ => 1,
    };
    let mut file = GgufWriter::default();
    file.entry("general.architecture", STRING, &text("llama"))
        .entry("general.alignment", U32, &32_u32.to_le_bytes())
        .array("general.tags", STRING, &[text("a"), text("b")])
        .entry("llama.context_length", U32, &4096_u32.to_le_bytes())
        .entry("tokenizer.ggml.model", STRING, &text("llama"))
        .array(
            "tokenizer.ggml.tokens",
            STRING,
            &tokens
                .iter()
                .map(|(_, token)| text(token))
                .collect::<Vec<_>>(),
        )
        .array(
            "tokenizer.ggml.scores",
            F32,
            &tokens
                .iter()
                .map(|(id, token)| score(*id, token))
                .collect::<Vec<_>>(),
        )
        .array(
            "tokenizer.ggml.token_type",
            I32,
            &tokens
                .iter()
                .map(|(id, _)| kind(*id).to_le_bytes().to_vec())
                .collect::<Vec<_>>(),
        )
        .entry("tokenizer.ggml.eos_token_id", U32, &2_u32.to_le_bytes())
        .entry("tokenizer.ggml.add_bos_token", BOOL, &[1])
        .entry(
            "tokenizer.chat_template",
            STRING,
            &text("{% for m in messages %}{{ m.content }}{% endfor %}"),
        );
    Some(file.finish())
}

#[test]
fn a_sentence_piece_vocabulary_gives_hugging_faces_ids() {
    let Some(bytes) = mistral() else {
        return;
    };
    let model = Scratch::new("mistral.gguf", &bytes)
        .load(FileRole::Gguf)
        .unwrap();
    let golden = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/mistral.json");
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(golden).unwrap()).unwrap();
    for case in golden["encode"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let add_special_tokens = case["special"].as_bool().unwrap();
        let options = EncodeOptions {
            add_special_tokens,
            ..EncodeOptions::default()
        };
        let ids = model.encode_text(text, &options).unwrap().token_ids;
        assert_eq!(serde_json::json!(ids), case["ids"], "{text:?}");
    }
    for case in golden["decode"].as_array().unwrap() {
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
        let text = model.decode(&ids, case["skip"].as_bool().unwrap()).unwrap();
        assert_eq!(text, case["text"].as_str().unwrap());
    }
    let info = model.info();
    assert_eq!(
        (info.context_length, info.bos_token_id),
        (Some(4096), Some(1))
    );
    assert_eq!(info.eos_token_ids, [2]);
}

#[test]
fn a_gguf_that_adds_bos_opens_chat_prompts_with_it_once() {
    let Some(bytes) = mistral() else {
        return;
    };
    let model = Scratch::new("bos.gguf", &bytes)
        .load(FileRole::Gguf)
        .unwrap();
    let ids = |content: &str| {
        let body = serde_json::json!({"messages": [{"role": "user", "content": content}]});
        model
            .encode_chat(body.to_string().as_bytes(), &ChatOptions::default())
            .unwrap()
            .token_ids
    };
    assert_eq!(ids("hi"), ids("<s>hi"));
    assert_eq!(ids("hi")[0], 1);
}

fn small() -> Vec<u8> {
    let tokens = ["a", "b", "ab", "<|end|>"].map(text);
    let mut file = GgufWriter::default();
    file.entry("tokenizer.ggml.model", STRING, &text("gpt2"))
        .entry("tokenizer.ggml.pre", STRING, &text("qwen2"))
        .array("tokenizer.ggml.tokens", STRING, &tokens)
        .array("tokenizer.ggml.merges", STRING, &[text("a b")])
        .array(
            "tokenizer.ggml.token_type",
            I32,
            &[1, 1, 1, 3].map(|kind: i32| kind.to_le_bytes().to_vec()),
        );
    file.finish()
}

#[test]
fn every_truncation_of_a_file_is_an_error_and_no_panic() {
    let bytes = small();
    let whole = Scratch::new("whole.gguf", &bytes);
    let model = whole.load(FileRole::Gguf).unwrap();
    let ids = model
        .encode_text("abxa<|end|>", &EncodeOptions::default())
        .unwrap()
        .token_ids;
    assert_eq!(ids, [2, 0, 3]);
    assert_eq!(model.info().eos_token_ids, [3]);
    for end in 0..bytes.len() {
        let cut = Scratch::new("cut.gguf", &bytes[..end]);
        assert_eq!(
            cut.load(FileRole::Gguf).err().unwrap().code(),
            "model.invalid",
            "{end}"
        );
    }
}

#[test]
fn every_damaged_byte_is_survived() {
    let bytes = small();
    for at in 0..bytes.len() {
        for value in [0, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] = value;
            let file = Scratch::new("damaged.gguf", &damaged);
            if let Err(error) = file.load(FileRole::Gguf) {
                assert_eq!(error.code(), "model.invalid", "{at}");
            }
        }
    }
}

#[test]
fn unknown_vocabularies_are_named() {
    let with = |model: &str, pre: &str| {
        let mut file = GgufWriter::default();
        file.entry("tokenizer.ggml.model", STRING, &text(model))
            .entry("tokenizer.ggml.pre", STRING, &text(pre))
            .array("tokenizer.ggml.tokens", STRING, &[text("a")])
            .array("tokenizer.ggml.merges", STRING, &[]);
        Scratch::new(&format!("unknown-{model}.gguf"), &file.finish()).load(FileRole::Gguf)
    };
    for (model, pre, named) in [
        ("rwkv", "default", "'rwkv'"),
        ("gpt2", "some-new-one", "'some-new-one'"),
    ] {
        let error = with(model, pre).err().unwrap();
        assert_eq!(error.code(), "model.invalid");
        assert!(error.message().contains(named), "{}", error.message());
    }
    let empty = Scratch::new("empty.gguf", &GgufWriter::default().finish());
    assert_eq!(
        extract_vocabulary(&empty.0).unwrap_err().code(),
        "model.invalid"
    );
}
