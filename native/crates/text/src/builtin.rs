//! A byte-level model that needs no files: one token per byte, ChatML roles, no normaliser.
//!
//! It lets the mocker and the tests run without downloads. Ids 0–255 are the bytes themselves.
use serde_json::{Map, Value, json};

use crate::byte_chars::printable;
use crate::source::ModelSource;

const SPECIAL_TOKENS: [&str; 3] = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"];
const CONTEXT_LENGTH: u64 = 131_072;
const CHAT_TEMPLATE: &str = "\
{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' }}
{%- if message.content is string %}{{ message.content }}{% endif %}
{%- for call in message.tool_calls or [] %}
{{- '\\n<tool_call>\\n' + (call.function | tojson) + '\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
const TOOLS_TEMPLATE: &str = "\
{{- '<|im_start|>system\\nTools:\\n' }}
{%- for tool in tools %}{{ (tool | tojson) + '\\n' }}{% endfor %}
{{- '<|im_end|>\\n' }}";

pub(crate) fn model_source() -> ModelSource {
    let with_tools = format!("{TOOLS_TEMPLATE}\n{CHAT_TEMPLATE}");
    let config = json!({
        "chat_template": [
            {"name": "default", "template": CHAT_TEMPLATE},
            {"name": "tool_use", "template": with_tools},
        ],
        "eos_token": "<|im_end|>",
    });
    ModelSource {
        tokenizer: Some(tokenizer()),
        tokenizer_config: object(config),
        config: object(json!({
            "max_position_embeddings": CONTEXT_LENGTH,
            "eos_token_id": [256, 258],
        })),
        ..ModelSource::default()
    }
}

fn tokenizer() -> Value {
    let vocab: Map<String, Value> = (0..=u8::MAX)
        .map(|byte| (printable(byte).to_string(), json!(byte)))
        .collect();
    let added: Vec<Value> = SPECIAL_TOKENS
        .iter()
        .enumerate()
        .map(|(index, content)| {
            json!({
                "id": 256 + index, "content": content, "special": true, "normalized": false,
                "single_word": false, "lstrip": false, "rstrip": false,
            })
        })
        .collect();
    let byte_level = json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": true,
    });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": null,
        "pre_tokenizer": byte_level,
        "post_processor": null,
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": false, "vocab": vocab, "merges": [],
        },
    })
}

fn object(json: Value) -> Map<String, Value> {
    match json {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
