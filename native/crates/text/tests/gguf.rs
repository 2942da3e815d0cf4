//! A GGUF file's tokenizer and template give what llama-server gives for the same file.
//!
//! `DYN_TEST_GGUF` names the file, SmolLM2-135M-Instruct; without it these tests say that they were skipped. The
//! expectations are committed (made by `golden/generate_llama_server.py`), or asked for when `DYN_TEST_LLAMA_SERVER_URL` names
//! a server of that file.
#![allow(clippy::unwrap_used)] // a panic is how a test fails

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use dynamo_text::{ChatOptions, EncodeOptions, FileRole, ModelFile, TextModel, extract_vocabulary};
use serde_json::{Value, json};

fn gguf() -> Option<PathBuf> {
    let path = std::env::var_os("DYN_TEST_GGUF").map(PathBuf::from);
    if path.is_none() {
        eprintln!("skipped: DYN_TEST_GGUF is not set");
    }
    path
}

fn load(role: FileRole, path: &Path) -> TextModel {
    TextModel::load(
        &[ModelFile {
            role,
            path: path.to_owned(),
        }],
        1 << 20,
    )
    .unwrap()
}

fn golden() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/smollm2_gguf.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn ids(value: &Value) -> Vec<u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|id| u32::try_from(id.as_u64().unwrap()).unwrap())
        .collect()
}

#[test]
fn texts_and_prompts_equal_those_of_llama_server() {
    let Some(path) = gguf() else {
        return;
    };
    let model = load(FileRole::Gguf, &path);
    let golden = golden();
    let options = EncodeOptions {
        add_special_tokens: true,
        ..EncodeOptions::default()
    };
    for case in golden["encode"].as_array().unwrap() {
        let text = case["text"].as_str().unwrap();
        let encoded = model.encode_text(text, &options).unwrap();
        assert_eq!(
            encoded.token_ids,
            expected_ids(text, &case["ids"]),
            "{text:?}"
        );
    }
    for case in golden["chats"].as_array().unwrap() {
        let options = ChatOptions {
            keep_prompt: true,
            ..ChatOptions::default()
        };
        let encoded = model
            .encode_chat(case["body"].to_string().as_bytes(), &options)
            .unwrap();
        let prompt = ask("/apply-template", &case["body"]).map(|reply| reply["prompt"].clone());
        let prompt = prompt.unwrap_or_else(|| case["prompt"].clone());
        assert_eq!(
            encoded.formatted_prompt.as_deref(),
            prompt.as_str(),
            "{}",
            case["title"]
        );
        let expected = expected_ids(prompt.as_str().unwrap(), &case["ids"]);
        assert_eq!(encoded.token_ids, expected, "{}", case["title"]);
    }
}

fn expected_ids(text: &str, recorded: &Value) -> Vec<u32> {
    let body = json!({"content": text, "add_special": true, "parse_special": true});
    ask("/tokenize", &body).map_or_else(|| ids(recorded), |reply| ids(&reply["tokens"]))
}

/// Asks the live server, when there is one.
fn ask(path: &str, body: &Value) -> Option<Value> {
    let url = std::env::var("DYN_TEST_LLAMA_SERVER_URL").ok()?;
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let body = body.to_string();
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    let length = format!(
        "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream
        .write_all((head + &length + &body).as_bytes())
        .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    let (_, json) = reply.split_once("\r\n\r\n").unwrap();
    Some(serde_json::from_str(json).unwrap())
}

#[test]
fn the_extract_loads_like_the_whole_file() {
    let Some(path) = gguf() else {
        return;
    };
    let extract = std::env::temp_dir().join(format!("dynamo-extract-{}", std::process::id()));
    let bytes = extract_vocabulary(&path).unwrap();
    assert!(bytes.len() < 4 << 20, "{} bytes", bytes.len());
    std::fs::write(&extract, bytes).unwrap();
    let (whole, part) = (
        load(FileRole::Gguf, &path),
        load(FileRole::GgufVocabulary, &extract),
    );
    std::fs::remove_file(extract).unwrap();
    assert_eq!(whole.info(), part.info());
    assert_eq!(whole.info().context_length, Some(8192));
    let ids = |model: &TextModel| {
        let prompt = model.encode_text("Hello <|im_end|>", &EncodeOptions::default());
        prompt.unwrap().token_ids
    };
    assert_eq!(ids(&whole), ids(&part));
}
