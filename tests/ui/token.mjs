// A host that others can reach demands its token: of the page's calls, and so of whoever opens it.
import assert from "node:assert/strict";
import { CONSOLE, card, choosable, open, variable } from "./page.mjs";

const TOKEN = variable("BOBBIN_TOKEN");

const bare = await fetch(new URL("/admin/v1/releases", CONSOLE));
assert.equal(bare.status, 401);

// No picture is drawn for a while, as on a busy machine: the host's refusal is there before whatever waits for one.
const late = () => void (globalThis.requestAnimationFrame = (frame) => setTimeout(() => frame(performance.now()), 1000));

await open({ first: late }, async (page, seen) => {
  const input = page.getByLabel("Admin token");
  await input.waitFor();
  assert.equal(await page.locator("#releases").count(), 0, "nothing is shown");
  assert.ok(await input.evaluate((one) => one === document.activeElement), "the field has the focus");
  await input.fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByText("The host does not know this token.").waitFor();
  await input.fill(TOKEN);
  await page.keyboard.press("Enter");
  await card(page, "story").waitFor();
  await page.getByText("live", { exact: true }).waitFor();

  // It goes along as a header with every call, the stream of events too, and is in no address and in no other store.
  const calls = seen.requests.filter(({ url, headers }) => url.includes("/admin/v1/") && headers.authorization === `Bearer ${TOKEN}`);
  for (const path of ["events", "releases", "workers", "series"]) assert.ok(calls.some(({ url }) => url.includes(path)), path);
  assert.ok(seen.requests.every(({ url }) => !url.includes(TOKEN)));
  const kept = await page.evaluate(() => [JSON.stringify({ ...localStorage }), document.cookie, JSON.stringify({ ...sessionStorage })]);
  assert.ok(!kept[0].includes(TOKEN) && !kept[1].includes(TOKEN) && kept[2].includes(TOKEN));

  // A change, with the token.
  await choosable(page, "story");
  await card(page, "story").getByRole("button", { name: "Start canary …" }).click();
  await page.getByRole("dialog").getByRole("button", { name: /^Start canary at/ }).click();
  await card(page, "story").locator('tr[data-role="candidate"]').waitFor();

  // A reload keeps it, and it is forgotten when that is asked for.
  await page.reload();
  await card(page, "story").waitFor();
  await page.getByRole("button", { name: "Forget token" }).click();
  await input.waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await page.reload();
  await input.waitFor();
}, ["401"]);
