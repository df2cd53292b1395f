// A canary is started, stepped and promoted, and rolled back, by keyboard alone; each change is named before it is made.
import assert from "node:assert/strict";
import { ask, card, choosable, eventually, generation, open, picture, row } from "./page.mjs";

/** Goes on with the tab key until what has the focus is called this. */
async function tabTo(page, name) {
  for (let steps = 0; steps < 80; steps += 1) {
    await page.keyboard.press("Tab");
    const focused = await page.evaluate(() => {
      const one = document.activeElement;
      return one?.getAttribute("aria-label") ?? one?.labels?.[0]?.textContent ?? one?.textContent ?? "";
    });
    if (focused.trim().startsWith(name)) return;
  }
  assert.fail(`the tab key does not lead to ${name}`);
}

async function cell(dialog, what, column) {
  const cells = dialog.locator("tr", { has: dialog.page().getByRole("rowheader", { name: what, exact: true }) }).locator("td");
  return cells.nth(column).innerText();
}

await open({ reducedMotion: "reduce" }, async (page, seen) => {
  await card(page, "story").waitFor();
  await generation(page, "story", 1);
  await choosable(page, "story");

  await tabTo(page, "Skip to the releases");
  await page.keyboard.press("Enter");
  await tabTo(page, "Start canary …");
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.waitFor();
  assert.equal(await dialog.getByRole("heading").innerText(), "Start a canary");
  // A dialog that is left changes nothing, and gives the focus back.
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Start canary …");
  await page.keyboard.press("Enter");
  await dialog.waitFor();

  await tabTo(page, "Share, in percent");
  await page.keyboard.press("ControlOrMeta+A");
  await page.keyboard.type("25");
  await tabTo(page, "Why");
  await page.keyboard.type("a look at the <b>sea</b>");
  await tabTo(page, "Who");
  await page.keyboard.type("Zoë of ops");
  assert.equal(await cell(dialog, "Candidate", 0), "none");
  assert.equal(await cell(dialog, "Candidate", 1), "storyteller@1.1.0 at 25 %");
  assert.equal(await cell(dialog, "Generation", 1), "2");
  await picture(page, "console-canary.png");
  await tabTo(page, "Start canary at 25 %");
  await page.keyboard.press("Enter");
  await dialog.waitFor({ state: "detached" });
  await generation(page, "story", 2);
  await row(page, "story", "candidate").getByText("ready").waitFor();
  assert.equal(await row(page, "story", "candidate").locator("td").nth(1).innerText(), "25 %");
  assert.equal(await row(page, "story", "stable").locator("td").nth(1).innerText(), "75 %");

  await tabTo(page, "Step …");
  await page.keyboard.press("Enter");
  await dialog.getByRole("button", { name: "50", exact: true }).waitFor();
  assert.equal(await cell(dialog, "Candidate's share", 1), "50 %", "the next usual share is proposed");
  await tabTo(page, "Step to 50 %");
  await page.keyboard.press("Enter");
  await generation(page, "story", 3);
  assert.equal(await row(page, "story", "candidate").locator("td").nth(1).innerText(), "50 %");

  // Whoever confirms what is no longer so is told, and must look again.
  await card(page, "story").getByRole("button", { name: "Promote …" }).click();
  await dialog.waitFor();
  await ask("PUT", "/admin/v1/releases/story?wait=ready", { expected_generation: 3, drain_seconds: 7, reason: "meanwhile" });
  await dialog.getByText("The release has moved on").waitFor();
  assert.ok(await dialog.getByRole("button", { name: "Promote storyteller@1.1.0" }).isDisabled());
  await dialog.getByRole("button", { name: "Look again" }).click();
  assert.equal(await cell(dialog, "Generation", 1), "5");
  assert.equal(await cell(dialog, "Stable", 1), "storyteller@1.1.0");
  await dialog.getByText("within 7 s").waitFor();
  await dialog.getByRole("button", { name: "Promote storyteller@1.1.0" }).click();
  await generation(page, "story", 5);
  await row(page, "story", "stable").getByText("storyteller@1.1.0").waitFor();
  await row(page, "story", "previous").getByText("kept warm").waitFor();
  assert.equal(await row(page, "story", "candidate").count(), 0);

  await card(page, "story").getByRole("button", { name: "Roll back …" }).click();
  await dialog.getByText("at once: it is still loaded").waitFor();
  await dialog.getByLabel("Why").fill("too salty");
  await dialog.getByRole("button", { name: "Roll back to storyteller@1.0.0" }).click();
  await generation(page, "story", 6);
  await row(page, "story", "stable").getByText("storyteller@1.0.0").waitFor();

  // The history has who, when and why, as they were written.
  const last = page.locator("#history tbody tr").first();
  await eventually("the rollback is in the history", async () => (await last.innerText()).includes("rolled back"));
  assert.match(await last.innerText(), /Zoë of ops \(127\.0\.0\.1\)[\s\S]*too salty/);
  const first = page.locator("#history tbody tr").filter({ hasText: "a look at the <b>sea</b>" });
  assert.equal(await first.count(), 1);

  const changes = seen.requests.filter(({ method }) => method !== "GET");
  assert.deepEqual(changes.map(({ method }) => method), ["PUT", "PUT", "POST", "POST"], "each change is one request");
  const told = await ask("GET", "/admin/v1/releases/story/history");
  assert.deepEqual(told.history.map(({ action }) => action), ["rollback", "promote", "put", "put", "put", "declared"]);
  assert.equal(told.history.at(-2).who, "Zoë of ops (127.0.0.1)");
});
