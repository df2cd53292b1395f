// Who changed what, when and why; and what happened since the page was opened, or as far back as the host remembers.

import { useState } from "preact/hooks";
import { ago, clock, moment, percent } from "../format";
import type { World } from "../store";
import type { Change } from "../types";
import { Swatch } from "./chart";
import { named } from "./releases";

const MADE = { declared: "declared", put: "set", promote: "promoted", rollback: "rolled back" } as const;

export function History({ world }: { world: World }) {
  const [only, choose] = useState("");
  const { history, releases, application } = world;
  const call = (id: string) => {
    const release = releases?.find((one) => one.id === id);
    return release ? named(release, application?.routes ?? []) : id;
  };
  return (
    <section id="history" aria-labelledby="history-title">
      <header class="head">
        <h2 id="history-title">History</h2>
        {releases !== null && releases.length > 1 && (
          <label class="inline">
            <span>Release</span>
            <select value={only} onChange={(event) => choose(event.currentTarget.value)}>
              <option value="">all</option>
              {releases.map(({ id }) => (
                <option key={id} value={id}>
                  {call(id)}
                </option>
              ))}
            </select>
          </label>
        )}
      </header>
      <div class="columns">
        <div class="scroll panel" tabIndex={0} role="region" aria-label="History of the releases, a wide table">
          <table class="stack">
            <thead>
              <tr>
                <th scope="col">When</th>
                <th scope="col">Release</th>
                <th scope="col" class="figure">
                  Generation
                </th>
                <th scope="col">What</th>
                <th scope="col">Who</th>
                <th scope="col">Why</th>
              </tr>
            </thead>
            <tbody>
              {history
                ?.filter(({ release }) => only === "" || release === only)
                .map(({ release, change }) => (
                  <tr key={`${release} ${change.generation}`}>
                    <td data-label="When">
                      <time dateTime={change.at} title={moment(change.at)}>
                        {ago(change.at, world.now)}
                      </time>
                    </td>
                    <td data-label="Release" class="long">
                      <code>{call(release)}</code>
                    </td>
                    <td class="figure" data-label="Generation">{change.generation}</td>
                    <td data-label="What" class="long">
                      <What change={change} />
                    </td>
                    <td data-label="Who">{change.who}</td>
                    <td data-label="Why" class="long">
                      {change.why ?? "–"}
                    </td>
                  </tr>
                ))}
            </tbody>
          </table>
        </div>
        <Log world={world} />
      </div>
    </section>
  );
}

function What({ change }: { change: Change }) {
  return (
    <>
      {MADE[change.action]}: <Swatch bundle={change.stable} />
      <span class="bundle">{change.stable}</span>
      {change.candidate !== null && (
        <>
          , <Swatch bundle={change.candidate.bundle} />
          <span class="bundle">{change.candidate.bundle}</span> at {percent(change.candidate.weight)}
        </>
      )}
      {change.shadow !== null && <>, shadow {change.shadow}</>}
    </>
  );
}

function Log({ world }: { world: World }) {
  return (
    <div class="log panel" role="region" aria-labelledby="log-title" tabIndex={0}>
      <h3 id="log-title">What happened</h3>
      {world.told.length === 0 && <p class="quiet">Nothing yet.</p>}
      <ol>
        {world.told.map((one) => (
          <li key={one.key} class={one.tone}>
            <time dateTime={one.at}>{clock(one.at)}</time> <span>{one.text}</span>
          </li>
        ))}
      </ol>
    </div>
  );
}
