"""What a bundle's card says about the model, measured with the float64 reference.

    python evaluate.py storyteller-q8_0.gguf --held-out work/held-out.npy
"""

import argparse
import re
from pathlib import Path

import numpy as np
import sentencepiece

from reference import BOS, EOS, TOKENIZER, Reference, sampler

PROMPTS = [
    "Once upon a time", "Once upon a time, there was a little fox", "One day, a girl named Lily",
    "The old lighthouse", "In a quiet village", "A small robot",
]
# Words a sentence may have with a capital in its middle without being a name.
NO_NAMES = {"I"}


def stories_of(tokens):
    """Splits a token file at its BOS tokens."""
    return [part.tolist() for part in np.split(tokens, np.flatnonzero(tokens == BOS))[1:]]


def perplexity(model, stories):
    """Over every token after BOS, EOS included."""
    return float(np.exp(-np.mean(np.concatenate([model.logprobs(story) for story in stories]))))


def names_in(text):
    """Capitalised words that do not begin a sentence or a quotation."""
    words = re.findall(r"(?<=[a-z,] )[A-Z][a-z]+", text)
    return {word for word in words if word not in NO_NAMES}


def sample_stories(model, tokenizer, count, temperature=0.8, top_p=0.95, seed=1):
    """(text, ended by itself) of `count` stories, the prompts taking turns."""
    choose = sampler(np.random.default_rng(seed), temperature, top_p)
    for number in range(count):
        prompt = tokenizer.encode(PROMPTS[number % len(PROMPTS)], add_bos=True)
        made = model.generate(prompt, model.context, choose)
        yield tokenizer.decode(prompt + made), made[-1] == EOS


def evaluations(model, tokenizer, held_out, stories=300, samples=120):
    """The card's evaluations: name, value, method."""
    sampled = list(sample_stories(model, tokenizer, samples))
    ended = sum(end for _, end in sampled) / samples
    steady = sum(len(names_in(text)) <= 2 for text, _ in sampled) / samples
    how = f"{samples} stories from 6 prompts, temperature 0.8, top_p 0.95, float64 reference over the q8_0 weights"
    return [
        {"name": "held-out perplexity", "value": round(perplexity(model, stories_of(held_out)[:stories]), 3),
         "method": f"{stories} generated stories of a seed that training never saw, every token after BOS; float64 reference over the q8_0 weights"},
        {"name": "stories that end by themselves", "value": round(ended, 3), "method": f"EOS before the context of {model.context} tokens is full; {how}"},
        {"name": "stories with a steady cast", "value": round(steady, 3), "method": f"no third character name turns up (every story of the corpus names at most two); {how}"},
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--held-out", type=Path, required=True)
    args = parser.parse_args()
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(TOKENIZER))
    for entry in evaluations(Reference(args.model), tokenizer, np.load(args.held_out)):
        print(f"{entry['name']}: {entry['value']}  ({entry['method']})")


if __name__ == "__main__":
    main()
