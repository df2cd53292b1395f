"""LangChain's ChatOpenAI and OpenAIEmbeddings."""

import asyncio

from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

model = ChatOpenAI(model="storyteller", max_tokens=20, temperature=0, max_retries=0)
MESSAGES = [SystemMessage("You tell stories."), HumanMessage("Once upon a time")]


class Mood(BaseModel):
    good: bool


answer = model.invoke(MESSAGES)
assert answer.content and answer.usage_metadata["output_tokens"] <= 20, answer
assert answer.response_metadata["model_name"] == "storyteller@1.0.0", answer
pieces = list(model.stream(MESSAGES, stream_usage=True))
assert "".join(piece.content for piece in pieces) == answer.content
assert sum(piece.usage_metadata["output_tokens"] for piece in pieces if piece.usage_metadata) <= 20
assert len(pieces) > 3, pieces
assert len(model.batch([MESSAGES] * 4)) == 4


async def left() -> None:
    async for _ in ChatOpenAI(model="storyteller", max_tokens=200, n=1).astream(MESSAGES):
        break


asyncio.run(left())
parsed = ChatOpenAI(model="storyteller", max_tokens=60).with_structured_output(Mood, method="json_schema").invoke(MESSAGES)
assert isinstance(parsed, Mood), parsed
# Otherwise it would count tokens by the rules of another model, and send their numbers.
embeddings = OpenAIEmbeddings(model="embedder", check_embedding_ctx_length=False)
assert len(embeddings.embed_query("Where is my parcel?")) == 192
print("all of it")
