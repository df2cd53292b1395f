// One page of the console in the system's Chromium, watched: a script fails where anything was logged as an error, and
// where the page asked anybody but its own host for anything.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const CONSOLE = variable("BOBBIN_CONSOLE");
const PATIENCE = 30_000;

export function variable(name, otherwise) {
  const value = process.env[name] ?? otherwise;
  assert.ok(value !== undefined, `${name} is not set`);
  return value;
}

/**
 * Opens the console, does `what` with it, and checks that all was well. `first` runs in the page before the page's own
 * code; `before` gets the page before it asks for anything; `expected` are errors that must be there.
 */
export async function open({ first, before, ...options }, what, expected = []) {
  const browser = await chromium.launch({
    executablePath: variable("BOBBIN_CHROMIUM"),
    // Chromium's own sandbox needs what root and containers do not have; the pages here are ours.
    args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
  });
  const seen = { errors: [], elsewhere: [], requests: [] };
  try {
    const context = await browser.newContext({ viewport: { width: 1360, height: 900 }, locale: "en-GB", ...options });
    context.setDefaultTimeout(PATIENCE);
    if (first !== undefined) await context.addInitScript(first);
    const page = await context.newPage();
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) seen.errors.push(message.text());
    });
    page.on("pageerror", (error) => seen.errors.push(`uncaught: ${error.message}`));
    page.on("dialog", (dialog) => {
      seen.errors.push(`a dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    page.on("request", (request) => {
      seen.requests.push({ method: request.method(), url: request.url(), headers: request.headers() });
      if (new URL(request.url()).origin !== new URL(CONSOLE).origin) seen.elsewhere.push(request.url());
    });
    await before?.(page);
    const response = await page.goto(CONSOLE);
    assert.equal(response.status(), 200);
    await what(page, seen, response);
  } finally {
    await browser.close();
  }
  const odd = seen.errors.filter((text) => !expected.some((part) => text.includes(part)));
  assert.deepEqual(odd, [], "the console logged errors");
  for (const part of expected) assert.ok(seen.errors.some((text) => text.includes(part)), `no error says ${part}`);
  assert.deepEqual(seen.elsewhere, [], "the console asked other hosts");
}

/** The card of the release with this graph name. */
export function card(page, graph) {
  return page.locator("#releases article").filter({ has: page.locator("h3", { hasText: new RegExp(`${graph}$`) }) });
}

/** Waits until the release is in this generation. */
export async function generation(page, graph, wanted) {
  await card(page, graph).locator(".generation", { hasText: new RegExp(`^${wanted}$`) }).waitFor();
}

/** The row of a version in a role. */
export function row(page, graph, role) {
  return card(page, graph).locator(`tr[data-role="${role}"]`);
}

/** Waits until the page knows what there is to choose from: before, the buttons are there and do nothing. */
export async function choosable(page, graph) {
  await card(page, graph).locator('button[aria-disabled="false"]', { hasText: "Swap …" }).waitFor();
}

/** Waits until `look` gives something true. */
export async function eventually(what, look) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() < end, `it never came to this: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** What this process asks the host itself, as another operator would. */
export async function ask(method, path, body) {
  const response = await fetch(new URL(path, CONSOLE), {
    method,
    headers: { "bobbin-actor": "another operator" },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const answer = await response.json();
  assert.ok(response.ok, `${method} ${path}: ${JSON.stringify(answer)}`);
  return answer;
}

/** Takes a picture, where somebody wants pictures. */
export async function picture(page, name, options = {}) {
  const folder = process.env.BOBBIN_PICTURES;
  if (folder === undefined) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, name), animations: "disabled", ...options });
}

/** Keeps the page's answers about the repository back, until the function that it returns is called. */
export async function lateRepository(page) {
  let release;
  const released = new Promise((resolve) => (release = resolve));
  await page.route("**/admin/v1/bundles", async (route) => {
    await released;
    await route.continue();
  });
  return release;
}

/** What a screen reader says of a control beside its name. */
export function described(control) {
  return control.evaluate((one) =>
    (one.getAttribute("aria-describedby") ?? "").split(" ").map((id) => document.getElementById(id)?.textContent ?? "").join(" "),
  );
}

/** Nothing is wider than the screen. */
export async function fits(page) {
  const [content, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(content <= screen, `the page is ${content} pixels wide on a screen of ${screen}`);
}
