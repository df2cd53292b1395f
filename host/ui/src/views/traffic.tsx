// What happened lately, by version.

import { useMemo, useState } from "preact/hooks";
import { figure, interval, versions, type Figure } from "../figures";
import { number, seconds, span as span_of } from "../format";
import type { Steps, World } from "../store";
import { Chart, Swatch, label } from "./chart";

type Span = "live" | "hours";

export function Traffic({ world }: { world: World }) {
  const [span, choose] = useState<Span>("live");
  const steps = world[span];
  return (
    <section id="traffic" aria-labelledby="traffic-title">
      <header class="head">
        <h2 id="traffic-title">Traffic</h2>
        {steps && <Legend steps={steps} />}
        <fieldset class="choice">
          <legend class="sr">Time shown</legend>
          {(["live", "hours"] as const).map((value) => (
            <label>
              <input type="radio" name="span" value={value} checked={span === value} onChange={() => choose(value)} />
              <span>{value === "live" ? "30 minutes" : "12 hours"}</span>
            </label>
          ))}
        </fieldset>
      </header>
      {steps === null ? <p class="quiet">Reading what happened …</p> : <Charts steps={steps} span={span} />}
    </section>
  );
}

function Legend({ steps }: { steps: Steps }) {
  return (
    <ul class="legend" aria-label="Versions in the charts">
      {versions(steps).map((bundle) => (
        <li key={bundle}>
          <Swatch bundle={bundle} />
          {label(bundle)}
        </li>
      ))}
    </ul>
  );
}

function Charts({ steps, span }: { steps: Steps; span: Span }) {
  const [requests, tokens, first, errors] = useMemo(() => {
    const bundles = versions(steps);
    return [figure("requests", steps, bundles), figure("tokens", steps, bundles), figure("first", steps, bundles), figure("errors", steps, bundles)] as const;
  }, [steps]);
  const middle = latest(first, "p50");
  const tail = latest(first, "p99");
  const row = `Each row is ${span_of(interval(steps))} of the clock`;
  const sums = (what: string) => ({ are: `${row}, and sums ${what} ended in it.`, format: String });
  return (
    <div class="charts">
      <Chart title="Requests" unit="a second" figure={requests} format={number} rows={sums("the requests that")} now={number(total(requests))} span={span} />
      <Chart title="Tokens" unit="a second" figure={tokens} format={number} rows={sums("the tokens of sessions that")} now={number(total(tokens))} span={span} />
      <Chart
        title="Time to first token"
        unit="p50, and p99 dashed"
        figure={first}
        format={seconds}
        rows={{ are: `${row}; quantiles are over all sessions that ended in it.`, format: seconds }}
        now={middle === null || tail === null ? "–" : `${seconds(middle)} · ${seconds(tail)}`}
        span={span}
      />
      <Chart title="Errors" unit="a minute" figure={errors} format={number} rows={sums("the errors of what")} now={number(total(errors))} span={span} />
    </div>
  );
}

/** Of all versions together, in the last step. */
function total(of: Figure): number {
  return of.lines.reduce((sum, line) => sum + (line.values.at(-1) ?? 0), 0);
}

/** The worst of the versions, in the last step that has any. */
function latest(of: Figure, label: string): number | null {
  const values = of.lines.filter((line) => line.label === label).map((line) => line.values.findLast((value) => value !== null) ?? 0);
  return values.length === 0 ? null : Math.max(...values);
}
