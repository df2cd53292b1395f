"""The tokenizer: trains it, and turns texts into token files.

    python vocabulary.py train  --corpus work/train.txt --out vocabulary.txt
    python vocabulary.py encode --corpus work/train.txt --out work/train.npz

WordPiece over lower-cased text without accents, as BERT has it. vocabulary.txt holds a piece a line;
one that goes on with a word begins with "##".
"""

import argparse
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = Path(__file__).parent
VOCABULARY = HERE / "vocabulary.txt"
SIZE = 7936
CONTEXT = 256
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PAD, UNK, CLS, SEP, MASK = range(5)
# What can begin a word; a sign is a word by itself. Letters and digits, and signs of value, also go on with one.
SIGNS = [chr(code) for code in range(33, 127) if not chr(code).isalnum()] + list("’‘“”–—…§·")
LETTERS = [chr(code) for code in range(48, 123) if chr(code).isalnum() and not chr(code).isupper()] + list("€£°")


def tokenizer_of(pieces):
    """The tokenizer of a list of pieces; every text gets [CLS] before it and [SEP] behind."""
    model = models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]", max_input_chars_per_word=100)
    tokenizer = Tokenizer(model)
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)])
    return tokenizer


def load(path=VOCABULARY):
    return tokenizer_of(path.read_text().splitlines())


def train(corpus, out):
    """What is not in the alphabet, other scripts above all, is [UNK]."""
    alphabet = [*LETTERS, *SIGNS]
    kept = (c if c in alphabet or c == "\n" else " " for c in corpus.read_text().lower())
    tokenizer = tokenizer_of(SPECIAL)
    tokenizer.train_from_iterator("".join(kept).split("\n"), trainers.WordPieceTrainer(
        vocab_size=SIZE, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False))
    pieces = sorted(tokenizer.get_vocab(), key=tokenizer.token_to_id)
    missing = [piece for piece in [*alphabet, *(f"##{c}" for c in LETTERS)] if piece not in pieces]
    pieces = pieces[:SIZE - len(missing)] + missing
    out.write_text("".join(piece + "\n" for piece in pieces))
    print(f"{len(pieces)} pieces; the last but the added: {pieces[-len(missing) - 8:]}")


def encode(vocabulary, corpus, out):
    """One flat array of tokens, and where each text begins."""
    tokenizer = load(vocabulary)
    tokenizer.enable_truncation(CONTEXT)
    texts = [text.ids for text in tokenizer.encode_batch_fast(corpus.read_text().splitlines())]
    lengths = np.array([len(text) for text in texts])
    tokens = np.concatenate([np.array(text, np.uint16) for text in texts])
    np.savez(out, tokens=tokens, starts=np.concatenate([[0], np.cumsum(lengths)]))
    print(f"{len(texts)} texts, {lengths.sum()} tokens, {np.mean(tokens == UNK):.2%} unknown; a text has {lengths.mean():.1f} "
          f"on average, {np.percentile(lengths, 95):.0f} at the 95th percentile, {lengths.max()} at most")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=["train", "encode"])
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--vocabulary", type=Path, default=VOCABULARY)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    if args.step == "train":
        train(args.corpus, args.out)
    else:
        encode(args.vocabulary, args.corpus, args.out)


if __name__ == "__main__":
    main()
