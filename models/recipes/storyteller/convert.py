"""Turns a checkpoint into a bundle: the GGUF file, bundle.toml beside it, and golden.json.

    python convert.py --checkpoint work/checkpoint.npz --version 1.0.0 --theme meadow \
        --held-out work/held-out.npy --bundle ../../storyteller/1.0.0 --golden golden.json
"""

import argparse
import hashlib
import json
from pathlib import Path

import gguf
import numpy as np
import sentencepiece

from evaluate import evaluations, stories_of
from reference import TOKENIZER, Reference
from train import CONFIG

FILE = "storyteller-q8_0.gguf"
DESCRIPTION = "A tiny model that tells little stories, trained from scratch on stories from a grammar."
# The host renders this template. The model only continues text, so a chat is its users' words in order.
CHAT_TEMPLATE = (
    "{%- for message in messages if message['role'] == 'user' -%}"
    "{{- message['content'] -}}"
    "{%- if not loop.last %} {% endif -%}"
    "{%- endfor -%}"
)
# Prompts whose greedy choices are clear ones: a near tie may fall either way in other arithmetic.
GOLDEN_PROMPTS = ["Once upon a time", "A small robot", "In a quiet village by the river"]
GOLDEN_TOKENS = 48
FINGERPRINT_TOKENS = 48
# Words the corpus does not have: the fingerprint must also hold where the model is surprised.
UNLIKELY = (
    "Once upon a time, there was a little fox named Zoe. She lived on the moon with two purple cats. "
    "One day, she lost her seven keys. \"Who took them?\" she asked the baker."
)
# llama.cpp rounds activations to 8 bits in its matrix products, the reference does not. Measured on a
# CPU: at most 0.06 a token in story text, 0.18 in the unlikely text; the tolerance is twice the latter.
TOLERANCE = 0.35


def token_table(tokenizer):
    """Pieces, scores and GGUF token types, by id."""
    kinds = gguf.TokenType
    pieces, scores, types = [], [], []
    for i in range(tokenizer.get_piece_size()):
        pieces.append(tokenizer.id_to_piece(i).encode())
        scores.append(tokenizer.get_score(i))
        types.append(
            kinds.UNKNOWN if tokenizer.is_unknown(i) else kinds.CONTROL if tokenizer.is_control(i)
            else kinds.BYTE if tokenizer.is_byte(i) else kinds.NORMAL)
    return pieces, scores, types


def write_gguf(path, params, tokenizer, version):
    c = CONFIG
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("Storyteller")
    writer.add_version(version)
    writer.add_description(DESCRIPTION)
    writer.add_license("Apache-2.0")
    writer.add_languages(["en"])
    writer.add_size_label("1M")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)

    writer.add_block_count(c["layers"])
    writer.add_context_length(c["context"])
    writer.add_embedding_length(c["dim"])
    writer.add_feed_forward_length(c["hidden"])
    writer.add_head_count(c["heads"])
    writer.add_head_count_kv(c["heads"])
    writer.add_layer_norm_rms_eps(c["norm_eps"])
    writer.add_rope_dimension_count(c["dim"] // c["heads"])
    writer.add_rope_freq_base(c["rope_base"])
    writer.add_vocab_size(c["vocab"])

    pieces, scores, types = token_table(tokenizer)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(pieces)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(tokenizer.bos_id())
    writer.add_eos_token_id(tokenizer.eos_id())
    writer.add_unk_token_id(tokenizer.unk_id())
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)
    writer.add_remove_extra_whitespaces(False)
    writer.add_chat_template(CHAT_TEMPLATE)

    q8_0 = gguf.GGMLQuantizationType.Q8_0
    for name, value in params.items():
        if value.ndim == 1:
            writer.add_tensor(f"{name}.weight", value)
        else:
            writer.add_tensor(f"{name}.weight", gguf.quantize(value, q8_0), raw_dtype=q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def fingerprint(model, tokenizer, held_out):
    """Two held-out stories and one text full of unlikely tokens, each cut to the same length."""
    texts = [*stories_of(held_out)[:2], tokenizer.encode(UNLIKELY, add_bos=True)]
    return [(tokens, model.logprobs(tokens)) for tokens in (text[:FINGERPRINT_TOKENS] for text in texts)]


def golden(model, tokenizer, digest):
    """Greedy continuations. `margin` is the least lead, in logits, of a chosen token over the second best."""
    cases = []
    for prompt in GOLDEN_PROMPTS:
        margins = []

        def greedy(logits):
            second, best = np.sort(logits)[-2:]
            margins.append(best - second)
            return np.argmax(logits)

        tokens = tokenizer.encode(prompt, add_bos=True)
        made = model.generate(tokens, GOLDEN_TOKENS, greedy)
        text = tokenizer.decode(tokens + made)[len(prompt):]
        cases.append({"prompt": prompt, "tokens": tokens, "greedy_tokens": made, "greedy_text": text,
                      "margin": round(float(min(margins)), 4)})
    return {"file": FILE, "sha256": digest, "arithmetic": "float64 over dequantised q8_0 weights", "cases": cases}


def one_case_a_line(document):
    """JSON that a diff can be read in."""
    head = "".join(f"  {quoted(key)}: {quoted(value)},\n" for key, value in document.items() if key != "cases")
    cases = ",\n".join(f"    {quoted(case)}" for case in document["cases"])
    return f'{{\n{head}  "cases": [\n{cases}\n  ]\n}}\n'


def quoted(text):
    """A TOML or JSON literal: the two agree on what is written here."""
    return json.dumps(text, ensure_ascii=False)


def bundle_toml(version, base, theme, digest, size, prints, entries):
    """bundle.toml, format 1. The host refuses keys it does not know."""
    sequences = "\n".join(
        f"[[fingerprint.sequences]]\ntokens = {tokens}\nlogprobs = [{', '.join(f'{p:.5f}' for p in logprobs)}]\n"
        for tokens, logprobs in prints)
    card = "\n".join(
        f"[[card.evaluations]]\nname = {quoted(e['name'])}\nvalue = {e['value']}\nmethod = {quoted(e['method'])}\n"
        for e in entries)
    return f"""\
format = 1
name = "storyteller"
version = {quoted(version)}
kind = "generate"
encoding = "ggml"

[[files]]
path = {quoted(FILE)}
role = "weights"
sha256 = "{digest}"
size = {size}

[limits]
context = {CONFIG["context"]}
parallel = 32

[defaults]
max_tokens = 200
temperature = 0.8
top_p = 0.95

[warm_up]
prompts = ["Once upon a time"]

[fingerprint]
tolerance = {TOLERANCE}

{sequences}
[card]
licence = "Apache-2.0"
languages = ["en"]
base_model = {quoted(base)}
data = {quoted(f"Stories written by the project's own grammar (models/recipes/storyteller, theme {theme}); no text from anywhere else.")}
intended_use = "Demonstrations and tests of a language-model runtime: short stories for children, continued from an opening."
limits = "Knows only its grammar: about fifteen plots, a few hundred words, English. It cannot answer questions, follow instructions or hold facts. Far from its openings it rambles."

{card}"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--theme", required=True, help="named on the card")
    parser.add_argument("--base", default="none: trained from scratch", help="named on the card")
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True, help="the folder of the bundle")
    parser.add_argument("--golden", type=Path, required=True)
    args = parser.parse_args()

    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(TOKENIZER))
    with np.load(args.checkpoint) as checkpoint:
        params = {name: checkpoint[name].astype(np.float32) for name in checkpoint.files}
    args.bundle.mkdir(parents=True, exist_ok=True)
    path = args.bundle / FILE
    write_gguf(path, params, tokenizer, args.version)

    digest, size = hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_size
    model, held_out = Reference(path), np.load(args.held_out)
    entries = evaluations(model, tokenizer, held_out)
    prints = fingerprint(model, tokenizer, held_out)
    (args.bundle / "bundle.toml").write_text(bundle_toml(args.version, args.base, args.theme, digest, size, prints, entries))
    args.golden.write_text(one_case_a_line(golden(model, tokenizer, digest)))
    print(f"{path}: {size} bytes, sha256 {digest}")
    for entry in entries:
        print(f"{entry['name']}: {entry['value']}")


if __name__ == "__main__":
    main()
