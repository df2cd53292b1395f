// Each route's releases: who answers, in which share, and what can be done about it.

import type { ComponentChildren } from "preact";
import { useRef, useState } from "preact/hooks";
import { place } from "../colours";
import { ago, percent, span, until } from "../format";
import type { World } from "../store";
import type { Release, Route, State, Version } from "../types";
import { Change, choices, lonely, warm, type Step } from "./change";
import { Badge, Moving } from "./state";
import { Swatch } from "./chart";

export function Releases({ world }: { world: World }) {
  const [asked, ask] = useState<{ key: number; id: string; step: Step } | null>(null);
  const count = useRef(0);
  const { releases, application } = world;
  const release = releases?.find(({ id }) => id === asked?.id);
  const routes = application?.routes ?? [];
  const with_models = new Set(releases?.map(({ trigger }) => trigger));
  const others = routes.filter(({ trigger }) => !with_models.has(trigger));
  return (
    <section id="releases" aria-labelledby="releases-title">
      <header class="head">
        <h2 id="releases-title">Releases</h2>
      </header>
      {releases === null ? (
        <p class="quiet">Reading the releases …</p>
      ) : (
        <div class="cards">
          {releases.map((one) => (
            <One
              key={one.id}
              release={one}
              route={routes.find(({ trigger }) => trigger === one.trigger)}
              world={world}
              ask={(step) => ask({ key: ++count.current, id: one.id, step })}
            />
          ))}
        </div>
      )}
      {releases?.length === 0 && <p class="quiet">No component of this application asks for a model.</p>}
      {others.length > 0 && (
        <p class="quiet others">
          Without a model:{" "}
          {others.map((route, index) => (
            <>
              {index > 0 && ", "}
              <code>{route.path ?? route.trigger}</code>
              {route.component !== null && ` (${route.component})`}
            </>
          ))}
        </p>
      )}
      {asked !== null && release !== undefined && (
        <Change
          key={asked.key}
          step={asked.step}
          release={release}
          route={named(release, routes)}
          bundles={world.bundles}
          warm={warm(world.workers)}
          // A dialog says late that it is closed: the next one may be open by then.
          close={() => ask((now) => (now === asked ? null : now))}
        />
      )}
    </section>
  );
}

/** What people call a release: its route, where it has one of its own. */
export function named(release: { id: string; trigger: string; graph: string }, routes: Route[]): string {
  const route = routes.find(({ trigger }) => trigger === release.trigger);
  return route?.path ? `${route.path} → ${release.graph}` : release.id;
}

interface OneProps {
  release: Release;
  route: Route | undefined;
  world: World;
  ask: (step: Step) => void;
}

function One({ release, route, world, ask }: OneProps) {
  const { candidate, previous, pending } = release;
  const title = `release-${release.id}`;
  const [moving, alone] = [`${title}-moving`, `${title}-alone`];
  // What cannot be done now stays where it is and says why, to whoever comes by with the tab key, too.
  const busy = pending !== null ? moving : null;
  const others = choices(world.bundles, release);
  const choosing = busy ?? (others.length === 0 ? alone : null);
  return (
    <article class="card" aria-labelledby={title}>
      <header>
        <h3 id={title}>
          <code>{route?.path ?? release.trigger}</code>
          <span class="arrow" aria-label="asks for">
            →
          </span>
          {release.graph}
        </h3>
        <p class="quiet">
          {route?.component && <>component {route.component} · </>}
          generation <b class="generation">{release.generation}</b>
          {route && route.keys !== "none" && <> · {route.keys === "required" ? "keys required" : "keys, once there are some"}</>}
        </p>
      </header>
      <Split release={release} />
      <Versions release={release} world={world} />
      {pending !== null && (
        <p class="notice" role="status">
          <span id={moving}>
            {pending.bundle ?? "A change"} is {pending.step}, for {pending.who}
            {pending.why !== null && <>: “{pending.why}”</>}
          </span>
          <button type="button" class="small" onClick={() => ask("cancel")}>
            Give up …
          </button>
        </p>
      )}
      {release.failure !== null && (
        <p class="notice bad">
          <span>
            The change by {release.failure.who}, {ago(release.failure.at, world.now)}, was not made: {release.failure.detail}
          </span>
        </p>
      )}
      {release.agreement !== null && <Agreement release={release} />}
      <p class="quiet last">
        {said(release)} by {release.changed.who}, <time dateTime={release.changed.at}>{ago(release.changed.at, world.now)}</time>
        {release.changed.why !== null && <>: “{release.changed.why}”</>}
      </p>
      <div class="actions" role="group" aria-label={`Change ${named(release, world.application?.routes ?? [])}`}>
        {candidate === null ? (
          <Act cannot={choosing} act={() => ask("start")}>
            Start canary …
          </Act>
        ) : (
          <>
            <Act cannot={busy} act={() => ask("step")}>
              Step …
            </Act>
            <Act cannot={busy} act={() => ask("promote")} look="main">
              Promote …
            </Act>
            <Act cannot={busy} act={() => ask("end")}>
              End canary …
            </Act>
          </>
        )}
        {previous !== null && (
          <button type="button" onClick={() => ask("rollback")}>
            Roll back …
          </button>
        )}
        <Act cannot={choosing} act={() => ask("swap")} look="plain">
          Swap …
        </Act>
      </div>
      {others.length === 0 && (
        <p class="quiet" id={alone}>
          {world.bundles === null ? "Reading which versions there are …" : `${lonely(release)}, so there is nothing to start a canary of or to swap to.`}
        </p>
      )}
    </article>
  );
}

/** A button that says why it does nothing: `cannot` is the id of the reason. */
export function Act({ cannot, act, look, children }: { cannot: string | null; act: () => void; look?: string; children: ComponentChildren }) {
  return (
    <button
      type="button"
      class={look}
      aria-disabled={cannot !== null}
      aria-describedby={cannot ?? undefined}
      onClick={() => {
        if (cannot === null) act();
      }}
    >
      {children}
    </button>
  );
}

const DONE = { declared: "Declared", put: "Set", promote: "Promoted", rollback: "Rolled back" } as const;

function said(release: Release): string {
  return DONE[release.changed.action];
}

/** The share of each version, as a bar; the table below says the same in words. */
function Split({ release }: { release: Release }) {
  const { stable, candidate } = release;
  const weight = candidate?.weight ?? 0;
  return (
    <svg class="split" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">
      <rect class={`f${place(stable.bundle)}`} x="0" y="0" width={Math.max(0, 100 - weight - (weight > 0 ? 0.6 : 0))} height="6" />
      {candidate !== null && <rect class={`f${place(candidate.bundle)}`} x={100 - weight} y="0" width={weight} height="6" />}
    </svg>
  );
}

interface Row {
  role: string;
  version: Version;
  share: string;
  note: string;
}

function rows(release: Release, now: number): Row[] {
  const { stable, candidate, shadow, previous, draining } = release;
  const all: Row[] = [{ role: "stable", version: stable, share: percent(100 - (candidate?.weight ?? 0)), note: "" }];
  if (candidate !== null) all.push({ role: "candidate", version: candidate, share: percent(candidate.weight), note: "" });
  if (shadow !== null) all.push({ role: "shadow", version: shadow, share: "–", note: "scores, and answers nobody" });
  for (const drain of draining) {
    all.push({ role: "draining", version: drain, share: "–", note: `ends in ${until(drain.deadline, now)} at the latest` });
  }
  if (previous !== null) {
    const note = previous.warm_until === null ? "not kept loaded" : `kept warm for ${until(previous.warm_until, now)}`;
    all.push({ role: "previous", version: previous, share: "–", note });
  }
  const { pending } = release;
  if (pending?.bundle && !all.some(({ version }) => version.bundle === pending.bundle)) {
    const state = (pending.step === "accepted" ? "available" : pending.step) as State;
    const version = { bundle: pending.bundle, state, since: pending.since, reason: null, leases: 0 };
    all.push({ role: "coming", version, share: "–", note: "" });
  }
  return all;
}

function Versions({ release, world }: { release: Release; world: World }) {
  return (
    <table class="versions">
      <caption class="sr">Versions of this release</caption>
      <thead>
        <tr>
          <th scope="col">Version</th>
          <th scope="col">State</th>
          <th scope="col" class="figure">
            Share
          </th>
          <th scope="col" class="figure">
            In flight
          </th>
        </tr>
      </thead>
      <tbody>
        {rows(release, world.now).map(({ role, version, share, note }) => (
          <tr key={`${role} ${version.bundle}`} data-role={role}>
            <th scope="row">
              <Swatch bundle={version.bundle} />
              <span class="bundle">{version.bundle}</span> <span class="role">{role}</span>
            </th>
            <td>
              <Badge state={version.state} /> {note && <span class="quiet">{note}</span>}
              <Moving bundle={version.bundle} state={version.state} progress={world.progress[version.bundle]} />
              {version.reason !== null && <span class="quiet why">{version.reason}</span>}
            </td>
            <td class="figure">{share}</td>
            <td class="figure">{version.leases}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

function Agreement({ release }: { release: Release }) {
  const { agreement } = release;
  if (agreement === null) return null;
  const difference = agreement.mean_logprob_difference;
  return (
    <p class="quiet">
      The shadow scored {agreement.samples} answers
      {difference !== null && <>, {difference.toFixed(3)} nats per token apart on average</>}
      {agreement.same_finish !== null && <>, {percent(agreement.same_finish * 100)} ending alike</>}.
    </p>
  );
}

/** The words of a drain and of keeping warm, for the confirmation. */
export function aftermath(release: Release): string {
  const drain = `finishes what it began, within ${span(release.drain_seconds)}`;
  return release.keep_warm_seconds > 0 ? `${drain}, and stays loaded for ${span(release.keep_warm_seconds)}` : drain;
}
