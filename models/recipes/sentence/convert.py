"""Turns a checkpoint into a bundle: GGUF file, tokenizer.json and bundle.toml, and golden.json beside the recipe.

    python convert.py --checkpoint work/checkpoint.npz --version 1.0.0 --work work \
        --bundle ../../sentence/1.0.0 --golden golden.json
"""

import argparse
import hashlib
import json
from pathlib import Path

import gguf
import numpy as np

import vocabulary
from evaluate import evaluations, measure
from reference import WORD_BEGIN, Reference
from train import CONFIG

HERE = Path(__file__).parent
FILE, TOKENIZER = "sentence-q8_0.gguf", "tokenizer.json"
DESCRIPTION = "A tiny model that turns English sentences into vectors, distilled from all-MiniLM-L6-v2."
# Everyday sentences, and what is hard on a tokenizer.
GOLDEN_TEXTS = [
    "How do I reset my password?",
    "I forgot my login",
    "A cat sat on the mat.",
    "a feline was sitting on the rug",
    "The stock market fell by 3.5% on Tuesday, didn't it?",
    "Crème brûlée, naïve façade, Ångström, Zoë",
    "東京 is the capital of 日本",
    "Пример текста на русском языке",
    "it’s “quoted” – 5€ … ok",
    "C:\\Users\\me> rm -rf ./tmp && echo $HOME #done!",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "   spaces \t and\nlines   ",
    "🙂",
    "?!",
    "x",
    " ".join(f"Sentence number {n} says that the little river runs past the mill." for n in range(1, 16)),
]
# So many of the first of them are pooled as other models do it, too.
OTHERWISE_POOLED = 4


def stored(piece):
    """llama.cpp's way: what begins a word carries a mark, what goes on with one carries none."""
    if piece in vocabulary.SPECIAL:
        return piece
    return piece[2:] if piece.startswith("##") and len(piece) > 2 else WORD_BEGIN + piece


def write_gguf(path, params, pieces, version):
    c = CONFIG
    writer = gguf.GGUFWriter(path, "bert")
    writer.add_name("Sentence")
    writer.add_version(version)
    writer.add_description(DESCRIPTION)
    writer.add_license("Apache-2.0")
    writer.add_languages(["en"])
    writer.add_size_label(f"{sum(value.size for value in params.values()) / 1e6:.1f}M")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)

    writer.add_block_count(c["layers"])
    writer.add_context_length(c["context"])
    writer.add_embedding_length(c["dim"])
    writer.add_feed_forward_length(c["hidden"])
    writer.add_head_count(c["heads"])
    writer.add_layer_norm_eps(c["norm_eps"])
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    writer.add_vocab_size(c["vocab"])

    kinds = gguf.TokenType
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("bert-bge")
    writer.add_token_list([stored(piece) for piece in pieces])
    writer.add_token_types([kinds.CONTROL if piece in vocabulary.SPECIAL else kinds.NORMAL for piece in pieces])
    writer.add_token_type_count(1)
    writer.add_bos_token_id(vocabulary.CLS)
    writer.add_sep_token_id(vocabulary.SEP)
    writer.add_unk_token_id(vocabulary.UNK)
    writer.add_pad_token_id(vocabulary.PAD)
    writer.add_mask_token_id(vocabulary.MASK)

    # The token type's row is added as it is, so it stays F32 like norms and biases.
    q8_0 = gguf.GGMLQuantizationType.Q8_0
    for name, value in params.items():
        if value.ndim == 1 or name == "token_types.weight":
            writer.add_tensor(name, value)
        else:
            writer.add_tensor(name, gguf.quantize(value, q8_0), raw_dtype=q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def golden(model, digest):
    """Vectors as the model was trained for, and for some texts as other models pool theirs."""
    rounded = lambda vector: [round(float(x), 5) for x in vector]
    cases = []
    for at, text in enumerate(GOLDEN_TEXTS):
        tokens = model.tokens(text)
        case = {"text": text, "tokens": tokens, "vector": rounded(model.vector(tokens))}
        if at < OTHERWISE_POOLED:
            case |= {pooling: rounded(model.vector(tokens, pooling)) for pooling in ("first", "last")}
        cases.append(case)
    return {"file": FILE, "sha256": digest, "arithmetic": "float64 over dequantised q8_0 weights", "cases": cases}


def one_case_a_line(document):
    """JSON that a diff can be read in."""
    head = "".join(f"  {quoted(key)}: {quoted(value)},\n" for key, value in document.items() if key != "cases")
    cases = ",\n".join(f"    {quoted(case)}" for case in document["cases"])
    return f'{{\n{head}  "cases": [\n{cases}\n  ]\n}}\n'


def quoted(text):
    """A TOML or JSON literal: the two agree on what is written here."""
    return json.dumps(text, ensure_ascii=False)


def listed(path, role):
    data = path.read_bytes()
    return f'[[files]]\npath = {quoted(path.name)}\nrole = "{role}"\nsha256 = "{hashlib.sha256(data).hexdigest()}"\nsize = {len(data)}\n'


def bundle_toml(version, files, entries):
    """bundle.toml, format 1. The host refuses keys it does not know. A fingerprint is for models that score tokens."""
    card = "\n".join(
        f"[[card.evaluations]]\nname = {quoted(e['name'])}\nvalue = {e['value']}\nmethod = {quoted(e['method'])}\n"
        for e in entries)
    files = "\n".join(files)
    return f"""\
format = 1
name = "sentence"
version = {quoted(version)}
kind = "embed"
encoding = "ggml"

{files}
[limits]
context = {CONFIG["context"]}
parallel = 16

[warm_up]
prompts = ["Where is my order?"]

[card]
licence = "Apache-2.0"
languages = ["en"]
base_model = "none: trained from scratch on the vectors of all-MiniLM-L6-v2 (Apache-2.0), cut to {CONFIG["dim"]} components"
data = "WordNet 3.0's definitions and examples (WordNet licence), sentences of Jane Austen's novels (public domain) and of Python's documentation (PSF licence), and questions, requests and statements made by the project's own frames (models/recipes/sentence)."
intended_use = "Demonstrations and tests of a language-model runtime: similarity, search and grouping of short English texts."
limits = "English only; other scripts are one unknown token. Knows everyday words; rare words, names and numbers only by their spelling, so it mixes them up. Coarser than its teacher wherever sentences are close to each other: word order and negation count for little. Texts of more than a paragraph blur."

{card}"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, required=True)
    parser.add_argument("--version", required=True)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="the folder with the texts and the teacher's vectors")
    parser.add_argument("--bundle", type=Path, required=True, help="the folder of the bundle")
    parser.add_argument("--golden", type=Path, required=True)
    args = parser.parse_args()

    with np.load(args.checkpoint) as checkpoint:
        params = {name: checkpoint[name].astype(np.float32) for name in checkpoint.files}
    args.bundle.mkdir(parents=True, exist_ok=True)
    weights, tokenizer = args.bundle / FILE, args.bundle / TOKENIZER
    write_gguf(weights, params, vocabulary.VOCABULARY.read_text().splitlines(), args.version)
    tokenizer.write_text(vocabulary.load().to_str())

    model = Reference(weights)
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    entries = evaluations(measure(model, args.work))
    files = [listed(weights, "weights"), listed(tokenizer, "tokenizer")]
    (args.bundle / "bundle.toml").write_text(bundle_toml(args.version, files, entries))
    args.golden.write_text(one_case_a_line(golden(model, digest)))
    print(f"{weights}: {weights.stat().st_size} bytes, sha256 {digest}")
    print(f"{tokenizer}: {tokenizer.stat().st_size} bytes")
    for entry in entries:
        print(f"{entry['name']}: {entry['value']}  ({entry['method']})")


if __name__ == "__main__":
    main()
