// A chart's table leaves nothing out: its rows are intervals of the clock that hold every step, and whoever opens it a little
// later finds the same rows. The host's series are made up here, so that it is known what is in them.
import assert from "node:assert/strict";
import { card, described, open } from "./page.mjs";

const BOUNDS = [0.1, 0.2, 0.4, 0.8];
const NOON = Date.parse("2026-03-02T12:00:00Z");

/** Steps that end at `last` seconds after noon: each with one request, and one with a hundred that answered slowly. */
function series(seconds, count, last, busy) {
  const samples = Array.from({ length: count }, (_, index) => {
    const end = last - (count - 1 - index) * seconds;
    const peak = end === busy;
    const one = {
      requests: peak ? 100 : 1,
      failed: peak ? 3 : 0,
      sessions: 1,
      errors: 0,
      input_tokens: 7,
      cached_tokens: 0,
      output_tokens: peak ? 5000 : 10,
      first_token: peak ? [0, 0, 0, 50, 0] : [1, 0, 0, 0, 0],
    };
    // The host's steps end a little late.
    return { number: last / seconds, at: new Date(NOON + end * 1000 + 40).toISOString(), in_flight: 1, versions: { "storyteller@1.0.0": one } };
  });
  return { step_seconds: seconds, first_token_bounds: BOUNDS, samples };
}

/** The tables of one opening, by title, of each span. */
async function tables(later) {
  const before = (page) =>
    page.route("**/admin/v1/series*", (route) => {
      const hours = route.request().url().includes("span=hours");
      return route.fulfill({ json: hours ? series(60, 720, 60 * later, -7200) : series(5, 360, 5 * later, -605) });
    });
  const found = {};
  await open({ before, timezoneId: "UTC" }, async (page) => {
    await card(page, "story").waitFor();
    for (const span of ["30 minutes", "12 hours"]) {
      await page.locator("#traffic").getByText(span).click();
      for (const title of ["Requests", "Tokens", "Time to first token", "Errors"]) {
        const chart = page.getByRole("figure", { name: new RegExp(title) });
        const table = chart.locator("table");
        if (!(await chart.locator("details").evaluate((one) => one.open))) await chart.locator("summary").click();
        await table.waitFor();
        const rows = await table.locator("tbody tr").evaluateAll((all) => all.map((row) => [...row.cells].map((cell) => cell.textContent)));
        const whole = await table.locator('tbody tr[data-whole="true"] th').allTextContents();
        found[`${span}, ${title}`] = { rows, whole, caption: await described(table) };
      }
    }
  });
  return found;
}

const now = await tables(0);
const sum = ({ rows }) => rows.reduce((all, [, count]) => all + Number(count), 0);
assert.equal(sum(now["30 minutes, Requests"]), 359 + 100, "every request of the half hour is in a row");
assert.equal(sum(now["30 minutes, Tokens"]), 359 * 10 + 5000);
assert.equal(sum(now["30 minutes, Errors"]), 3);
assert.equal(sum(now["12 hours, Requests"]), 719 + 100);
assert.equal(sum(now["12 hours, Tokens"]), 719 * 10 + 5000);

const row = (table, time) => table.rows.find(([head]) => head === time);
// The peak ended at 11:49:55: the two minutes from 11:48 on have it and 23 quiet steps, and no other row does.
assert.deepEqual(row(now["30 minutes, Requests"], "11:48–11:50"), ["11:48–11:50", "123"]);
assert.deepEqual(row(now["30 minutes, Requests"], "11:50–11:52"), ["11:50–11:52", "24"]);
assert.equal(row(now["30 minutes, Time to first token"], "11:48–11:50")[2], "794 ms", "p99 over all steps of the row");
assert.equal(row(now["30 minutes, Time to first token"], "11:50–11:52")[2], "99 ms");
assert.deepEqual(row(now["12 hours, Requests"], "09:00–10:00"), ["09:00–10:00", "159"]);
assert.match(now["30 minutes, Requests"].caption, /Each row is 2 min of the clock/);
assert.match(now["12 hours, Requests"].caption, /Each row is 1 h of the clock/);

const later = await tables(1);
for (const [title, table] of Object.entries(now)) {
  const both = table.whole.filter((time) => later[title].whole.includes(time));
  assert.ok(both.length >= 11, `${title}: ${both.length} rows are whole in both openings`);
  for (const time of both) assert.deepEqual(row(later[title], time), row(table, time), `${title} a step later`);
}
