"""Writes a corpus of little stories from the grammar in plots.txt and a theme.

    python generate.py --theme meadow --stories 60000 --seed 1 --out work/train.txt

One story a line. The same arguments always write the same file.
"""

import argparse
import random
import re
import tomllib
from pathlib import Path

HERE = Path(__file__).parent

# Share of stories whose names are made up of syllables. They teach the model to copy a name it has
# never seen, which is what keeps a reader's own name alive through the story.
INVENTED_NAMES = 0.2
# Share of stories that answer a request ("Tell me a story about a fox."), so that chat works too.
REQUESTS = 0.10
# Share of stories that open in the middle of a day ("One day, a girl named Lily ...").
DAY_OPENINGS = 0.22
# Keeps a story well inside the context of 256 tokens; a word is about 1.3 tokens.
MAX_WORDS = 128

PRONOUNS = {"he": ("he", "him", "his", "himself"), "she": ("she", "her", "her", "herself")}


def load_plots(path):
    """Reads plots.txt: section name -> (topic, list of scenes), a scene being a list of lines."""
    sections, scenes = {}, None
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            continue
        if line.startswith("== "):
            name, _, topic = line[3:].partition(":")
            scenes = [[]]
            sections[name.strip()] = (topic.strip(), scenes)
        elif not line.strip():
            if scenes and scenes[-1]:
                scenes.append([])
        else:
            scenes[-1].append("" if line.strip() == "-" else line.strip())
    for _, scenes in sections.values():
        if not scenes[-1]:
            scenes.pop()
    return sections


def load_theme(name):
    return tomllib.loads((HERE / "themes" / f"{name}.toml").read_text())


def invented_name(rng, pronoun):
    """Two syllables; the last vowel agrees with the pronoun, so the pronoun can be guessed."""
    onset = lambda: rng.choice(["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "dr", "tr"])
    last = rng.choice(["a", "a", "ie"]) if pronoun == "she" else rng.choice(["o", "o", "us", "in"])
    return (onset() + rng.choice("aeiou") + onset() + last).capitalize()


def character(rng, theme, wanted_pronoun=None, other_kind=None):
    """Draws a kind, an adjective, a pronoun and a name that agree with each other."""
    unfit = {"he": "girl", "she": "boy"}.get(wanted_pronoun)
    sorts = [k for k in theme["kind"] if k["sort"] != unfit]
    entry = rng.choices(sorts, [k["weight"] for k in sorts])[0]
    kind = rng.choice(entry["names"])
    if kind == other_kind:
        return character(rng, theme, wanted_pronoun, other_kind)
    fixed = {"girl": "she", "boy": "he"}.get(entry["sort"])
    pronoun = fixed or wanted_pronoun or rng.choice(["he", "she"])
    names = {"animal": pronoun, "robot": f"robot_{pronoun}"}.get(entry["sort"], entry["sort"])
    name = rng.choice(theme["names"][names])
    if rng.random() < INVENTED_NAMES:
        name = invented_name(rng, pronoun)
    called = f"{rng.choice(['little', 'young'])} {name}" if fixed else f"{name} the {kind}"
    he, him, his, himself = PRONOUNS[pronoun]
    return {
        "name": name, "called": called, "kind": kind, "adj": rng.choice(theme["adj"]), "home": rng.choice(entry["homes"]),
        "he": he, "him": him, "his": his, "himself": himself, "pronoun": pronoun,
    }


def bind(rng, theme):
    """Chooses every slot of one story at once: this is what keeps it consistent."""
    hero = character(rng, theme)
    # Hero and friend never share a pronoun or a kind, so "he" and "the fox" always point at one of them.
    other = "she" if hero["pronoun"] == "he" else "he"
    friend = character(rng, theme, other, hero["kind"])
    slots = dict(hero, hero=hero["name"], hero_called=hero["called"])
    slots |= {"f" + key: value for key, value in friend.items()}
    slots |= {"friend": friend["name"], "friend_called": friend["called"]}

    for name in ("setting", "out", "at", "hobby", "game", "food", "some", "hideout", "elder",
                 "treasure", "prize", "racecourse", "light", "storm", "blockage"):
        slots[name] = rng.choice(theme[name])
    slots["spot1"], slots["spot2"], slots["spot3"] = rng.sample(theme["spot"], 3)
    slots["noun"] = rng.choice(theme["object_noun"])
    slots["obj"] = f"{rng.choice(theme['object_adj'])} {slots['noun']}"
    for table in ("landmark", "fear", "gift", "creature", "mystery", "grow"):
        weights = [entry.get("weight", 1) for entry in theme[table]]
        for key, value in rng.choices(theme[table], weights)[0].items():
            slots[key] = rng.choice(value) if isinstance(value, list) else value
    return slots


def pick_alternatives(rng, text):
    """Resolves [one|other], innermost first."""
    while "[" in text:
        text = re.sub(r"\[([^\[\]]*)\]", lambda m: rng.choice(m[1].split("|")), text)
    return text


def fill(text, slots):
    """Fills slots until none is left (slot values may hold slots themselves)."""
    def value(match):
        name = match[1]
        if name in slots:
            return str(slots[name])
        word = str(slots[name[0].lower() + name[1:]])
        return word[0].upper() + word[1:]

    while "{" in text:
        text = re.sub(r"\{(\w+)\}", value, text)
    return text


def articles(text):
    return re.sub(r"\b([Aa]) (?=[aeiou])", r"\1n ", text)


def ally(rng, slots, told):
    """The friend's name, with an introduction if the story has not named the friend yet."""
    if slots["friend"] in told:
        return "{friend}"
    return rng.choice(["{his} friend {friend_called}", "{his} friend {friend}, a {fadj} {fkind}"])


def story(rng, plots, theme):
    """One story that fits: every plot is equally likely, its long tellings are drawn again."""
    topic, scenes = rng.choice([section for section in plots.values() if section[0]])
    while True:
        text = tell(rng, plots, theme, topic, scenes)
        if len(text.split()) <= MAX_WORDS:
            return text


def tell(rng, plots, theme, topic, scenes):
    """One telling of a plot, with a request before it now and then."""
    slots = bind(rng, theme)
    slots["topic"] = topic
    slots["ending"] = pick_alternatives(rng, rng.choice(plots["ending"][1][0]))

    by_day = rng.random() < DAY_OPENINGS
    opening = plots["opening day" if by_day else "opening"][1][0]
    slots["once"] = rng.choice(
        ["that day", "that day", "soon"] if by_day
        else ["one day", "one day", "one day", "one morning", "one afternoon"])

    lines = [rng.choice(scene) for scene in [opening, *scenes]]
    if rng.random() < REQUESTS:
        lines.insert(0, rng.choice(plots["request"][1][0]))
    told = ""
    for line in filter(None, lines):
        slots["ally"] = ally(rng, slots, told)
        told += " " + fill(pick_alternatives(rng, line), slots)
    return articles(told.strip())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--theme", action="append", required=True, help="a file of themes/; repeat to mix themes evenly")
    parser.add_argument("--stories", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()

    rng = random.Random(args.seed)
    plots = load_plots(HERE / "plots.txt")
    themes = [load_theme(name) for name in args.theme]
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w") as out:
        for number in range(args.stories):
            out.write(story(rng, plots, themes[number % len(themes)]) + "\n")


if __name__ == "__main__":
    main()
