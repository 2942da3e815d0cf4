"""Makes smollm2_gguf.json: what llama-server says about the GGUF that it serves.

    llama-server -m SmolLM2-135M-Instruct.gguf --port 8080
    python generate_llama_server.py http://127.0.0.1:8080
"""
import json
import pathlib
import sys
import urllib.request

from generate import ANSWER, SYSTEM, TEXTS, USER

CHATS = {
    "one user": [USER],
    "system": [SYSTEM, USER],
    "several turns": [SYSTEM, USER, ANSWER, {"role": "user", "content": "And tomorrow?"}],
}


def post(path, body):
    request = urllib.request.Request(
        sys.argv[1] + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def tokenize(text):
    return post("/tokenize", {"content": text, "add_special": True, "parse_special": True})["tokens"]


if __name__ == "__main__":
    texts = TEXTS + ["<|im_start|>user\nhi <|im_end|> there<|im_end|>\n<|im_start|>", " <|im_end|> <|endoftext|>x<|im_"]
    chats = []
    for title, messages in CHATS.items():
        prompt = post("/apply-template", {"messages": messages})["prompt"]
        chats.append({"title": title, "body": {"messages": messages}, "prompt": prompt, "ids": tokenize(prompt)})
    encode = [{"text": text, "ids": tokenize(text)} for text in texts]
    text = json.dumps({"encode": encode, "chats": chats}, ensure_ascii=False, separators=(",", ":"))
    (pathlib.Path(__file__).parent / "smollm2_gguf.json").write_text(text + "\n")
