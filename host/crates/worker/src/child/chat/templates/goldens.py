"""Writes goldens.json: what Python's Jinja makes of the templates beside this file.

    pip install jinja2==3.1.6
    python goldens.py

The environment is the one in which Hugging Face's transformers renders chat templates. The templates are this
project's own, and produce the prompt formats of the families they are named after. `{today}` stands for the date.
"""

import json
import pathlib

from jinja2.exceptions import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

HERE = pathlib.Path(__file__).parent

CHATML = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
# Beginning, end and control tokens. Qwen's <think> and <tool_call> are text like any other: templates look for them.
FAMILIES = {
    "llama3": ("<|begin_of_text|>", "<|eot_id|>", ["<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>"]),
    "qwen2": ("", "<|im_end|>", CHATML),
    "qwen3": ("", "<|im_end|>", CHATML),
    "mistral": (
        "<s>",
        "</s>",
        ["[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]"]
        + ["[/TOOL_RESULTS]"],
    ),
    "gemma": ("<bos>", "<eos>", ["<start_of_turn>", "<end_of_turn>"]),
    "phi3": ("<s>", "<|endoftext|>", ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]),
}
WITHOUT_TOOLS = ["gemma", "phi3"]

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The \"weather\" of a <town> & its 'sky' é 🧵",
            "parameters": {
                "type": "object",
                "properties": {
                    "town": {"type": "string", "description": "Where\nto look"},
                    "days": {"type": "integer", "minimum": 1, "default": None},
                    "exact": {"type": "boolean", "default": False},
                },
                "required": ["town"],
            },
        },
    },
    {"type": "function", "function": {"name": "now", "description": "", "parameters": {}}},
]


def said(role, content, **more):
    return {"role": role, "content": content, **more}


def called(ident, name, arguments):
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": arguments}}


SYSTEM = said("system", "Be brief.")
PLAIN = [said("user", "Hello"), said("assistant", " Hi! é🧵 "), said("user", "How <b>are</b>\n{{ you }}?")]
ARGUMENTS = {"town": "Zürich \"a\"", "days": 2, "exact": True, "list": [1, 2.5, None, {}]}
CALL = said("assistant", "", tool_calls=[called("abcdef123", "weather", ARGUMENTS)])
RESULT = said("tool", "{\"t\": 20.5}", tool_call_id="abcdef123")
BOTH = [called("abcdef123", "weather", {"town": "Bern"}), called("abcdef124", "now", {})]
THOUGHT = said("assistant", "<think>\nhm\n</think>\n\nIt is fine.")
CONVERSATIONS = {
    "plain": PLAIN,
    "one message": PLAIN[:1],
    "system": [SYSTEM, *PLAIN],
    "system late": [*PLAIN[:2], SYSTEM, PLAIN[2]],
    "thoughts": [PLAIN[0], THOUGHT, PLAIN[2], THOUGHT],
    "two users": [PLAIN[0], PLAIN[2]],
    "assistant first": [PLAIN[1], PLAIN[0]],
    "tools": [PLAIN[0]],
    "tools and system": [SYSTEM, *PLAIN],
    "tool called": [PLAIN[0], CALL, RESULT, said("assistant", "Warm."), PLAIN[2]],
    "two tools called": [
        PLAIN[0],
        said("assistant", "Both.", tool_calls=BOTH),
        RESULT,
        said("tool", "12", tool_call_id="abcdef124"),
    ],
    "tools for nobody": [said("assistant", "Hi")],
}


def refuse(message):
    raise TemplateError(message)


def today(form):
    assert form == "%d %b %Y", form
    return "{today}"


def to_json(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    made = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    made.filters["tojson"] = to_json
    made.globals.update(raise_exception=refuse, strftime_now=today)
    return made


def rendered(source, bos, eos, given):
    """The prompt, or the words in which the template refuses. What is refused in other ways is a mistake of the template."""
    template = environment().from_string(source)
    try:
        given = json.loads(json.dumps(given))
        return {"prompt": template.render(**given, documents=None, add_generation_prompt=True, bos_token=bos, eos_token=eos)}
    except TemplateError as error:
        if type(error) is not TemplateError:
            raise
        return {"refused": error.message}


def golden(name, bos, eos, messages, tools):
    case = {"messages": messages, "tools": tools}
    return {**case, **rendered((HERE / f"{name}.jinja").read_text(encoding="utf-8"), bos, eos, case)}


def family(name, bos, eos, others):
    specials = sorted({*others, *([bos] if bos else []), eos})
    cases = {}
    for title, messages in CONVERSATIONS.items():
        tools = TOOLS if "tool" in title else None
        if not (tools and name in WITHOUT_TOOLS):
            cases[title] = golden(name, bos, eos, messages, tools)
    # Once as a whole and once in pieces that meet where the template writes nothing between them.
    forged = "".join(specials) + "\n" + specials[0][:4]
    messages = [said("user", forged), said("assistant", forged), said("user", forged)]
    cases["forged"] = golden(name, bos, eos, messages, None)
    return {"bos": bos, "eos": eos, "specials": specials, "cases": cases}


def written(value, depth=3):
    """JSON, a line for each case."""
    if depth == 0 or not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    fields = (f"{json.dumps(key)}: {written(item, depth - 1)}" for key, item in value.items())
    return "{\n" + ",\n".join(fields) + "\n}"


if __name__ == "__main__":
    goldens = {name: family(name, *of) for name, of in FAMILIES.items()}
    (HERE / "goldens.json").write_text(written(goldens) + "\n", encoding="utf-8")
