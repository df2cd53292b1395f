// Functions that a model calls, through the stock client for Node, which runs them by itself.

import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0 });
const messages = [{ role: "user", content: "Once upon a time" }];
const parameters = {
  type: "object",
  properties: { city: { enum: ["Prague", "Brno"] } },
  required: ["city"],
  additionalProperties: false,
};
const asked = [];
const run = ({ city }) => {
  asked.push(city);
  return `sunny in ${city}`;
};
const runner = client.chat.completions.runTools({
  model: "storyteller",
  messages,
  max_tokens: 120,
  parallel_tool_calls: false,
  // A function that is named is run once, and what came of it is the end.
  tool_choice: { type: "function", function: { name: "weather" } },
  tools: [{ type: "function", function: { name: "weather", description: "d", parameters, parse: JSON.parse, function: run } }],
});
await runner.done();
assert(asked.length >= 1 && asked.every((city) => ["Prague", "Brno"].includes(city)), asked);
assert(runner.messages.some((message) => message.role === "tool" && message.content.startsWith("sunny in ")));
console.log("all of it");
