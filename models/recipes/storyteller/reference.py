"""A second, independent implementation of the model: numpy, float64, straight from the GGUF file.

It reads the weights as they are stored (q8_0, dequantised), so what it computes also proves the
conversion. Fingerprints and goldens come from here; llama.cpp is compared with them.

    python reference.py storyteller-q8_0.gguf --prompt "Once upon a time" --temperature 0.8
"""

import argparse
from pathlib import Path

import gguf
import numpy as np
import sentencepiece

TOKENIZER = Path(__file__).parent / "tokenizer.model"
BOS, EOS = 1, 2


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


class Reference:
    """A GGUF llama in float64."""

    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        field = lambda name: reader.get_field(f"llama.{name}").contents()
        self.layers = field("block_count")
        self.heads = field("attention.head_count")
        self.eps = field("attention.layer_norm_rms_epsilon")
        self.rope_base = field("rope.freq_base")
        self.context = field("context_length")
        self.weights = {
            t.name.removesuffix(".weight"): gguf.dequantize(t.data, t.tensor_type).astype(np.float64)
            for t in reader.tensors
        }
        self.output = self.weights.get("output", self.weights["token_embd"])

    def norm(self, x, name):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * self.weights[name]

    def rotate(self, x, first):
        """Turns the pairs (0, 1), (2, 3), ... of heads x time x width; the first row has position `first`."""
        _, length, width = x.shape
        angles = np.outer(np.arange(first, first + length), self.rope_base ** (-np.arange(0, width, 2) / width))
        turned = (x[..., 0::2] + 1j * x[..., 1::2]) * np.exp(1j * angles)
        return np.stack([turned.real, turned.imag], -1).reshape(x.shape)

    def logits(self, tokens, cache=None):
        """Logits after each of `tokens`. A cache (a dict, empty at first) keeps what came before them."""
        cache = {} if cache is None else cache
        first = cache.get("length", 0)
        cache["length"] = first + len(tokens)
        heads = lambda x: x.reshape(len(tokens), self.heads, -1).transpose(1, 0, 2)
        hidden_future = np.triu(np.full((len(tokens), first + len(tokens)), -np.inf), first + 1)
        x = self.weights["token_embd"][list(tokens)]
        for i in range(self.layers):
            w = lambda name: self.weights[f"blk.{i}.{name}"].T
            h = self.norm(x, f"blk.{i}.attn_norm")
            q, k, v = (heads(h @ w(name)) for name in ("attn_q", "attn_k", "attn_v"))
            q, k = self.rotate(q, first), self.rotate(k, first)
            if i in cache:
                k, v = (np.concatenate(pair, 1) for pair in zip(cache[i], (k, v)))
            cache[i] = (k, v)
            scores = q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1]) + hidden_future
            x = x + (softmax(scores) @ v).transpose(1, 0, 2).reshape(x.shape) @ w("attn_output")
            h = self.norm(x, f"blk.{i}.ffn_norm")
            gate = h @ w("ffn_gate")
            x = x + (gate / (1 + np.exp(-gate)) * (h @ w("ffn_up"))) @ w("ffn_down")
        return self.norm(x, "output_norm") @ self.output.T

    def logprobs(self, tokens):
        """log p(tokens[i] | tokens[..i]) for i = 1, 2, ...; natural logarithm."""
        table = log_softmax(self.logits(tokens[:-1]))
        return table[np.arange(len(tokens) - 1), tokens[1:]]

    def generate(self, prompt, limit, choose):
        """Up to `limit` tokens after the prompt's tokens, each chosen by `choose(logits)`; stops at EOS."""
        cache, made = {}, []
        logits = self.logits(prompt, cache)[-1]
        while len(made) < limit and len(prompt) + len(made) < self.context:
            made.append(int(choose(logits)))
            if made[-1] == EOS:
                break
            logits = self.logits(made[-1:], cache)[-1]
        return made


def sampler(rng, temperature, top_p):
    """Temperature, then the smallest set of tokens that holds top_p of the probability."""
    def choose(logits):
        p = softmax(logits / temperature)
        order = np.argsort(-p)
        kept = order[:np.searchsorted(np.cumsum(p[order]), top_p) + 1]
        return rng.choice(kept, p=p[kept] / p[kept].sum())
    return choose


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--tokenizer", type=Path, default=TOKENIZER)
    parser.add_argument("--prompt", action="append", required=True)
    parser.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token")
    parser.add_argument("--top-p", type=float, default=0.95)
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    model, tokenizer = Reference(args.model), sentencepiece.SentencePieceProcessor(model_file=str(args.tokenizer))
    rng = np.random.default_rng(args.seed)
    choose = sampler(rng, args.temperature, args.top_p) if args.temperature else np.argmax
    for prompt in args.prompt:
        tokens = tokenizer.encode(prompt, add_bos=True)
        made = model.generate(tokens, args.tokens, choose)
        print(tokenizer.decode(tokens + made) + (" [end]" if made[-1] == EOS else " [cut]"), end="\n\n")


if __name__ == "__main__":
    main()
