//! Ids, texts and prompts equal those of Hugging Face's own libraries.
//!
//! The expectations are committed (made by `golden/generate.py`), the tokenizers are not: `scripts/test-models.mjs` fetches
//! them. Without them these tests say that they were skipped.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

mod models;

use std::path::PathBuf;

use dynamo_text::{ChatOptions, EncodeOptions, FileRole, ModelFile, TextModel};
use serde_json::Value;

struct Golden {
    model: TextModel,
    expected: Value,
}

impl Golden {
    fn load(name: &str) -> Option<Self> {
        let folder = models::folder(name)?;
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let text = std::fs::read_to_string(here.join(format!("{name}.json"))).unwrap();
        let expected: Value = serde_json::from_str(&text).unwrap();
        let mut files = vec![
            ModelFile {
                role: FileRole::TokenizerJson,
                path: folder.join("tokenizer.json"),
            },
            ModelFile {
                role: FileRole::TokenizerConfig,
                path: folder.join("tokenizer_config.json"),
            },
        ];
        let written = expected["template"].as_str().map(|template| {
            let path = std::env::temp_dir()
                .join(format!("dynamo-{name}-{:?}", std::thread::current().id()));
            std::fs::write(&path, template).unwrap();
            files.push(ModelFile {
                role: FileRole::ChatTemplate,
                path: path.clone(),
            });
            path
        });
        let model = TextModel::load(&files, 1 << 20).unwrap();
        if let Some(path) = written {
            std::fs::remove_file(path).unwrap();
        }
        Some(Self { model, expected })
    }

    fn cases(&self, name: &str) -> &[Value] {
        self.expected[name].as_array().unwrap()
    }
}

fn ids(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|id| u32::try_from(id.as_u64().unwrap()).unwrap())
        .collect()
}

fn check(name: &str) {
    let Some(golden) = Golden::load(name) else {
        return;
    };
    check_texts(&golden);
    check_incremental(&golden);
    check_chats(&golden);
}

fn check_texts(golden: &Golden) {
    for case in golden.cases("encode") {
        let text = case["text"].as_str().unwrap();
        let add_special_tokens = case["special"].as_bool().unwrap();
        let options = EncodeOptions {
            add_special_tokens,
            ..EncodeOptions::default()
        };
        let encoded = golden.model.encode_text(text, &options).unwrap();
        assert_eq!(encoded.token_ids, ids(&case["ids"]), "{text:?}");
    }
    for case in golden.cases("decode") {
        let ids = ids(&case["ids"]);
        let text = golden
            .model
            .decode(&ids, case["skip"].as_bool().unwrap())
            .unwrap();
        assert_eq!(text, case["text"].as_str().unwrap(), "{ids:?}");
    }
}

/// Every id on its own, as an engine sends them.
fn check_incremental(golden: &Golden) {
    for case in golden.cases("decode") {
        let ids = ids(&case["ids"]);
        let mut decoder = golden
            .model
            .decoder(case["skip"].as_bool().unwrap(), &[])
            .unwrap();
        let mut text: String = ids.iter().map(|id| decoder.push(&[*id]).unwrap()).collect();
        text.push_str(&decoder.flush().unwrap());
        assert_eq!(text, case["text"].as_str().unwrap(), "{ids:?}");
    }
}

fn check_chats(golden: &Golden) {
    for case in golden.cases("chats") {
        let options = ChatOptions {
            keep_prompt: true,
            ..ChatOptions::default()
        };
        let title = &case["title"];
        let encoded = golden
            .model
            .encode_chat(case["body"].to_string().as_bytes(), &options);
        let encoded = encoded.unwrap_or_else(|error| panic!("{title}: {error}"));
        assert_eq!(
            encoded.formatted_prompt.as_deref(),
            case["prompt"].as_str(),
            "{title}"
        );
        assert_eq!(encoded.token_ids, ids(&case["ids"]), "{title}");
    }
}

#[test]
fn qwen3_equals_hugging_face() {
    check("qwen3");
}

#[test]
fn llama3_equals_hugging_face() {
    check("llama3");
}

#[test]
fn mistral_equals_hugging_face() {
    check("mistral");
}

/// Byte-fallback ids of SentencePiece models are the byte plus 3.
#[test]
fn characters_of_several_ids_wait_until_they_are_whole() {
    let Some(golden) = Golden::load("mistral") else {
        return;
    };
    let bytes = |text: &[u8]| {
        text.iter()
            .map(|byte| u32::from(*byte) + 3)
            .collect::<Vec<_>>()
    };
    let steps = |ids: &[u32]| {
        let mut decoder = golden.model.decoder(false, &[]).unwrap();
        let mut steps: Vec<String> = ids.iter().map(|id| decoder.push(&[*id]).unwrap()).collect();
        steps.push(decoder.flush().unwrap());
        steps
    };
    assert_eq!(steps(&bytes("你é".as_bytes())), ["", "", "你", "", "é", ""]);
    assert_eq!(
        steps(&bytes(b"\xe4\xbd\xa0\xe4\xbd")),
        ["", "", "你", "", "", "��"]
    );
}

/// An answer that goes on after its prompt keeps the space before its first word, one that stands alone does not.
#[test]
fn the_prompt_decides_about_a_leading_space() {
    let Some(golden) = Golden::load("mistral") else {
        return;
    };
    let encode = |text| {
        golden
            .model
            .encode_text(text, &EncodeOptions::default())
            .unwrap()
            .token_ids
    };
    let (prompt, word) = (encode("[/INST]"), encode("Sure"));
    let first = |tail: &[u32]| {
        golden
            .model
            .decoder(true, tail)
            .unwrap()
            .push(&word)
            .unwrap()
    };
    assert_eq!(first(&prompt), " Sure");
    assert_eq!(first(&[]), "Sure");
}
