"""A second, independent implementation of the model: numpy, float64, straight from the GGUF file.

It reads vocabulary and weights as they are stored (q8_0, dequantised) and splits text by its own code,
so what it computes also proves the conversion. The goldens come from here; llama.cpp is compared with them.

    python reference.py ../../sentence/1.0.0/sentence-q8_0.gguf "I forgot my login" "How do I reset my password?"
"""

import argparse
import unicodedata
from pathlib import Path

import gguf
import numpy as np

WORD_BEGIN = "\u2581"
CJK = [(0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F),
       (0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)]


def is_word_by_itself(character):
    """Punctuation, ASCII's signs, and the characters of Chinese."""
    return (unicodedata.category(character).startswith("P") or (character.isascii() and not character.isalnum())
            or any(first <= ord(character) <= last for first, last in CJK))


def words_of(text):
    """Lower-cased, without accents and control characters, split at spaces and around signs."""
    text = "".join(c for c in unicodedata.normalize("NFD", text) if unicodedata.category(c) != "Mn")
    text = "".join(c for c in text if c.isspace() or (unicodedata.category(c) not in ("Cc", "Cf") and c != "\ufffd"))
    text = "".join(f" {c} " if not c.isspace() and is_word_by_itself(c) else c for c in text.lower())
    return text.split()


def gelu(x):
    """The tanh form, as llama.cpp has it."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Reference:
    """A GGUF BERT in float64."""

    def __init__(self, path):
        reader = gguf.GGUFReader(path)
        field = lambda name: reader.get_field(name).contents()
        self.layers = field("bert.block_count")
        self.heads = field("bert.attention.head_count")
        self.eps = field("bert.attention.layer_norm_epsilon")
        self.context = field("bert.context_length")
        self.ids = {piece: i for i, piece in enumerate(field("tokenizer.ggml.tokens"))}
        self.longest = max(len(piece) for piece in self.ids)
        self.unknown = field("tokenizer.ggml.unknown_token_id")
        self.begin, self.end = field("tokenizer.ggml.bos_token_id"), field("tokenizer.ggml.seperator_token_id")
        self.weights = {t.name: gguf.dequantize(t.data, t.tensor_type).astype(np.float64) for t in reader.tensors}

    def pieces(self, word):
        """The longest piece that fits, again and again; a word that does not come out is unknown."""
        rest, found = WORD_BEGIN + word, []
        while rest:
            size = next((n for n in range(min(len(rest), self.longest), 0, -1) if rest[:n] in self.ids), 0)
            if not size:
                return [self.unknown]
            found.append(self.ids[rest[:size]])
            rest = rest[size:]
        return found

    def tokens(self, text):
        return [self.begin, *(piece for word in words_of(text) for piece in self.pieces(word)), self.end]

    def norm(self, x, name):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + self.eps) * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def dense(self, x, name):
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def states(self, tokens):
        """What the last layer makes of each token, a row each."""
        length = len(tokens)
        heads = lambda x: x.reshape(length, self.heads, -1).transpose(1, 0, 2)
        x = self.weights["token_embd.weight"][tokens] + self.weights["token_types.weight"][0]
        x = self.norm(x + self.weights["position_embd.weight"][:length], "token_embd_norm")
        for i in range(self.layers):
            q, k, v = (heads(self.dense(x, f"blk.{i}.attn_{name}")) for name in "qkv")
            mixed = softmax(q @ k.transpose(0, 2, 1) / np.sqrt(q.shape[-1])) @ v
            x = x + self.dense(mixed.transpose(1, 0, 2).reshape(x.shape), f"blk.{i}.attn_output")
            x = self.norm(x, f"blk.{i}.attn_output_norm")
            x = x + self.dense(gelu(self.dense(x, f"blk.{i}.ffn_up")), f"blk.{i}.ffn_down")
            x = self.norm(x, f"blk.{i}.layer_output_norm")
        return x

    def vector(self, tokens, pooling="mean"):
        """The mean over the tokens, or what was made of the first or the last, of length one. The model was trained with the mean."""
        states = self.states(tokens)
        pooled = {"mean": states.mean(0), "first": states[0], "last": states[-1]}[pooling]
        return pooled / np.linalg.norm(pooled)

    def embed(self, texts):
        """A vector a row; what is longer than the context is cut."""
        return np.array([self.vector([*self.tokens(text)[:-1][:self.context - 1], self.end]) for text in texts])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", nargs="+", help="each is compared with the others")
    args = parser.parse_args()
    model = Reference(args.model)
    vectors = model.embed(args.texts)
    for row, text in zip(vectors @ vectors.T, args.texts):
        print(" ".join(f"{cosine:6.3f}" for cosine in row), text)


if __name__ == "__main__":
    main()
