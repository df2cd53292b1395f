"""Functions that a model calls, through the stock client for Python and through LangChain."""

import json
from typing import Literal

import openai
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

client = openai.OpenAI(max_retries=0)
USER = [{"role": "user", "content": "Once upon a time"}]


class Weather(BaseModel):
    city: Literal["Prague", "Brno"]
    days: Literal[1, 2, 3]


ASK = {
    "model": "storyteller", "max_tokens": 120, "tool_choice": "required", "parallel_tool_calls": False,
    "tools": [openai.pydantic_function_tool(Weather)],
}

# The client checks the arguments by the model itself.
parsed = client.chat.completions.parse(messages=USER, **ASK).choices[0]
assert parsed.finish_reason == "tool_calls", parsed
assert isinstance(parsed.message.tool_calls[0].function.parsed_arguments, Weather), parsed

# The messages go back as the client gave them, and what came of the call with them.
call = parsed.message.tool_calls[0]
result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
answer = client.chat.completions.create(messages=[*USER, parsed.message, result], **{**ASK, "tool_choice": "none", "max_tokens": 8})
assert answer.choices[0].message.content and not answer.choices[0].message.tool_calls, answer

with client.chat.completions.stream(messages=USER, **ASK) as stream:
    done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
    assert len(done) == 1 and Weather(**json.loads(done[0].arguments)), done


@tool
def weather(city: Literal["Prague", "Brno"]) -> str:
    """Says how the weather is."""
    return f"sunny in {city}"


chain = ChatOpenAI(model="storyteller", max_tokens=120, max_retries=0).bind_tools([weather], tool_choice="any")
called = chain.invoke("Once upon a time").tool_calls
assert called and weather.invoke(called[0]).content.startswith("sunny in "), called
pieces = None
for piece in chain.stream("Once upon a time"):
    pieces = piece if pieces is None else pieces + piece
assert pieces.tool_calls[0]["args"]["city"] in ("Prague", "Brno"), pieces
print("all of it")
