"""What the bundle's card says about the model, measured with the float64 reference.

    python evaluate.py ../../sentence/1.0.0/sentence-q8_0.gguf --work work

Beside every figure of the student stands that of a bag of words (tf-idf, its weights counted on the
training texts), and what is left of the teacher in as few components as the student has.
"""

import argparse
import importlib.util
import math
import re
from collections import Counter
from pathlib import Path

import numpy as np

from reference import Reference

HERE = Path(__file__).parent
NEAR = 10
# What people said of the Lee corpus stands in gensim's tests; without the package it is left out.
LEE = ("lee.cor", "similarities0-1.txt")


def ranks(values):
    """Ranks; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[inverse]


def pearson(a, b):
    return float(np.corrcoef(a, b)[0, 1])


def spearman(a, b):
    return pearson(ranks(a), ranks(b))


def bag_of_words(train):
    """texts -> tf-idf vectors of length one."""
    words_of = lambda text: re.findall(r"\w+", text.lower())
    lines = train.read_text().splitlines()
    seen = Counter(word for line in lines for word in set(words_of(line)))
    weight = lambda word: math.log((1 + len(lines)) / (1 + seen[word])) + 1

    def embed(texts):
        bags = [Counter(words_of(text)) for text in texts]
        columns = {word: i for i, word in enumerate(sorted({word for bag in bags for word in bag}))}
        out = np.zeros((len(texts), len(columns)), np.float32)
        for row, bag in zip(out, bags):
            for word, count in bag.items():
                row[columns[word]] = count * weight(word)
        return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-9)
    return embed


def figures(vectors, teacher):
    """How far the similarities of some vectors are those of the teacher's."""
    own, true = (x.astype(np.float32) @ x.T.astype(np.float32) for x in (vectors, teacher))
    pairs = np.triu_indices(len(own), 1)
    for table in (own, true):
        np.fill_diagonal(table, -2)
    near = np.argsort(-true, 1)[:, :NEAR]
    rows = np.arange(len(own))[:, None]
    best = own.argmax(1)
    return {
        "pearson": pearson(own[pairs], true[pairs]), "spearman": spearman(own[pairs], true[pairs]),
        "near": spearman(own[rows, near].ravel(), true[rows, near].ravel()),
        "top1": float((best == near[:, 0]).mean()), "top5": float((best[:, None] == near[:, :5]).any(1).mean()),
    }


def matters(path=HERE / "questions.txt"):
    """Texts, and the number of the matter that each is about."""
    blocks = "".join(line for line in path.read_text().splitlines(True) if not line.startswith("#")).strip().split("\n\n")
    texts = [(text, number) for number, block in enumerate(blocks) for text in block.strip().splitlines()]
    return [text for text, _ in texts], np.array([number for _, number in texts])


def same_matter(vectors, numbers):
    """How often the nearest other text is about the same matter."""
    table = vectors @ vectors.T
    np.fill_diagonal(table, -2)
    return float((numbers[table.argmax(1)] == numbers).mean())


def lee():
    """(texts, people's similarities of all pairs) of the Lee corpus, or None."""
    package = importlib.util.find_spec("gensim")
    if not package:
        return None
    folder = Path(package.submodule_search_locations[0]) / "test" / "test_data"
    texts = (folder / LEE[0]).read_text("latin-1").splitlines()
    said = np.loadtxt(folder / LEE[1])
    return texts, said[np.triu_indices(len(texts), 1)]


def measure(model, work):
    """{test: {who: {figure: value}}}; who is the student, the bag of words or the teacher."""
    from teach import teach
    from train import CONFIG, components, projected
    directions, _ = components(np.load(work / "train-teacher.npy", mmap_mode="r"), CONFIG["dim"])
    bag, found = bag_of_words(work / "train.txt"), {}
    for name in ("held-out", "chats"):
        texts, teacher = (work / f"{name}.txt").read_text().splitlines(), np.load(work / f"{name}-teacher.npy").astype(np.float32)
        who = {"student": model.embed(texts), "tf-idf": bag(texts), "components": projected(teacher, directions)}
        found[name] = {key: figures(vectors, teacher) for key, vectors in who.items()} | {"count": len(texts)}
    texts, numbers = matters()
    who = {"student": model.embed(texts), "tf-idf": bag(texts), "teacher": teach(texts)}
    found["questions"] = {key: {"same": same_matter(vectors, numbers)} for key, vectors in who.items()} | {"count": len(texts)}
    if lee():
        texts, said = lee()
        pairs = np.triu_indices(len(texts), 1)
        who = {"student": model.embed(texts), "tf-idf": bag(texts), "teacher": teach(texts)}
        found["lee"] = {key: {"pearson": pearson((v @ v.T)[pairs], said)} for key, v in who.items()} | {"count": len(texts)}
    return found


def evaluations(found):
    """The card's evaluations: name, value, method."""
    how = "student's float64 reference over the q8_0 weights, against all-MiniLM-L6-v2 in float32"
    sets = {"held-out": "held-out sentences (WordNet 1400, Austen 300, Python documentation 300)",
            "chats": "sentences of a chat bot's corpus, a source that training never saw"}
    entries = []

    def add(name, test, key, method, other="components"):
        values = {who: round(row[key], 3) for who, row in found[test].items() if who != "count"}
        said = {"components": "the teacher cut to as many components", "teacher": "the teacher"}[other]
        entries.append({"name": name, "value": values["student"],
                        "method": f"{method}; a tf-idf bag of words has {values['tf-idf']}, {said} {values[other]}"})

    for test, what in sets.items():
        count = found[test]["count"]
        add(f"Pearson correlation with the teacher, {test}", test, "pearson", f"cosines of all pairs of {count} {what}; {how}")
        add(f"Spearman correlation with the teacher, {test}", test, "spearman", f"the same pairs")
        add(f"Spearman correlation with the teacher, near pairs, {test}", test, "near",
            f"cosines of each of the {count} sentences with the {NEAR} that the teacher finds nearest")
        add(f"nearest neighbour is the teacher's, {test}", test, "top1", f"among the {count} sentences")
        add(f"nearest neighbour is among the teacher's five, {test}", test, "top5", f"among the {count} sentences")
    count = found["questions"]["count"]
    add("nearest question is about the same matter", "questions", "same",
        f"{count} questions and requests in the recipe's questions.txt, four to a matter, written for this test by who wrote "
        "the training phrases, none of them trained on", "teacher")
    if "lee" in found:
        add("Pearson correlation with people, Lee corpus", "lee", "pearson",
            f"all pairs of {found['lee']['count']} news texts of 50 to 130 words, mean of people's judgements", "teacher")
    return entries


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--work", type=Path, default=HERE / "work", help="the folder with the texts and the teacher's vectors")
    args = parser.parse_args()
    found = measure(Reference(args.model), args.work)
    for test, rows in found.items():
        for who, row in rows.items():
            if who != "count":
                print(f"{test:10} {who:10}", "  ".join(f"{key} {value:.3f}" for key, value in row.items()))


if __name__ == "__main__":
    main()
