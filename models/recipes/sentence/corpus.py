"""Writes the texts: what the model is trained on, and what it is tested on.

    python corpus.py --wordnet work/unpacked/usr/share/wordnet --austen work/unpacked/.../Rdata.rdb \
        --python-docs work/unpacked/.../_sources --chats work/chats --out work

One text a line. The same sources always give the same files. What is tested is drawn by a hash of
the text, so that it stays out of training however the rest changes.
"""

import argparse
import hashlib
import random
import re
import tomllib
import zlib
from pathlib import Path

import yaml

HERE = Path(__file__).parent
# One text in this many is held out.
HELD_OUT = 40
AUSTEN, PYTHON_DOCS = 20_000, 14_000
ABOUT_TOPICS, ABOUT_WORDS, KINDS = 30_000, 40_000, 14_000
# Texts of several sentences, up to what the context holds.
PARAGRAPHS = 6_000
PARAGRAPH_WORDS = (30, 150)


def read_synsets(folder, part):
    """(words, lexicographer's file, synset number, hypernym number or None, frames, gloss) of a data file."""
    for line in (folder / f"data.{part}").read_text().splitlines():
        if line.startswith(" "):
            continue
        left, _, gloss = line.partition(" | ")
        fields = left.split()
        count = int(fields[3], 16)
        words = [re.sub(r"\(\w+\)$", "", word).replace("_", " ") for word in fields[4:4 + 2 * count:2]]
        above = re.search(r" @ (\d{8}) n", left)
        frames = re.findall(r"\+ (\d\d) [0-9a-f]{2}", left)
        yield words, fields[1], fields[0], above and above[1], frames, gloss.strip()


def split_gloss(gloss):
    """A gloss is a definition and then examples in quotation marks."""
    examples = [e.strip() for e in re.findall(r'"([^"]+)"', gloss)]
    definition = re.split(r';?\s*"', gloss)[0].strip(" ;:")
    return definition, [e for e in examples if len(e.split()) > 2]


def common_words(folder, part):
    """Words that WordNet's tagged texts use, once for every sense used there: the common ones come oftener."""
    words = []
    for line in (folder / f"index.{part}").read_text().splitlines():
        fields = line.split() or [""]
        if re.fullmatch(r"[a-z_]{3,}", fields[0]):
            senses = int(fields[2])
            words += [fields[0].replace("_", " ")] * int(fields[-senses - 1])
    return words


def wordnet_texts(synsets):
    for _, _, _, _, _, gloss in synsets:
        definition, examples = split_gloss(gloss)
        yield from [definition, *examples]


def sentences_of(text):
    """Whole sentences of 4 to 40 words."""
    for sentence in re.split(r'(?<!Mr\.)(?<!Mrs\.)(?<!Dr\.)(?<=[.!?])["”\']?\s+(?=[A-Z"“])', " ".join(text.split())):
        sentence = sentence.strip().strip('"“”')
        if 4 <= len(sentence.split()) <= 40:
            yield sentence


def austen_texts(path):
    """Jane Austen's novels, out of an R package: strings in compressed, serialised vectors."""
    data = path.read_bytes()
    for start in (m.start() for m in re.finditer(b"x\x9c", data)):
        try:
            vector = zlib.decompressobj().decompress(data[start:])
        except zlib.error:
            continue
        lines, at = [], vector.find(b"\0\4\0\x09")
        while at >= 0:
            size = int.from_bytes(vector[at + 4:at + 8], "big")
            lines.append(vector[at + 8:at + 8 + size].decode("utf-8", "replace") if size < 2**20 else "")
            at = vector.find(b"\0\4\0\x09", at + 8 + (size if size < 2**20 else 0))
        for paragraph in "\n".join(lines).split("\n\n"):
            if not re.match(r"\s*(CHAPTER|VOLUME)", paragraph, re.I):
                yield from sentences_of(paragraph.replace("_", "").replace("--", " - "))


def python_texts(folder):
    """The paragraphs of Python's documentation, without markup, code and tables."""
    chapters = (path for name in ("faq", "howto", "library", "reference", "tutorial", "using") for path in (folder / name).rglob("*.txt"))
    for path in sorted(chapters):
        for block in re.split(r"\n\s*\n", path.read_text()):
            if re.match(r"\s*(\.\.|[-=*+|>#:]|\w+::)", block) or "::" in block or ">>>" in block:
                continue
            block = re.sub(r":[\w:]+:`[~!]?([^`<]+?)(?: <[^`]*>)?`", r"\1", block)
            block = re.sub(r"`{1,2}([^`]+?)(?: <[^`]*>)?`{1,2}_*|\*{1,2}([^*]+)\*{1,2}", lambda m: m[1] or m[2], block)
            yield from (s for s in sentences_of(block) if s[0].isalpha() and s[-1] in ".!?:")


def articles(text):
    return re.sub(r"\{a\} (\w)", lambda m: ("an " if m[1].lower() in "aeiou" else "a ") + m[1], text)


def varied(rng, text):
    """Now and then somebody else's, with a greeting, without capitals or the last mark."""
    if rng.random() < 0.15:
        text = re.sub(r"\bmy\b", rng.choice(["your", "his", "her", "our", "their", "the"]), text)
    if rng.random() < 0.08:
        text = rng.choice(["Hello, ", "Hi! ", "Excuse me, ", "Good morning. ", "Hey, "]) + text
    if rng.random() < 0.08:
        text += ("" if text[-1] in ".!?" else ".") + rng.choice([" Thank you!", " Please help.", " Thanks in advance.", " It is urgent."])
    if rng.random() < 0.3:
        text = text.replace("'", "’")
    text = text[0].upper() + text[1:] if text[-1] in ".!?" else text
    return text.lower().rstrip(".?!") if rng.random() < 0.15 else text


def topic_texts(rng, phrases):
    frames, topics = phrases["frames"], phrases["topic"]
    parts = [(part, phrase) for topic in topics for part in ("do", "wrong", "thing") for phrase in topic[part]]
    while True:
        part, phrase = rng.choice(parts)
        yield varied(rng, rng.choice(frames[part]).replace(f"{{{part}}}", phrase))


def word_texts(rng, phrases, folder, synsets):
    """Questions and statements about WordNet's common words: grammatical, and mostly about nothing."""
    nouns, adjectives = common_words(folder, "noun"), common_words(folder, "adj")
    people = {word for words, file, *_ in synsets if file == "18" for word in words}
    people = [noun for noun in nouns if noun in people]
    # Frame 8: somebody ----s something.
    transitive = {word for words, _, _, _, frames, _ in synsets if "08" in frames for word in words}
    verbs = [verb for verb in common_words(folder, "verb") if verb in transitive]
    while True:
        frame = rng.choice(phrases["frames"][rng.choice(["noun", "noun", "verb"])])
        slots = {"noun": nouns, "noun2": nouns, "adj": adjectives, "person": people, "verb": verbs}
        text = re.sub(r"\{(\w{2,})\}", lambda m: rng.choice(slots[m[1]]), frame)
        yield varied(rng, articles(text))


def kind_texts(rng, phrases, synsets):
    """What a word is a kind of, what it means, what else it is called."""
    names = {number: words[0] for words, file, number, *_ in synsets if 3 <= int(file) <= 28}
    rows = [row for row in synsets if row[3] in names or len(row[0]) > 1]
    while True:
        words, _, _, above, _, gloss = rng.choice(rows)
        frame = rng.choice(phrases["frames"]["kind"])
        slots = {"word": words[0], "above": names.get(above), "gloss": split_gloss(gloss)[0], "other": ", ".join(words[1:])}
        if all(slots[name] for name in re.findall(r"\{(\w{2,})\}", frame)):
            yield articles(re.sub(r"\{(\w{2,})\}", lambda m: slots[m[1]], frame))


def paragraphs(rng, texts):
    """Neighbouring sentences, until there are enough words."""
    while True:
        words, at, text = rng.randint(*PARAGRAPH_WORDS), rng.randrange(len(texts) - 60), ""
        while len(text.split()) < words:
            text += (" " if text else "") + texts[at]
            at += 1
        yield text


def chat_texts(folder):
    """A chat bot's corpus: only for tests."""
    for path in sorted(folder.rglob("english/*.yml")):
        for turns in yaml.safe_load(path.read_text())["conversations"]:
            yield from (str(turn) for turn in turns if 3 <= len(str(turn).split()) <= 40 and "\n" not in str(turn))


def take(count, texts):
    """So many different ones."""
    seen = {}
    for text in texts:
        seen[text] = None
        if len(seen) >= count:
            break
    return list(seen)


def is_held_out(text):
    return int.from_bytes(hashlib.sha256(text.lower().encode()).digest()[:4], "big") % HELD_OUT == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wordnet", type=Path, required=True, help="the folder with data.noun")
    parser.add_argument("--austen", type=Path, required=True, help="the R package's data/Rdata.rdb")
    parser.add_argument("--python-docs", type=Path, required=True, help="the folder with the .rst.txt files")
    parser.add_argument("--chats", type=Path, required=True, help="the chat bot's corpus, unpacked")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    rng = random.Random(1)
    phrases = tomllib.loads((HERE / "phrases.toml").read_text())
    synsets = [row for part in ("noun", "verb", "adj", "adv") for row in read_synsets(args.wordnet, part)]
    # One sentence stands in many books; what is held out of one source is held out of all.
    natural = [list(dict.fromkeys(texts)) for texts in (
        wordnet_texts(synsets), austen_texts(args.austen), python_texts(args.python_docs))]
    held_out = [[text for text in texts if is_held_out(text)] for texts in natural]
    wordnet, austen, docs = ([text for text in texts if not is_held_out(text)] for texts in natural)
    some = lambda texts, count: rng.sample(texts, min(count, len(texts)))
    made = {
        "topics": take(ABOUT_TOPICS, topic_texts(rng, phrases)),
        "words": take(ABOUT_WORDS, word_texts(rng, phrases, args.wordnet, synsets)),
        "kinds": take(KINDS, kind_texts(rng, phrases, [row for row in synsets if not is_held_out(split_gloss(row[5])[0])])),
        "paragraphs": take(PARAGRAPHS, paragraphs(rng, austen + docs + wordnet)),
    }
    parts = {"wordnet": wordnet, "austen": some(austen, AUSTEN), "python": some(docs, PYTHON_DOCS), **made}
    train = list(dict.fromkeys(text for texts in parts.values() for text in texts))
    seen = set(train)
    rng.shuffle(train)
    # As many of each source as make a mixed test of 2000; the topics' own frames are no test.
    test = [text for texts, count in zip(held_out, (1400, 300, 300)) for text in some(texts, count)]
    chats = [text for text in dict.fromkeys(chat_texts(args.chats)) if text not in seen]
    args.out.mkdir(parents=True, exist_ok=True)
    for name, texts in {"train": train, "held-out": test, "chats": some(chats, 1500)}.items():
        (args.out / f"{name}.txt").write_text("".join(" ".join(text.split()) + "\n" for text in texts))
    print({name: len(texts) for name, texts in parts.items()}, "train", len(train), "held out", len(test), "chats", len(chats))


if __name__ == "__main__":
    main()
