"""Trains the student on the teacher's vectors.

    python train.py --train work/train --held-out work/held-out --steps 4000 --out work/checkpoint.npz

--train work/train reads work/train.npz (tokens) and work/train-teacher.npy (vectors). The student is a
BERT as llama.cpp computes it: norms behind the blocks, GELU in its tanh form, the mean over all tokens.
Its vectors are narrower than the teacher's, so it learns the teacher's main components.
"""

import argparse
import json
import math
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

CONFIG = {"vocab": 7936, "context": 256, "dim": 192, "layers": 3, "heads": 6, "hidden": 384, "norm_eps": 1e-12}
# Texts are padded to one of these lengths; longer ones come in smaller batches.
BATCHES = {10: 256, 13: 256, 16: 256, 20: 256, 24: 256, 32: 256, 48: 128, 80: 128, 128: 64, 256: 32}
# How much the batch's table of similarities counts beside the vectors themselves.
SIMILARITY = 10.0
RIDGE = 0.05
WEIGHT_DECAY = 0.01
CLIP = 1.0
BETAS = (0.9, 0.98)
# An average of the weights over about the last 200 steps: smoother than the last step's.
EMA = 0.995


class Texts:
    """Tokens and teacher's vectors of a file of texts."""

    def __init__(self, name):
        with np.load(f"{name}.npz") as file:
            self.tokens, self.starts = file["tokens"], file["starts"]
        self.teacher = np.load(f"{name}-teacher.npy")
        self.lengths = np.diff(self.starts)

    def padded(self, rows, batch, length):
        """Tokens of these texts in an array of a fixed shape, and which of them count."""
        tokens, mask = np.zeros((batch, length), np.int32), np.zeros((batch, length), bool)
        for row, i in enumerate(rows):
            text = self.tokens[self.starts[i]:self.starts[i + 1]]
            tokens[row, :len(text)], mask[row, :len(text)] = text, True
        return tokens, mask

    def batches(self, rng):
        """Once over all texts, similar lengths together, as (rows, length of the batch)."""
        order = rng.permutation(len(self.lengths))
        found, least = [], 0
        for length, batch in BATCHES.items():
            rows = order[(self.lengths[order] > least) & (self.lengths[order] <= length)]
            found += [(rows[at:at + batch], length) for at in range(0, len(rows) - batch + 1, batch)]
            least = length
        return [found[i] for i in rng.permutation(len(found))]


def components(teacher, dim):
    """The directions that keep most of the teacher's vectors, as width x dim. Not centred: dot products count."""
    values, vectors = np.linalg.eigh(sum(part.T @ part for part in np.array_split(teacher.astype(np.float32), 64)))
    return np.ascontiguousarray(vectors[:, ::-1][:, :dim]), float(values[::-1][:dim].sum() / values.sum())


def projected(teacher, directions):
    narrow = teacher.astype(np.float32) @ directions
    return narrow / np.linalg.norm(narrow, axis=1, keepdims=True)


def bag_of_pieces(texts, targets):
    """A vector for each piece, so that their mean over a text comes as near to its target as it can (ridge regression)."""
    vocab = CONFIG["vocab"]
    gram, right = np.zeros((vocab, vocab), np.float32), np.zeros((vocab, targets.shape[1]), np.float32)
    for i, length in enumerate(texts.lengths):
        text = texts.tokens[texts.starts[i]:texts.starts[i + 1]].astype(np.int64)
        if length <= 64:
            pieces, counts = np.unique(text, return_counts=True)
            share = (counts / length).astype(np.float32)
            gram[pieces[:, None], pieces] += share[:, None] * share
            right[pieces] += share[:, None] * targets[i]
    gram[np.diag_indices(vocab)] += RIDGE
    return np.linalg.solve(gram, right)


def init_params(key, pieces):
    """Weights as out x in, under llama.cpp's tensor names, so conversion only writes them down.

    The student begins as the best bag of pieces and learns from there what words do to each other. The norm
    behind the embeddings would stretch every piece to one length, and with it the pieces that mean
    little; so all of them get a constant (the token type's row) that keeps short ones short.
    """
    c = CONFIG
    keys = iter(jax.random.split(key, 64))
    draw = lambda shape, std: jax.random.normal(next(keys), shape) * std
    pieces = pieces * (4.0 / np.sqrt(np.mean(np.sum(pieces**2, 1))))
    params = {
        "token_embd.weight": jnp.asarray(pieces), "position_embd.weight": draw((c["context"], c["dim"]), 0.02),
        "token_types.weight": 4.0 / math.sqrt(c["dim"]) * jnp.where(jnp.arange(c["dim"]) % 2, 1.0, -1.0)[None],
    }
    norms = ["token_embd_norm"]
    for i in range(c["layers"]):
        at, square = f"blk.{i}", (c["dim"], c["dim"])
        shapes = {
            "attn_q": (square, 1 / math.sqrt(c["dim"])), "attn_k": (square, 1 / math.sqrt(c["dim"])),
            "attn_v": (square, 1 / math.sqrt(c["dim"])), "attn_output": (square, 0.02),
            "ffn_up": ((c["hidden"], c["dim"]), 1 / math.sqrt(c["dim"])), "ffn_down": ((c["dim"], c["hidden"]), 0.01),
        }
        for name, (shape, std) in shapes.items():
            params |= {f"{at}.{name}.weight": draw(shape, std), f"{at}.{name}.bias": jnp.zeros(shape[0])}
        norms += [f"{at}.attn_output_norm", f"{at}.layer_output_norm"]
    for name in norms:
        params |= {f"{name}.weight": jnp.ones(c["dim"]), f"{name}.bias": jnp.zeros(c["dim"])}
    return params


def layer_norm(x, params, name):
    x = x - x.mean(-1, keepdims=True)
    x = x * jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + CONFIG["norm_eps"])
    return x * params[f"{name}.weight"] + params[f"{name}.bias"]


def means_of(params, tokens, mask):
    """batch x time tokens -> batch x width: the mean over each text's tokens."""
    c = CONFIG
    batch, length = tokens.shape
    dense = lambda x, name: x @ params[f"{name}.weight"].T + params[f"{name}.bias"]
    split = lambda x: x.reshape(batch, length, c["heads"], -1).transpose(0, 2, 1, 3)
    unseen = jnp.where(mask, 0.0, -1e9)[:, None, None]
    x = params["token_embd.weight"][tokens] + params["position_embd.weight"][:length] + params["token_types.weight"][0]
    x = layer_norm(x, params, "token_embd_norm")
    for i in range(c["layers"]):
        at = f"blk.{i}"
        q, k, v = (split(dense(x, f"{at}.{name}")) for name in ("attn_q", "attn_k", "attn_v"))
        weights = jax.nn.softmax(q @ k.transpose(0, 1, 3, 2) / math.sqrt(c["dim"] // c["heads"]) + unseen)
        mixed = (weights @ v).transpose(0, 2, 1, 3).reshape(x.shape)
        x = layer_norm(x + dense(mixed, f"{at}.attn_output"), params, f"{at}.attn_output_norm")
        inner = jax.nn.gelu(dense(x, f"{at}.ffn_up"), approximate=True)
        x = layer_norm(x + dense(inner, f"{at}.ffn_down"), params, f"{at}.layer_output_norm")
    return (x * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)


def normalised(x):
    return x * jax.lax.rsqrt((x * x).sum(-1, keepdims=True) + 1e-12)


def loss_of(params, tokens, mask, target, teacher):
    """How far the vectors are from their targets, and their similarities from the teacher's own."""
    vectors = normalised(means_of(params, tokens, mask))
    apart = 1 - (vectors * target).sum(-1).mean()
    difference = vectors @ vectors.T - teacher @ teacher.T
    return apart + SIMILARITY * (difference * difference).mean(), apart


@partial(jax.jit, donate_argnums=(0,))
def update(state, tokens, mask, target, teacher, rate):
    """One AdamW step; norms and biases are not decayed."""
    params, first, second, average, step = state
    (_, apart), gradients = jax.value_and_grad(loss_of, has_aux=True)(params, tokens, mask, target, teacher)
    length = jnp.sqrt(sum(jnp.sum(g * g) for g in jax.tree.leaves(gradients)))
    gradients = jax.tree.map(lambda g: g * jnp.minimum(1.0, CLIP / (length + 1e-9)), gradients)
    step = step + 1
    first = jax.tree.map(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, first, gradients)
    second = jax.tree.map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, second, gradients)

    def moved(p, m, v):
        direction = (m / (1 - BETAS[0] ** step)) / (jnp.sqrt(v / (1 - BETAS[1] ** step)) + 1e-8)
        return p - rate * (direction + (WEIGHT_DECAY * p if p.ndim > 1 else 0.0))

    params = jax.tree.map(moved, params, first, second)
    keep = jnp.minimum(EMA, step / (step + 10.0))
    average = jax.tree.map(lambda a, p: keep * a + (1 - keep) * p, average, params)
    return (params, first, second, average, step), apart


def rate_at(step, steps, warm_up, peak):
    """Linear warm-up, then a cosine down to a hundredth of the peak."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return peak * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))


def vectors(params, texts):
    """All vectors of a file of texts."""
    means, out, least = jax.jit(means_of), np.zeros((len(texts.lengths), CONFIG["dim"]), np.float32), 0
    for length, batch in BATCHES.items():
        rows = np.flatnonzero((texts.lengths > least) & (texts.lengths <= length))
        for at in range(0, len(rows), batch):
            tokens, mask = texts.padded(rows[at:at + batch], batch, length)
            mask[:, 0] = True
            out[rows[at:at + batch]] = means(params, tokens, mask)[:len(rows[at:at + batch])]
        least = length
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def held_out_figures(params, texts, directions):
    """Mean cosine with the target, and the correlation of the similarities of all pairs with the teacher's."""
    own, teacher = vectors(params, texts), texts.teacher.astype(np.float32)
    pairs = np.triu_indices(len(own), 1)
    close = float((own * projected(teacher, directions)).sum(1).mean())
    return close, float(np.corrcoef((own @ own.T)[pairs], (teacher @ teacher.T)[pairs])[0, 1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True)
    parser.add_argument("--held-out", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--warm-up", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    train, held_out = Texts(args.train), Texts(args.held_out)
    directions, kept = components(train.teacher, CONFIG["dim"])
    targets = projected(train.teacher, directions)
    began = time.monotonic()
    params = init_params(jax.random.key(args.seed), bag_of_pieces(train, targets))
    # At the start the constant is in every vector; the last bias takes it out.
    last = f"blk.{CONFIG['layers'] - 1}.layer_output_norm.bias"
    tokens, mask = train.padded(np.flatnonzero(train.lengths <= 32)[:512], 512, 32)
    params[last] = -means_of(params, tokens, mask).mean(0)
    zeros = lambda: jax.tree.map(jnp.zeros_like, params)
    state = (params, zeros(), zeros(), jax.tree.map(jnp.copy, params), jnp.float32(0))
    count = sum(p.size for p in params.values())
    print(f"{count} parameters; {CONFIG['dim']} components keep {kept:.1%} of the teacher's vectors; "
          f"a bag of pieces after {time.monotonic() - began:.0f} s", flush=True)
    print("before: cosine {:.4f}, correlation {:.4f}".format(*held_out_figures(params, held_out, directions)), flush=True)

    rng, began, seen, queue, texts, pieces = np.random.default_rng(args.seed), time.monotonic(), [], [], 0, 0
    for step in range(1, args.steps + 1):
        queue = queue or train.batches(rng)
        rows, length = queue.pop()
        tokens, mask = train.padded(rows, len(rows), length)
        teacher = train.teacher[rows].astype(np.float32)
        state, apart = update(state, tokens, mask, targets[rows], teacher, rate_at(step - 1, args.steps, args.warm_up, args.rate))
        seen.append(float(apart))
        texts, pieces = texts + len(rows), pieces + int(mask.sum())
        if step % 100 == 0:
            elapsed = time.monotonic() - began
            print(f"step {step}/{args.steps} cosine {1 - np.mean(seen[-100:]):.4f} {pieces / elapsed:.0f} tokens/s {elapsed:.0f} s", flush=True)
        if step % 1000 == 0 or step == args.steps:
            close, correlation = held_out_figures(state[3], held_out, directions)
            np.savez(args.out, **{name: np.asarray(value, np.float32) for name, value in state[3].items()})
            print(f"step {step} held-out cosine {close:.4f} correlation {correlation:.4f}", flush=True)

    summary = {
        "parameters": count, "steps": step, "texts": texts, "tokens": pieces, "seconds": round(time.monotonic() - began),
        "kept_of_teacher": round(kept, 4), "held_out_cosine": round(close, 4), "held_out_correlation": round(correlation, 4),
    }
    args.out.with_suffix(".json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
