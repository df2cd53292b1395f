// Another operator swaps a version while a request is in flight: the page shows every state that it goes through, and the
// drain, without being asked.
import assert from "node:assert/strict";
import { ask, card, eventually, generation, open, row, variable } from "./page.mjs";

const APP = variable("BOBBIN_APP");

/** A story in events so heavy that it waits for its reader, who has read one of them. */
async function slowly() {
  const abort = new AbortController();
  const body = JSON.stringify({ prompt: "Once upon a time", max_tokens: 200, temperature: 0 });
  const response = await fetch(new URL("/f3/pad-stream", APP), { method: "POST", body, signal: abort.signal });
  const reader = response.body.getReader();
  await reader.read();
  return { leave: () => abort.abort(), version: response.headers.get("bobbin-bundle") };
}

await open({}, async (page) => {
  await card(page, "story").waitFor();
  const spoken = page.locator('[aria-live="polite"]');
  // Everything that the card's table and the live region ever show.
  await page.evaluate(() => {
    window.seen = [];
    window.said = [];
    const look = () => {
      for (const row of document.querySelectorAll("#releases tr[data-role]")) {
        const bar = row.querySelector("progress");
        const [name, state] = [row.querySelector(".bundle").textContent, row.querySelector(".badge").textContent.trim()];
        window.seen.push(`${row.dataset.role} ${name} ${state}${bar?.hasAttribute("value") && bar.value > 0 && bar.value < 100 ? " moving" : ""}`);
      }
      window.said.push(document.querySelector('[aria-live="polite"]').textContent);
    };
    new MutationObserver(look).observe(document.getElementById("app"), { subtree: true, childList: true, characterData: true, attributes: true });
  });
  const story = await slowly();
  assert.equal(story.version, "storyteller@1.0.0");
  await eventually("the request is in flight", async () => (await row(page, "story", "stable").locator("td").nth(2).innerText()) === "1");

  const swapped = ask("PUT", "/admin/v1/releases/story?wait=ready", { expected_generation: 1, stable: "storyteller@1.2.0", reason: "a swap" });
  await row(page, "story", "coming").getByText("storyteller@1.2.0").waitFor();
  await generation(page, "story", 2);
  await swapped;
  await row(page, "story", "stable").getByText("storyteller@1.2.0").waitFor();
  await row(page, "story", "draining").getByText("storyteller@1.0.0").waitFor();
  assert.equal(await row(page, "story", "draining").locator("td").nth(2).innerText(), "1");
  await card(page, "story").getByText("another operator (127.0.0.1)").waitFor();
  story.leave();
  await row(page, "story", "draining").waitFor({ state: "detached" });
  await row(page, "story", "previous").getByText("kept warm").waitFor();

  const seen = await page.evaluate(() => [...new Set(window.seen)]);
  for (const state of ["verifying", "verifying moving", "loading", "warming"]) {
    assert.ok(seen.includes(`coming storyteller@1.2.0 ${state}`), `${state} was never shown, but:\n${seen.join("\n")}`);
  }
  assert.ok(seen.includes("stable storyteller@1.2.0 ready"), seen.join("\n"));
  await eventually("the new generation is spoken of", () => page.evaluate(() => window.said.some((line) => line.includes("generation 2"))));
  assert.ok((await spoken.textContent()).length > 0);
  await page.locator("#history .log").getByText("Drain of storyteller@1.0.0: started").waitFor();
  await page.locator("#workers tbody tr").filter({ hasText: "storyteller@1.2.0" }).waitFor();
});
