// The stock client for Node: everything that this server has for it.

import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const messages = [{ role: "user", content: "Once upon a time" }];
const ask = (more) => client.chat.completions.create({ model: "storyteller", messages, max_tokens: 20, ...more });

const names = [];
for await (const model of client.models.list()) names.push(model.id);
assert(names.includes("storyteller") && names.includes("embedder"), names);
assert.equal((await client.models.retrieve("storyteller")).object, "model");

const answer = await ask({ temperature: 0 });
assert.equal(answer.model, "storyteller@1.0.0");
let text = "";
let usage;
const stream = await ask({ temperature: 0, stream: true, stream_options: { include_usage: true } });
for await (const chunk of stream) {
  text += chunk.choices[0]?.delta?.content ?? "";
  usage = chunk.usage ?? usage;
}
assert.equal(text, answer.choices[0].message.content);
assert.equal(usage.total_tokens, answer.usage.total_tokens);

// The helper that puts the pieces together.
const helper = client.chat.completions.stream({ model: "storyteller", messages, max_tokens: 20, temperature: 0 });
assert.equal(await helper.finalContent(), text);

const completion = await client.completions.create({ model: "storyteller", prompt: "Once", max_tokens: 3, logprobs: 2 });
assert.equal(completion.choices[0].logprobs.tokens.length, 3);

const vectors = await client.embeddings.create({ model: "embedder", input: ["one", "two"] });
assert.deepEqual(vectors.data.map((row) => row.embedding.length), [192, 192]);

const schema = { type: "object", properties: { good: { type: "boolean" } }, required: ["good"], additionalProperties: false };
const format = { type: "json_schema", json_schema: { name: "mood", strict: true, schema } };
const mood = await client.chat.completions.parse({ model: "storyteller", messages, max_tokens: 60, response_format: format });
assert.equal(typeof mood.choices[0].message.parsed.good, "boolean");

await assert.rejects(ask({ model: "nothing" }), (error) => {
  assert(error instanceof OpenAI.NotFoundError);
  assert.deepEqual([error.code, error.param], ["model_not_found", "model"]);
  return true;
});
await assert.rejects(ask({ temperature: 9 }), (error) => error instanceof OpenAI.BadRequestError && error.param === "temperature");

// Leaves in the middle, twice.
for (const leave of [(stream) => stream.controller.abort(), () => {}]) {
  const long = await ask({ n: 100, max_tokens: 200, stream: true });
  for await (const _ of long) {
    leave(long);
    break;
  }
}

const stories = await Promise.all([...Array(16).keys()].map((seed) => ask({ seed })));
assert(stories.every((story) => story.choices[0].message.content.length > 0));
console.log("all of it");
