//! How llama.cpp's named pre-tokenizers split text, as `tokenizer.json` components.
//!
//! The names are values of `tokenizer.ggml.pre`; the patterns are those of the models' own tokenizers.
use serde_json::{Value, json};

const CONTRACTIONS: &str = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const WORDS_AND_REST: &str = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT_4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// What a name stands for.
pub(super) struct PreTokenizer {
    /// `pre_tokenizer` of `tokenizer.json`.
    pub component: Value,
    /// A whole word that is in the vocabulary is taken before merges are tried.
    pub ignore_merges: bool,
    /// llama.cpp opens texts with `<s>` unless the file says otherwise.
    pub adds_bos: bool,
}

impl PreTokenizer {
    /// The pre-tokenizer of that name; none when this crate does not know it.
    pub fn named(name: &str) -> Option<Self> {
        let plain = |steps: Vec<Value>| {
            Some(Self {
                component: sequence(steps),
                ignore_merges: false,
                adds_bos: false,
            })
        };
        match name {
            "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "falcon-h1" | "pixtral"
            | "midm-2.0" | "lfm2" => Some(Self {
                component: sequence(vec![split(&words("{1,3}"))]),
                ignore_merges: true,
                adds_bos: true,
            }),
            "dbrx" | "smaug-bpe" | "glm4" | "chatglm-bpe" | "minimax-m2" => {
                plain(vec![split(&words("{1,3}"))])
            }
            "qwen2" | "deepseek-r1-qwen" | "megrez" | "stablelm2" | "hunyuan" | "kormo" => {
                plain(vec![split(&words(""))])
            }
            "gpt-2" | "phi-2" | "jina-es" | "jina-de" | "gigachat" | "jina-v2-es"
            | "jina-v2-de" | "jina-v2-code" | "olmo" | "mpt" | "jais" | "trillion"
            | "granite-docling" | "a.x-4.0" | "mellum" | "roberta-bpe" => plain(vec![split(GPT2)]),
            "smollm" | "starcoder" | "refact" | "command-r" | "codeshell" | "exaone"
            | "minerva-7b" => plain(vec![
                json!({"type": "Digits", "individual_digits": true}),
                split(GPT2),
            ]),
            "gpt-4o" | "llama4" | "kanana2" => plain(vec![split(GPT_4O)]),
            "tekken" => Some(Self {
                component: sequence(vec![split(TEKKEN)]),
                ignore_merges: true,
                adds_bos: false,
            }),
            "default" => plain(vec![
                split(r"[\p{P}\$\+<=>\^~\|]+"),
                split(GPT2),
                split(r"\p{N}+"),
                split("[0-9][0-9][0-9]"),
            ]),
            _ => None,
        }
    }
}

/// The pattern of Llama 3 and Qwen 2; they differ in how many digits make a word.
fn words(digits: &str) -> String {
    format!(r"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}{WORDS_AND_REST}")
}

fn split(pattern: &str) -> Value {
    json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false})
}

fn sequence(mut steps: Vec<Value>) -> Value {
    steps.push(json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false,
    }));
    json!({"type": "Sequence", "pretokenizers": steps})
}
