//! Property: with the cache of segments a prompt gets the same ids as without it, whatever was seen before.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod models;

use std::path::PathBuf;

use dynamo_text::{EncodeOptions, FileRole, ModelFile, TextModel};

/// So small that segments are dropped all the time.
const CACHE_BYTES: usize = 16 * 1024;
const ROUNDS: usize = 600;

const FRAGMENTS: [&str; 26] = [
    "Hello",
    " world",
    "  ",
    "\n",
    "\n\n \t",
    "\r\n",
    "don't",
    "'S",
    "é",
    "e\u{301}",
    "你好",
    "😀",
    "👩‍👩‍👧",
    "12345",
    "3.14",
    "def f(x):\n    return x",
    "<",
    "<|",
    "|>",
    "<|im_",
    "▁",
    " ▁ ",
    "\u{0}",
    "\u{200b}",
    "…",
    "_",
];

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }
}

/// A text of segments that repeat across texts, so that many are found in the cache.
fn text(random: &mut Random, specials: &[&str]) -> String {
    let mut text = String::new();
    for _ in 0..random.below(8) {
        let mut segment = Random(random.below(24) as u64);
        for _ in 0..segment.below(60) {
            text.push_str(FRAGMENTS[segment.below(FRAGMENTS.len())]);
        }
        text.push_str(specials[random.below(specials.len())]);
        if random.below(4) == 0 {
            text.push_str(FRAGMENTS[random.below(FRAGMENTS.len())]);
        }
    }
    text
}

fn check(files: &[ModelFile], specials: &[&str], expect_hits: bool) {
    let cached = TextModel::load(files, CACHE_BYTES).unwrap();
    let plain = TextModel::load(files, 0).unwrap();
    let mut random = Random(7);
    let mut hits = 0;
    for _ in 0..ROUNDS {
        let text = text(&mut random, specials);
        let options = EncodeOptions::default();
        let expected = plain.encode_text(&text, &options).unwrap();
        let found = cached.encode_text(&text, &options).unwrap();
        assert_eq!(found.token_ids, expected.token_ids, "{text:?}");
        assert_eq!(expected.cached_tokens, 0);
        hits += usize::from(found.cached_tokens > 0);
    }
    assert_eq!(
        hits > ROUNDS / 10,
        expect_hits,
        "{hits} of {ROUNDS} prompts used the cache"
    );
}

fn check_folder(name: &str, specials: &[&str]) {
    let Some(folder) = models::folder(name) else {
        return;
    };
    let path = folder.join("tokenizer.json");
    check(
        &[ModelFile {
            role: FileRole::TokenizerJson,
            path,
        }],
        specials,
        true,
    );
}

/// A tokenizer whose segments depend on being first must not be cut.
#[test]
fn a_position_dependent_tokenizer_uses_no_cache() {
    let json = r#"{
        "version": "1.0", "added_tokens": [{"id": 4, "content": "<s>", "special": true, "normalized": false,
            "single_word": false, "lstrip": false, "rstrip": false}],
        "normalizer": null, "post_processor": null, "decoder": null, "truncation": null, "padding": null,
        "pre_tokenizer": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": false},
        "model": {"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": false, "ignore_merges": false,
            "vocab": {"<unk>": 0, "▁": 1, "H": 2, "e": 3, "<s>": 4}, "merges": []}
    }"#;
    let path = std::env::temp_dir().join(format!("dynamo-metaspace-{}", std::process::id()));
    std::fs::write(&path, json).unwrap();
    check(
        &[ModelFile {
            role: FileRole::TokenizerJson,
            path: path.clone(),
        }],
        &["<s>", "<s"],
        false,
    );
    std::fs::remove_file(path).unwrap();
}

#[test]
fn the_builtin_model_is_exact() {
    let files = [ModelFile {
        role: FileRole::Builtin,
        path: PathBuf::new(),
    }];
    check(
        &files,
        &["<|im_start|>", "<|im_end|>", "<|im_end|", "<|endoftext|>"],
        true,
    );
}

#[test]
fn qwen3_is_exact() {
    check_folder(
        "qwen3",
        &[
            "<|im_start|>",
            "<|im_end|>",
            "<think>",
            "</think>",
            "<tool_call",
            " <|im_end|>",
        ],
    );
}

#[test]
fn llama3_is_exact() {
    check_folder(
        "llama3",
        &[
            "<|eot_id|>",
            "<|begin_of_text|>",
            "<|eot_id",
            " <|start_header_id|>",
        ],
    );
}

#[test]
fn mistral_is_exact() {
    check_folder("mistral", &["<s>", "</s>", "<unk>", "<s", " </s> "]);
}
