// A prompt on two versions side by side: streamed, shaded, escaped, stopped, and refused in words.
import assert from "node:assert/strict";
import { ask, card, eventually, open, picture, row } from "./page.mjs";

await ask("PUT", "/admin/v1/releases/story?wait=ready", {
  expected_generation: 1,
  candidate: { bundle: "storyteller@1.1.0", weight: 10 },
});

await open({}, async (page) => {
  const part = page.locator("#playground");
  await row(page, "story", "candidate").getByText("ready").waitFor();
  const answers = part.locator("article");
  await eventually("where there are two versions, both are asked", async () => (await answers.count()) === 2);
  const status = (column) => answers.nth(column).locator(".text").getAttribute("data-status");
  const both = async (wanted) => (await status(0)) === wanted && (await status(1)) === wanted;

  // Every number of tokens that is ever shown.
  await page.evaluate(() => {
    window.steps = [new Set(), new Set()];
    const look = () => document.querySelectorAll("#playground .text").forEach((text, column) => window.steps[column].add(text.dataset.tokens));
    new MutationObserver(look).observe(document.getElementById("playground"), { subtree: true, attributes: true, childList: true });
  });
  await part.getByLabel("Prompt").fill("Once upon a time");
  await part.getByRole("button", { name: "Run" }).click();
  await eventually("both answers are whole", () => both("whole"));
  for (const [column, bundle] of ["storyteller@1.0.0", "storyteller@1.1.0"].entries()) {
    const answer = answers.nth(column);
    await answer.getByRole("heading", { name: bundle }).waitFor();
    const text = await answer.locator(".text").innerText();
    assert.ok(text.trim().split(/\s+/).length > 15, text);
    assert.ok(await answer.locator(".text span[class^=s]").count() > 15, "tokens are shaded");
    assert.match(await answer.locator(".text span").first().getAttribute("title"), /log-probability -?\d/);
    assert.match(await answer.innerText(), /\d+ tokens · .*\/s · first after/);
    assert.match(await answer.innerText(), /nats per token/);
  }
  const steps = await page.evaluate(() => window.steps.map((one) => one.size));
  assert.ok(steps.every((count) => count > 3), `the answers came in ${steps} steps`);
  const first = await answers.nth(0).locator(".text").innerText();
  assert.notEqual(first, await answers.nth(1).locator(".text").innerText(), "two versions, one seed, two stories");
  await page.locator("#playground").scrollIntoViewIfNeeded();
  await page.evaluate(() => document.getElementById("playground").scrollIntoView({ behavior: "instant" }));
  await picture(page, "console-playground.png", { clip: await clip(page) });

  // The same seed tells the same story; without shading it is plain text.
  await part.getByLabel("Shade by log-probability").uncheck();
  assert.equal(await answers.nth(0).locator(".text span").count(), 0);
  assert.equal(await answers.nth(0).locator(".text").innerText(), first);
  await part.getByLabel("Shade by log-probability").check();

  // What a model writes is text, whatever it looks like.
  const tags = '<script>window.broken=1</script><img src=x onerror=window.broken=1>';
  await part.getByText("More options").click();
  await part.getByLabel(/As wasi-nn has them/).fill(JSON.stringify({ grammar: `root ::= ${JSON.stringify(tags)}` }));
  await part.getByRole("button", { name: "Run" }).click();
  await eventually("both answers are whole", async () => (await both("whole")) && (await answers.nth(0).locator(".text").innerText()) !== first);
  assert.equal(await answers.nth(0).locator(".text").innerText(), tags);
  assert.equal(await page.evaluate(() => window.broken), undefined);
  assert.equal(await part.locator("img, script").count(), 0);

  // Options that are none, and one that the model does not know.
  await part.getByLabel(/As wasi-nn has them/).fill("{");
  await part.getByRole("button", { name: "Run" }).click();
  await part.getByText("The further options are no JSON").waitFor();
  await part.getByLabel(/As wasi-nn has them/).fill('{"n_gpu_layers": 99}');
  await part.getByRole("button", { name: "Run" }).click();
  await answers.nth(0).getByText('unknown option "n_gpu_layers"').waitFor();

  // More than the model reads: both answers are over, and nobody is told to wait for them.
  await part.getByLabel(/As wasi-nn has them/).fill("");
  await part.getByLabel("Prompt").fill("Once upon a time ".repeat(3000));
  await part.getByRole("button", { name: "Run" }).click();
  await eventually("both answers have failed", () => both("failed"));
  for (const column of [0, 1]) {
    const text = await answers.nth(column).innerText();
    assert.match(text, /tokens/);
    assert.doesNotMatch(text, /waiting/);
    assert.equal(await answers.nth(column).getAttribute("aria-busy"), "false");
  }
  await part.getByRole("button", { name: "Run" }).waitFor();
  await part.getByLabel("Prompt").fill("Once upon a time");

  // One that goes on for long is stopped, and the host is told.
  await part.getByLabel(/As wasi-nn has them/).fill('{"grammar": "root ::= [a-z ]+"}');
  await part.getByLabel("Tokens at most").fill("230");
  await part.getByLabel("Beside it").selectOption("");
  await eventually("one answer is left", async () => (await answers.count()) === 1);
  // From within the page: this model is faster than whoever would click from outside. Now and then it is faster than the page,
  // too, and has told all of it in one piece.
  await page.evaluate(() => {
    const stop = () => {
      if (Number(document.querySelector("#playground .text").dataset.tokens) === 0) return;
      const button = [...document.querySelectorAll("#playground button")].find((one) => one.textContent === "Stop");
      button?.click();
    };
    new MutationObserver(stop).observe(document.getElementById("playground"), { subtree: true, attributes: true, childList: true });
  });
  let told = Infinity;
  for (let attempt = 0; told >= 230; attempt += 1) {
    assert.ok(attempt < 20, "no answer could be stopped before its end");
    await part.getByRole("button", { name: "Run" }).click();
    await eventually("it is over", async () => ["stopped", "whole"].includes(await status(0)));
    told = (await status(0)) === "stopped" ? Number(await answers.nth(0).locator(".text").getAttribute("data-tokens")) : Infinity;
  }
  await answers.nth(0).getByText("Stopped.").waitFor();
  await eventually("nothing is computed any more", async () => {
    const { workers } = await ask("GET", "/admin/v1/workers");
    return workers.every(({ process }) => process === null || process.running === 0);
  });
  // What was tried out is accounted, under a route of its own.
  const metrics = await (await fetch(new URL("/metrics", page.url()))).text();
  assert.match(metrics, /bobbin_output_tokens_total\{route="admin:playground",graph="story",bundle="storyteller@1\.1\.0"\} \d+/);
  await card(page, "story").waitFor();
}, ["422"]);

async function clip(page) {
  const box = await page.locator("#playground").boundingBox();
  return { x: 0, y: Math.max(0, box.y - 16), width: 1360, height: box.height + 32 };
}
