// The worker processes: what they hold, and what they do.

import { ago, bytes, percent } from "../format";
import type { World } from "../store";
import type { Worker } from "../types";
import { Swatch } from "./chart";
import { Badge } from "./state";

export function Workers({ world }: { world: World }) {
  const { workers } = world;
  return (
    <section id="workers" aria-labelledby="workers-title">
      <header class="head">
        <h2 id="workers-title">Workers</h2>
        {workers !== null && <p class="quiet">{bytes(workers.reduce((sum, one) => sum + (one.process?.resident_bytes ?? 0), 0))} resident in all</p>}
      </header>
      {workers === null ? (
        <p class="quiet">Reading the workers …</p>
      ) : (
        <div class="scroll panel" tabIndex={0} role="region" aria-label="Workers, a wide table">
          <table class="stack">
            <thead>
              <tr>
                <th scope="col">Version</th>
                <th scope="col">State</th>
                <th scope="col" class="figure">
                  Memory
                </th>
                <th scope="col">Cells in use</th>
                <th scope="col" class="figure">
                  Sequences
                </th>
                <th scope="col" class="figure">
                  Waiting
                </th>
                <th scope="col" class="figure">
                  Prompt cache
                </th>
                <th scope="col" class="figure">
                  Sessions
                </th>
                <th scope="col" class="figure">
                  Errors
                </th>
                <th scope="col" class="figure">
                  Restarts
                </th>
                <th scope="col">Cage</th>
              </tr>
            </thead>
            <tbody>
              {workers.map((one) => (
                <Row key={`${one.bundle} ${one.class}`} worker={one} now={world.now} />
              ))}
              {workers.length === 0 && (
                <tr>
                  <td colSpan={11} class="quiet">
                    No model is loaded.
                  </td>
                </tr>
              )}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}

function Row({ worker, now }: { worker: Worker; now: number }) {
  const { process, totals } = worker;
  const held = process ? process.cells_reserved + process.cells_cached : 0;
  const failing = process?.cage.filter(({ holds }) => !holds) ?? [];
  return (
    <tr>
      <th scope="row">
        <Swatch bundle={worker.bundle} />
        <span class="bundle">{worker.bundle}</span> {worker.class === "shadow" && <span class="role">shadow</span>}
        <span class="quiet line">
          {process?.pid != null && <>process {process.pid} · </>}
          {process?.gpu?.computes ? process.gpu.detail : "processor"}
        </span>
      </th>
      <td data-label="State">
        <Badge state={worker.state} />
        <span class="quiet line">{ago(worker.since, now)}</span>
      </td>
      <td class="figure" data-label="Memory">
        {process?.resident_bytes == null ? "–" : bytes(process.resident_bytes)}
        <span class="quiet line">{worker.need_bytes !== null && <>of {bytes(worker.need_bytes)}</>}</span>
      </td>
      <td data-label="Cells in use">
        {process !== null && process.cells > 0 ? (
          <>
            <meter min={0} max={process.cells} value={held} aria-label={`Cells of ${worker.bundle} in use`} />
            <span class="quiet line">
              {process.cells_reserved} reserved, {process.cells_cached} cached of {process.cells}
            </span>
          </>
        ) : (
          "–"
        )}
      </td>
      <td class="figure" data-label="Sequences">
        {process?.running ?? "–"}
        <span class="quiet line">{process && <>of {process.sequences} held</>}</span>
      </td>
      <td class="figure" data-label="Waiting">{process ? process.waiting + process.paused : "–"}</td>
      <td class="figure" data-label="Prompt cache">
        {totals.input_tokens === 0 ? "–" : percent((totals.cached_tokens / totals.input_tokens) * 100)}
        <span class="quiet line">{totals.input_tokens > 0 && "of prompt tokens"}</span>
      </td>
      <td class="figure" data-label="Sessions">{totals.sessions}</td>
      <td class={totals.errors > 0 ? "figure bad" : "figure"} data-label="Errors">{totals.errors}</td>
      <td class={process && process.restarts > 0 ? "figure bad" : "figure"} data-label="Restarts">{process?.restarts ?? "–"}</td>
      <td data-label="Cage">
        {process === null || process.cage.length === 0 ? (
          "–"
        ) : failing.length === 0 ? (
          <span class="quiet">all {process.cage.length} rules hold</span>
        ) : (
          <span title={failing.map(({ rule, reason }) => `${rule}: ${reason ?? ""}`).join("\n")}>
            {failing.map(({ rule }) => rule).join(", ")} not on this kernel
          </span>
        )}
      </td>
    </tr>
  );
}
