// The page as it is found: its parts, both themes, a narrow screen, what a screen reader has, and its policy.
import assert from "node:assert/strict";
import { CONSOLE, ask, card, choosable, eventually, fits, open, row } from "./page.mjs";

const PARTS = ["Releases", "Traffic", "Playground", "Workers", "History", "Bundles"];

async function ground(page) {
  return page.evaluate(() => getComputedStyle(document.body).backgroundColor);
}

await open({ colorScheme: "light" }, async (page, seen, response) => {
  const policy = response.headers()["content-security-policy"];
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /unsafe|\*/);
  await card(page, "story").waitFor();
  assert.match(await page.title(), /bobbin/i);

  // Landmarks, headings, and tables with headers.
  for (const role of ["banner", "navigation", "main"]) assert.equal(await page.getByRole(role).count(), 1, role);
  for (const part of PARTS) {
    await page.getByRole("region", { name: part, exact: true }).first().waitFor();
    await page.getByRole("link", { name: part, exact: true }).waitFor();
  }
  const bare = await page.evaluate(() => [...document.querySelectorAll("table")].filter((table) => !table.querySelector("th[scope=col]")).length);
  assert.equal(bare, 0, "tables without headers");
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll("button, input, select, textarea, a")].filter(
      (one) => !(one.textContent.trim() || one.getAttribute("aria-label") || one.labels?.length),
    ).map((one) => one.outerHTML),
  );
  assert.deepEqual(nameless, [], "controls without a name");
  assert.equal(await page.locator('[aria-live="polite"]').count(), 1);

  // What the host says: routes with and without models, versions, workers, bundles with their cards.
  await row(page, "story", "stable").getByText("storyteller@1.0.0").waitFor();
  await row(page, "story", "stable").getByText("ready").waitFor();
  assert.equal(await row(page, "story", "stable").locator("td").nth(1).innerText(), "100 %");
  await page.locator("#releases .others").getByText("/hello").waitFor();
  await page.locator("#workers tbody tr").filter({ hasText: "storyteller@1.0.0" }).getByText("MiB").first().waitFor();
  await page.locator("#history tbody tr").filter({ hasText: "declared" }).first().waitFor();

  // A bundle's card is text, whatever it looks like.
  const bundle = page.locator("#bundles details").filter({ hasText: "storyteller@1.2.0" });
  await bundle.locator("summary").click();
  const text = await bundle.locator("dl").innerText();
  assert.ok(text.includes("<script>window.broken=1</script>"), text);
  assert.ok(text.includes("<img src=x onerror=window.broken=1>"), text);
  assert.equal(await page.evaluate(() => window.broken), undefined);
  assert.equal(await page.locator("#bundles img, #bundles script").count(), 0);

  // Light, as the system has it; dark by the switch, and kept.
  const light = await ground(page);
  await page.getByRole("button", { name: /Colours: system/ }).click();
  await page.getByRole("button", { name: /Colours: light/ }).click();
  await page.getByRole("button", { name: /Colours: dark/ }).waitFor();
  const dark = await ground(page);
  assert.notEqual(dark, light);
  await page.reload();
  await card(page, "story").waitFor();
  assert.equal(await ground(page), dark, "the choice is kept");
  await page.getByRole("button", { name: /Colours: dark/ }).click();
  assert.equal(await ground(page), light);
  await page.emulateMedia({ colorScheme: "dark" });
  await eventually("the system's wish is heard", async () => (await ground(page)) === dark);
  assert.ok(seen.requests.every(({ url }) => url.startsWith(CONSOLE) || url.startsWith(new URL(CONSOLE).origin)));
});

// A history that could not be read is read again: a change of which nothing else tells is not missed.
await open({}, async (page) => {
  await page.locator("#history tbody tr").first().waitFor();
  let refused = 0;
  await page.route("**/history?*", (route) => (refused++ === 0 ? route.fulfill({ status: 503, json: {} }) : route.continue()));
  await ask("PUT", "/admin/v1/releases/story?wait=ready", { expected_generation: 1, drain_seconds: 29, reason: "told in the end" });
  await page.locator("#history tbody tr").filter({ hasText: "told in the end" }).waitFor();
  assert.ok(refused > 1);
}, ["503"]);

for (const width of [360, 768]) {
  await open({ viewport: { width, height: 740 } }, async (page) => {
    await card(page, "story").waitFor();
    await page.locator("#workers tbody tr").first().waitFor();
    await page.locator("#history tbody tr").first().waitFor();
    await fits(page);
    for (const link of await page.getByRole("navigation").getByRole("link").all()) {
      const { x, width: wide } = await link.boundingBox();
      assert.ok(x >= 0 && x + wide <= width, `${await link.innerText()} ends at ${x + wide} of ${width} pixels`);
    }
    // What a table has is in its panel, or the panel shows that there is more of it.
    for (const id of ["workers", "history"]) {
      const wide = await page.locator(`#${id} .scroll`).evaluate((one) => [one.scrollWidth > one.clientWidth, getComputedStyle(one).backgroundImage]);
      assert.ok(!wide[0] || wide[1] !== "none", `${id} goes on beyond its panel, and nothing shows it`);
      assert.ok(!wide[0] || width > 360, `${id} is cut on a narrow screen`);
    }
    if (width === 360) {
      const names = await page.locator("#workers tbody tr").first().locator("td").evaluateAll((cells) => cells.map((cell) => getComputedStyle(cell, "::before").content));
      const heads = await page.locator("#workers thead th").allTextContents();
      assert.deepEqual(names, heads.slice(1).map((name) => `"${name.trim()}"`), "each number has its column's name");
    }
    await choosable(page, "story");
    await card(page, "story").getByRole("button", { name: "Start canary …" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.waitFor();
    const box = await dialog.boundingBox();
    assert.ok(box.x >= 0 && box.x + box.width <= width, `the dialog is at ${box.x}, ${box.width} wide`);
    await fits(page);
  });
}
