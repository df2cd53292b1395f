"""The tokenizer: trains it, and turns corpora into token files.

    python vocabulary.py train  --corpus work/vocabulary.txt --out tokenizer.model
    python vocabulary.py encode --corpus work/train.txt --out work/train.npy

A refresh encodes with the committed tokenizer.model; it never trains another, or the checkpoint
would no longer fit.
"""

import argparse
from pathlib import Path

import numpy as np
import sentencepiece

SIZE = 1792


def train(corpus, out):
    """BPE with byte fallback, in the dialect that llama.cpp calls "llama"."""
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(out.with_suffix("")),
        model_type="bpe",
        vocab_size=SIZE,
        byte_fallback=True,
        character_coverage=1.0,
        # llama.cpp neither normalises text nor folds its spaces, so training must not either.
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=True,
        # Rare letters and digits are spelled without falling back to bytes.
        required_chars="ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.,;:!?'\"()-",
        unk_id=0, bos_id=1, eos_id=2, pad_id=-1,
        num_threads=2,
        minloglevel=2,
    )
    out.with_suffix(".vocab").unlink()


def encode(model, corpus, out):
    """Writes one flat array: every story between BOS and EOS."""
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=str(model))
    stories = tokenizer.encode(corpus.read_text().splitlines(), add_bos=True, add_eos=True)
    lengths = np.array([len(story) for story in stories])
    np.save(out, np.concatenate([np.array(story, np.uint16) for story in stories]))
    print(f"{len(stories)} stories, {lengths.sum()} tokens; a story has {lengths.mean():.0f} on average, "
          f"{np.percentile(lengths, 95):.0f} at the 95th percentile, {lengths.max()} at most")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=["train", "encode"])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, default=Path(__file__).parent / "tokenizer.model")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.step == "train":
        train(args.corpus, args.out)
    else:
        encode(args.tokenizer, args.corpus, args.out)


if __name__ == "__main__":
    main()
