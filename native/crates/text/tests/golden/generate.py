"""Makes the golden files beside this script with Hugging Face's own libraries.

    pip install transformers jinja2
    python generate.py MODELS_FOLDER        # as filled by scripts/test-models.mjs

Each file holds texts with their ids, ids with their text, and chat bodies with their prompt and its ids.
"""
import json
import pathlib
import sys

from transformers import PreTrainedTokenizerFast

TEXTS = [
    "",
    " ",
    "Hello world",
    " Hello  world ",
    "The quick brown fox jumps over the lazy dog. It's 12:30, isn't it? We'LL see; I'd say they've 1234567890 of 3.14159!",
    "naïve café — “quotes” … ½ ™ Ünïcödé Å A\u030a e\u0301 ﬁ ① \u00a0nbsp",
    "你好，世界！今天天气怎么样？ こんにちは世界。カタカナ 한국어 문장입니다.",
    "Привет, мир! Ελληνικά עברית العربية हिन्दी ไทย বাংলা",
    "😀 👩‍👩‍👧‍👦 🇩🇪 🏳️‍🌈 ✨🔥 \U0001f9ff\ufe0f",
    "def f(x):\n    if x > 0:\n\t\treturn x ** 2  # square\n    else:\n        return -x\n\n\nprint(f(3))\n",
    "<div class=\"a\">\r\n  <p>one</p>\r\n\r\n</div>\r\n",
    "a\n\nb\n\n\nc \n d\t\te   f        g\n ",
    "   \n\n   \t  \n",
    "http://example.com/path?query=1&other=%20#frag user@example.com C:\\dir\\file.txt",
    "SELECT * FROM t WHERE a >= 10 AND b != 'x' -- comment",
    "{\"a\": [1, 2.5e-3, null, true], \"b\": {\"c\": \"d\\n\"}}",
    "\u0000\u0001\u0007\u001b[31mred\u001b[0m\u007f\u0085\u2028\u200b\ufeff\ufffd",
    "1 22 333 4444 55555 666666 1,000,000.00 0x1F 1e10 ²³¹",
    "x" * 300,
    "ab " * 100,
    "ANTIDISESTABLISHMENTARIANISM antidisestablishmentarianism Donaudampfschifffahrtsgesellschaft",
    "…………!!!!????----====____****((()))[[[]]]",
    "\U00010348\U0002070e\U000e0041 \u1e9b\u0323 \u0b95\u0bcd\u0bb7",
    "'s 'S 't 'RE 'll 'D ''s don''t ’s",
]

SPECIALS = {
    "qwen3": ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "<tool_call>"],
    "llama3": ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|reserved_special_token_7|>"],
    "mistral": ["<s>", "</s>", "<unk>"],
}

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather <now> & \"soon\" – Zürich's",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "minimum": 1, "default": 2.0},
                "items": {"type": "array", "items": {"type": "string"}},
            },
            "required": ["city"],
        },
    },
}
CALL = {
    "id": "call_00001",
    "type": "function",
    "function": {"name": "get_weather", "arguments": "{\"city\": \"Zürich\", \"days\": 3}"},
}
SYSTEM = {"role": "system", "content": "You are <b>helpful</b> & terse."}
USER = {"role": "user", "content": "  What's the weather in 北京? 😀 \n"}
ANSWER = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nSunny. \n"}

CHATS = {
    "one user": {"messages": [USER]},
    "system": {"messages": [SYSTEM, USER]},
    "several turns": {"messages": [SYSTEM, USER, ANSWER, {"role": "user", "content": "And tomorrow?"}]},
    "no generation prompt": {"messages": [USER, ANSWER], "add_generation_prompt": False},
    "continued": {
        "messages": [USER, {"role": "assistant", "content": "The answer is "}],
        "continue_final_message": True,
    },
    "tools": {"messages": [SYSTEM, USER], "tools": [TOOL]},
    "tool call and result": {
        "messages": [
            USER,
            {"role": "assistant", "content": "Let me look.", "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_00001", "content": "{\"sky\": \"clear\"}"},
            {"role": "tool", "tool_call_id": "call_00002", "content": "second"},
        ],
        "tools": [TOOL],
    },
    "no thinking": {"messages": [USER], "chat_template_kwargs": {"enable_thinking": False}},
}
SKIPPED = {
    # Its template refuses these roles.
    "mistral": {"tool call and result"},
}
LLAMA2_TEMPLATE = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}"
    "{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}"
    "{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)


def parsed_calls(messages):
    """Arguments as objects, as serving stacks hand them to templates."""
    messages = json.loads(json.dumps(messages))
    for message in messages:
        for call in message.get("tool_calls") or []:
            call["function"]["arguments"] = json.loads(call["function"]["arguments"])
    return messages


def golden(name, folder):
    config = json.loads((folder / "tokenizer_config.json").read_text())
    special = {key: config[key] for key in ("bos_token", "eos_token", "unk_token") if config.get(key)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **special)
    template = config.get("chat_template") or LLAMA2_TEMPLATE
    first, second, *rest = SPECIALS[name]
    texts = TEXTS + [
        f"{first}user\nhi {second} there{second}\n{first}",
        f" {second} {first}{first}x{first[:-1]}{first}",
        "".join(SPECIALS[name]),
        " ".join(rest),
    ]
    encode = [
        {"text": text, "special": special, "ids": tokenizer.encode(text, add_special_tokens=special)}
        for text in texts
        for special in ([False, True] if name == "mistral" else [False])
    ]
    decode = [
        {"ids": case["ids"], "skip": skip,
         "text": tokenizer.decode(case["ids"], skip_special_tokens=skip, clean_up_tokenization_spaces=False)}
        for case in encode
        for skip in (False, True)
    ]
    chats = []
    for title, body in CHATS.items():
        if title in SKIPPED.get(name, ()):
            continue
        prompt = tokenizer.apply_chat_template(
            parsed_calls(body["messages"]), chat_template=template, tokenize=False, tools=body.get("tools"),
            add_generation_prompt=body.get("add_generation_prompt", not body.get("continue_final_message", False)),
            continue_final_message=body.get("continue_final_message", False),
            **body.get("chat_template_kwargs", {}),
        )
        chats.append({"title": title, "body": body, "prompt": prompt,
                      "ids": tokenizer.encode(prompt, add_special_tokens=False)})
    return {
        "template": None if config.get("chat_template") else template,
        "encode": encode, "decode": decode, "chats": chats,
    }


if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    for name in SPECIALS:
        result = golden(name, pathlib.Path(sys.argv[1]) / name)
        text = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
        (here / f"{name}.json").write_text(text + "\n")
