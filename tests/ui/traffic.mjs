// What happens is drawn, and can be read as a table; and the picture that the README shows.
import assert from "node:assert/strict";
import { ask, card, eventually, open, picture, row, variable } from "./page.mjs";

const APP = variable("BOBBIN_APP");
const SECONDS = Number(variable("BOBBIN_PICTURE_SECONDS", "0"));

await ask("PUT", "/admin/v1/releases/story?wait=ready", {
  expected_generation: 1,
  candidate: { bundle: "storyteller@1.1.0", weight: 25 },
  reason: "the sea stories",
});

let going = true;
async function client(seed) {
  for (let turn = 0; going; turn += 1) {
    const body = JSON.stringify({ prompt: "Once upon a time", max_tokens: 20 + ((turn * 37) % 60), seed: seed + turn, temperature: 0.8 });
    await fetch(new URL("/story", APP), { method: "POST", body }).then((answer) => answer.text());
    if (turn % 4 === 0) await fetch(new URL("/hello", APP)).then((answer) => answer.text());
    await new Promise((resolve) => setTimeout(resolve, 150 + ((turn * 53) % 400)));
  }
}

await open({ colorScheme: "light", viewport: { width: 1360, height: 1010 } }, async (page) => {
  await card(page, "story").waitFor();
  const clients = [1, 1000, 2000].map(client);
  const part = page.locator("#traffic");
  for (const version of ["storyteller@1.0.0", "storyteller@1.1.0", "without a model"]) await part.locator(".legend").getByText(version).waitFor();
  for (const title of ["Requests", "Tokens", "Time to first token", "Errors"]) {
    const chart = part.getByRole("figure", { name: new RegExp(title) });
    await chart.locator("canvas").waitFor({ state: "attached" });
    await chart.locator("summary").click();
    await chart.getByRole("table").waitFor();
  }
  const cells = async (title, column) => {
    const rows = part.getByRole("figure", { name: new RegExp(title) }).locator("tbody tr");
    return rows.first().locator("td").nth(column).innerText();
  };
  await eventually("both versions are counted", async () => Number(await cells("Requests", 0)) > 0 && Number(await cells("Requests", 1)) > 0);
  await eventually("tokens are counted", async () => Number(await cells("Tokens", 0)) > 0);
  await eventually("times are measured", async () => /\d/.test(await cells("Time to first token", 0)));
  assert.match(await cells("Errors", 0), /^0$/);

  // Something is drawn: the canvas is not of one colour. And what the versions' lines are drawn with is the theme's.
  const palette = () =>
    page.evaluate(() => {
      const style = getComputedStyle(document.documentElement);
      return [0, 1, 2, 3, 4, 5, 6, 7].map((place) => style.getPropertyValue(`--c${place}`).trim());
    });
  const colours = () =>
    part.locator("canvas").first().evaluate((canvas) => {
      // Of a copy: the page's own canvas is made to be drawn on, and says so to whoever reads it often.
      const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d");
      copy.drawImage(canvas, 0, 0);
      const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
      const hex = (at) => `#${[...data.slice(at, at + 3)].map((one) => one.toString(16).padStart(2, "0")).join("")}`;
      return [...new Set(Array.from({ length: data.length / 4 }, (_, pixel) => (data[pixel * 4 + 3] === 255 ? hex(pixel * 4) : "")))];
    });
  await eventually("the chart has colours", async () => (await colours()).length > 3);
  const drawn_in = async (wanted) => (await colours()).some((one) => wanted.includes(one));
  const light = await palette();
  await eventually("the lines are in the light theme's colours", () => drawn_in(light));
  await part.getByText("12 hours").click();
  await part.getByRole("figure", { name: /Requests/ }).waitFor();
  await part.getByText("30 minutes").click();

  const tables = part.locator("details[open] summary");
  while ((await tables.count()) > 0) await tables.first().click();
  if (SECONDS > 0) await page.waitForTimeout(SECONDS * 1000);
  await row(page, "story", "candidate").getByText("ready").waitFor();
  await page.evaluate(() => scrollTo(0, 0));
  await picture(page, "console-light.png");
  await page.emulateMedia({ colorScheme: "dark" });
  await eventually("the lines are in the dark theme's colours", async () => !(await drawn_in(light)) && (await drawn_in(await palette())));
  await picture(page, "console-dark.png");
  going = false;
  await Promise.all(clients);
});
