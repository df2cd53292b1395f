"""Trains the model, from scratch or from a checkpoint.

    python train.py --train work/train.npy --held-out work/held-out.npy --steps 3000 --out work/checkpoint.npz
    python train.py --init checkpoint-1.0.0.npz --train work/sea.npy ... --steps 600 --rate 5e-4

A llama: RMS norm before each block, rotary positions on interleaved pairs (llama.cpp's "norm" rope,
so wq and wk need no permutation), SwiGLU, no biases, the output tied to the embedding.
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

CONFIG = {
    "vocab": 1792, "context": 256, "dim": 128, "layers": 4, "heads": 4, "hidden": 320,
    "rope_base": 10000.0, "norm_eps": 1e-5,
}
BOS = 1
WEIGHT_DECAY = 0.05
CLIP = 1.0
BETAS = (0.9, 0.98)
# An average of the weights over about the last 100 steps: smoother than the last step's.
EMA = 0.99


def init_params(key):
    """Weights as out x in, under llama.cpp's tensor names, so conversion only writes them down."""
    c, scale = CONFIG, 0.02
    residual_scale = scale / math.sqrt(2 * c["layers"])
    # Larger than usual: training draws together the embeddings of words that are used alike, as names
    # are, and what told them apart at the start is what lets attention copy the right one.
    shapes = {"token_embd": ((c["vocab"], c["dim"]), 5 * scale)}
    for i in range(c["layers"]):
        square, up, down = (c["dim"], c["dim"]), (c["hidden"], c["dim"]), (c["dim"], c["hidden"])
        for name in ("attn_q", "attn_k", "attn_v"):
            shapes[f"blk.{i}.{name}"] = (square, 1 / math.sqrt(c["dim"]))
        shapes[f"blk.{i}.attn_output"] = (square, residual_scale)
        shapes[f"blk.{i}.ffn_gate"] = (up, scale * 2)
        shapes[f"blk.{i}.ffn_up"] = (up, scale * 2)
        shapes[f"blk.{i}.ffn_down"] = (down, residual_scale)
    keys = jax.random.split(key, len(shapes))
    params = {name: jax.random.normal(k, shape) * std for k, (name, (shape, std)) in zip(keys, shapes.items())}
    norms = [f"blk.{i}.{name}" for i in range(c["layers"]) for name in ("attn_norm", "ffn_norm")]
    return params | {name: jnp.ones(c["dim"]) for name in [*norms, "output_norm"]}


def rms_norm(x, weight):
    return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + CONFIG["norm_eps"]) * weight


def rope(x):
    """Rotates the pairs (0, 1), (2, 3), ... of batch x time x heads x width."""
    time_steps, width = x.shape[1], x.shape[3]
    frequencies = CONFIG["rope_base"] ** (-jnp.arange(0, width, 2) / width)
    angles = jnp.arange(time_steps)[:, None] * frequencies
    cos, sin = jnp.cos(angles)[None, :, None], jnp.sin(angles)[None, :, None]
    even, odd = x[..., 0::2], x[..., 1::2]
    return jnp.stack([even * cos - odd * sin, even * sin + odd * cos], -1).reshape(x.shape)


def logits_of(params, tokens):
    """batch x time tokens -> batch x time x vocabulary logits."""
    c = CONFIG
    batch, length = tokens.shape
    width = c["dim"] // c["heads"]
    # A window holds several stories: a token sees the earlier tokens of its own story only.
    story = jnp.cumsum(tokens == BOS, 1)
    visible = (story[:, :, None] == story[:, None, :]) & jnp.tril(jnp.ones((length, length), bool))
    mask = jnp.where(visible, 0.0, -1e9)[:, None]
    x = params["token_embd"][tokens]
    for i in range(c["layers"]):
        w = lambda name: params[f"blk.{i}.{name}"]
        h = rms_norm(x, w("attn_norm"))
        q, k, v = ((h @ w(n).T).reshape(batch, length, c["heads"], width) for n in ("attn_q", "attn_k", "attn_v"))
        scores = jnp.einsum("bqhd,bkhd->bhqk", rope(q), rope(k)) / math.sqrt(width) + mask
        mixed = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), v)
        x = x + mixed.reshape(batch, length, c["dim"]) @ w("attn_output").T
        h = rms_norm(x, w("ffn_norm"))
        x = x + (jax.nn.silu(h @ w("ffn_gate").T) * (h @ w("ffn_up").T)) @ w("ffn_down").T
    return rms_norm(x, params["output_norm"]) @ params["token_embd"].T


def loss_of(params, window):
    """Mean negative log-likelihood of every token that is not the start of a story."""
    targets = window[:, 1:]
    logits = logits_of(params, window[:, :-1])
    chosen = jnp.take_along_axis(logits, targets[..., None], -1)[..., 0]
    loss = jax.nn.logsumexp(logits, -1) - chosen
    counts = targets != BOS
    return jnp.sum(loss * counts) / jnp.sum(counts)


@partial(jax.jit, donate_argnums=(0,))
def update(state, window, rate):
    """One AdamW step; norms are not decayed."""
    params, first, second, average, step = state
    loss, gradients = jax.value_and_grad(loss_of)(params, window)
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
    return (params, first, second, average, step), loss


def windows_of(tokens, batch, seed):
    """Batches of context + 1 tokens, for ever. Each begins with a story, so that names are seen introduced."""
    rng = np.random.default_rng(seed)
    span = CONFIG["context"] + 1
    begins = np.flatnonzero(tokens[:-span] == BOS)
    while True:
        yield np.stack([tokens[s:s + span] for s in rng.choice(begins, batch)]).astype(np.int32)


def rate_at(step, steps, warm_up, peak):
    """Linear warm-up, then a cosine down to a fiftieth of the peak."""
    if step < warm_up:
        return peak * (step + 1) / warm_up
    progress = (step - warm_up) / max(1, steps - warm_up)
    return peak * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


def held_out_loss(params, tokens, batches=16, batch=16):
    """Over fixed windows of a held-out file."""
    score, windows = jax.jit(loss_of), windows_of(tokens, batch, seed=0)
    return float(np.mean([score(params, next(windows)) for _ in range(batches)]))


def save(path, params):
    np.savez(path, **{name: np.asarray(value, np.float16) for name, value in params.items()})


def load(path):
    with np.load(path) as file:
        return {name: jnp.asarray(file[name], jnp.float32) for name in file.files}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--init", type=Path, help="a checkpoint to go on from")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2.5e-3)
    parser.add_argument("--warm-up", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    train, held_out = np.load(args.train), np.load(args.held_out)
    params = load(args.init) if args.init else init_params(jax.random.key(args.seed))
    zeros = lambda: jax.tree.map(jnp.zeros_like, params)
    state = (params, zeros(), zeros(), jax.tree.map(jnp.copy, params), jnp.float32(0))
    count = sum(p.size for p in params.values())
    print(f"{count} parameters, {len(train)} training tokens, {args.steps} steps of {args.batch} x {CONFIG['context']}", flush=True)

    windows, began, seen = windows_of(train, args.batch, args.seed), time.monotonic(), []
    for step in range(1, args.steps + 1):
        state, loss = update(state, next(windows), rate_at(step - 1, args.steps, args.warm_up, args.rate))
        seen.append(float(loss))
        if step % 50 == 0:
            elapsed = time.monotonic() - began
            speed = step * args.batch * CONFIG["context"] / elapsed
            print(f"step {step}/{args.steps} loss {np.mean(seen[-50:]):.4f} {speed:.0f} tokens/s {elapsed:.0f} s", flush=True)
        if step % 500 == 0 or step == args.steps:
            average = state[3]
            loss = held_out_loss(average, held_out)
            save(args.out, average)
            print(f"step {step} held-out loss {loss:.4f} perplexity {math.exp(loss):.3f}", flush=True)

    summary = {
        "parameters": count, "steps": step, "tokens": step * args.batch * CONFIG["context"],
        "seconds": round(time.monotonic() - began), "train_loss": round(float(np.mean(seen[-100:])), 4),
        "held_out_loss": round(loss, 4), "held_out_perplexity": round(math.exp(loss), 4),
    }
    args.out.with_suffix(".json").write_text(json.dumps(summary, indent=2) + "\n")
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
