// What cannot be done says why, before it is tried; and a share that the host would not take is refused in words.
import assert from "node:assert/strict";
import { ask, card, choosable, described, lateRepository, open, row } from "./page.mjs";

const WARNING = "is loaded already: at once";
let repository;

await open({ before: async (page) => (repository = await lateRepository(page)) }, async (page) => {
  const button = (graph, name) => card(page, graph).getByRole("button", { name });
  await row(page, "story", "stable").getByText("ready").waitFor();

  // Nothing can be chosen before it is known what there is.
  assert.equal(await button("story", "Start canary …").getAttribute("aria-disabled"), "true");
  assert.match(await described(button("story", "Start canary …")), /Reading which versions/);
  await page.locator("#playground").getByText("Reading the releases").waitFor();
  repository();
  await choosable(page, "story");
  assert.equal(await page.locator("#playground").getByLabel("Version").inputValue(), "storyteller@1.0.0");

  // One version is nothing to choose from: both buttons say so to whoever comes by with the tab key, and do nothing.
  for (const name of ["Start canary …", "Swap …"]) {
    const alone = button("sentence", name);
    await alone.focus();
    assert.ok(await alone.evaluate((one) => one === document.activeElement), `${name} can be reached`);
    assert.equal(await alone.getAttribute("aria-disabled"), "true");
    assert.match(await described(alone), /no other version of sentence/);
    await page.keyboard.press("Enter");
    assert.equal(await page.getByRole("dialog").count(), 0, `${name} opens nothing`);
  }
  await card(page, "sentence").getByText("no other version of sentence").waitFor();

  // Shares.
  await button("story", "Start canary …").click();
  const dialog = page.getByRole("dialog");
  const share = dialog.getByLabel("Share, in percent");
  const send = dialog.locator("button[type=submit]");
  for (const [typed, why] of [["150", /from 0 to 100 %, not 150/], ["-1", /from 0 to 100 %, not -1/], ["12.55", /one digit after the point/], ["", /Write a share/]]) {
    await share.fill(typed);
    await dialog.getByText(why).waitFor();
    assert.match(await described(share), why);
    assert.equal(await share.getAttribute("aria-invalid"), "true");
    assert.equal(await send.getAttribute("aria-disabled"), "true");
    assert.match(await described(send), why);
    assert.equal(await share.inputValue(), typed, "the field keeps what was typed");
    const cells = await dialog.locator(".differences td").allTextContents();
    assert.ok(cells.every((text) => !/-|−|NaN|12\.6/.test(text)), cells.join(" | "));
    await share.press("Enter");
  }
  await share.fill("12.5");
  await dialog.getByText("answers 12.5 % of the requests").waitFor();
  assert.equal(await send.getAttribute("aria-disabled"), "false");
  assert.equal(await described(send), "");
  assert.equal(await dialog.getByText(WARNING).count(), 0, "it is not loaded yet");
  await dialog.getByRole("button", { name: "Start canary at 12.5 %" }).click();
  await dialog.waitFor({ state: "detached" });
  await row(page, "story", "candidate").getByText("ready").waitFor();
  assert.equal((await ask("GET", "/admin/v1/releases/story")).candidate.weight, 12.5);

  // What is loaded is not said to be loaded first.
  await page.locator("#workers tbody tr").filter({ hasText: "storyteller@1.1.0" }).getByText("ready").waitFor();
  await button("story", "Swap …").click();
  await dialog.getByLabel("Version").selectOption("storyteller@1.1.0");
  await dialog.getByText(WARNING).waitFor();
  assert.equal(await dialog.getByText("is verified, loaded").count(), 0);
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "detached" });

  // A share that it has already is no change.
  await button("story", "Step …").click();
  await share.fill("12.5");
  await dialog.getByText("has 12.5 % already").waitFor();
});
