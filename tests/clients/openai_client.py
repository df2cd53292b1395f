"""The stock client for Python: everything that this server has for it."""

import asyncio
import os

import openai
from pydantic import BaseModel

client = openai.OpenAI(max_retries=0)
USER = [{"role": "user", "content": "Once upon a time"}]


def told(error: type[openai.APIStatusError], **request) -> openai.APIStatusError:
    try:
        client.chat.completions.create(**{"model": "storyteller", "messages": USER, **request})
    except error as raised:
        return raised
    raise AssertionError(f"no {error.__name__}")


def models() -> None:
    names = [model.id for model in client.models.list()]
    assert "storyteller" in names and "embedder" in names, names
    for name in names:
        assert client.models.retrieve(name).id == name


def whole() -> None:
    answer = client.chat.completions.create(
        model="storyteller", messages=USER, max_completion_tokens=12, n=2, seed=1, logprobs=True, top_logprobs=2,
        stop=["\u0001"], metadata={"team": "tales"}, user="anna",
    )
    assert answer.model == "storyteller@1.0.0" and answer._request_id, answer
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert all(choice.message.role == "assistant" and choice.message.content for choice in answer.choices)
    assert answer.usage.completion_tokens <= 24 and answer.usage.prompt_tokens > 1
    tokens = answer.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == answer.choices[0].message.content
    assert all(len(token.top_logprobs) == 2 for token in tokens)
    completion = client.completions.create(model="storyteller", prompt=["Once", "Tom"], max_tokens=3, logprobs=1)
    assert len(completion.choices) == 2 and len(completion.choices[1].logprobs.tokens) == 3, completion


def streamed() -> None:
    request = {"model": "storyteller", "messages": USER, "max_tokens": 30, "temperature": 0}
    chunks = list(client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].usage.completion_tokens == 30 and not chunks[-1].choices, chunks[-1]
    assert chunks[-2].choices[0].finish_reason == "length"
    assert len({chunk.id for chunk in chunks}) == 1
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1])
    assert text == client.chat.completions.create(**request).choices[0].message.content
    # The same through the helper that puts the pieces together.
    with client.chat.completions.stream(**request) as stream:
        done = [event for event in stream if event.type == "content.done"]
        assert done[0].content == text
    pieces = client.completions.create(model="storyteller", prompt="Once upon a time", max_tokens=8, stream=True)
    assert "".join(piece.choices[0].text for piece in pieces)


def embeddings() -> None:
    # The client asks for base64 by itself, and turns it into numbers.
    rows = client.embeddings.create(model="embedder", input=["Where is my parcel?", "I like it."]).data
    assert [len(row.embedding) for row in rows] == [192, 192]
    plain = client.embeddings.create(model="embedder", input="I like it.", encoding_format="float", dimensions=8)
    assert len(plain.data[0].embedding) == 8


class Mood(BaseModel):
    mood: bool
    age: int


def structured() -> None:
    parsed = client.chat.completions.parse(model="storyteller", messages=USER, response_format=Mood, max_tokens=100)
    assert isinstance(parsed.choices[0].message.parsed, Mood), parsed


def errors() -> None:
    missing = told(openai.NotFoundError, model="nothing")
    assert (missing.code, missing.param, missing.type) == ("model_not_found", "model", "invalid_request_error")
    wrong = told(openai.BadRequestError, n=1000)
    assert (wrong.code, wrong.param) == ("integer_above_max_value", "n")
    unknown = told(openai.BadRequestError, extra_body={"top_k": 3})
    assert (unknown.code, unknown.param) == ("unknown_parameter", "top_k")
    long = told(openai.BadRequestError, messages=[{"role": "user", "content": "once upon " * 2000}], stream=True)
    assert long.code == "context_length_exceeded", long


def cancelled() -> None:
    for _ in range(3):
        stream = client.chat.completions.create(model="storyteller", messages=USER, n=100, max_tokens=200, stream=True)
        next(iter(stream))
        stream.close()


async def parallel() -> None:
    async with openai.AsyncOpenAI() as many:

        async def one(number: int) -> str:
            request = {"model": "storyteller", "messages": USER, "max_tokens": 20, "seed": number}
            if number % 2:
                return (await many.chat.completions.create(**request)).choices[0].message.content
            stream = await many.chat.completions.create(**request, stream=True)
            return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

        stories = await asyncio.gather(*map(one, range(16)))
        assert all(stories) and len(set(stories)) > 1, stories


assert os.environ["OPENAI_BASE_URL"]
for check in (models, whole, streamed, embeddings, structured, errors, cancelled):
    check()
asyncio.run(parallel())
print("all of it")
