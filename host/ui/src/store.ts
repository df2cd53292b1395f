// Everything the console knows, and how it keeps up: events say that something has changed, the API says what it is now.

import { useLayoutEffect, useState } from "preact/hooks";
import * as api from "./api";
import { Refused } from "./api";
import type { Application, Bundle, Change, Release, Sample, Series, State, Version, Worker } from "./types";

export interface Told {
  key: number;
  at: string;
  text: string;
  tone: "plain" | "good" | "bad";
}

export interface Progress {
  path: string;
  done: number;
  total: number;
}

export interface Steps {
  seconds: number;
  bounds: number[];
  samples: Sample[];
}

export interface World {
  /** `locked`: the host demands a token. */
  link: "starting" | "live" | "lost" | "locked";
  /** Why the last token did not do. */
  denied: boolean;
  application: Application | null;
  releases: Release[] | null;
  /** `null` until the repository was read: what there is to choose from is not known before. */
  bundles: Bundle[] | null;
  workers: Worker[] | null;
  history: { release: string; change: Change }[] | null;
  live: Steps | null;
  hours: Steps | null;
  /** How far files are hashed, by bundle. */
  progress: Record<string, Progress>;
  /** What happened, the newest first. */
  told: Told[];
  /** The last thing that everybody should hear of. */
  spoken: string;
  now: number;
}

/** Lines of the log that are kept. */
const TOLD = 100;
/** Between two looks at what changes without an event: requests in flight, memory. */
const LOOK = 2000;
/** The host ends a step of its series that often. */
const SERIES = 5000;
/** The host breaks its silence after 15 seconds. */
const SILENCE = 40_000;

let world: World = {
  link: "starting",
  denied: false,
  application: null,
  releases: null,
  bundles: null,
  workers: null,
  history: null,
  live: null,
  hours: null,
  progress: {},
  told: [],
  spoken: "",
  now: Date.now(),
};
const listeners = new Set<() => void>();
let attempt = new AbortController();
/** Looks that have begun, and the last of them whose answer is shown: answers may come in another order. */
let looks = 0;
let shown = 0;
/** The generations that `history` tells of. */
let told_of = "";
/** The last event that was heard; before the first, all that the host remembers are wanted. */
let last = "0";
/** What the host remembers comes first, all at once: it is shown, and not spoken of. */
let quiet = 0;
const REPLAY = 1000;
let lines = 0;

function set(change: Partial<World>): void {
  world = { ...world, ...change };
  for (const listener of listeners) listener();
}

export function useWorld(): World {
  const [, redraw] = useState({});
  // Not after the first picture: what is said between it and its drawing, such as that a token is wanted, would be heard
  // by nobody.
  useLayoutEffect(() => {
    const listener = () => redraw({});
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return world;
}

/** Begins, or begins again with another token. */
export function start(): void {
  attempt.abort();
  attempt = new AbortController();
  last = "0";
  told_of = "";
  set({ link: "starting", told: [], progress: {} });
  void follow(attempt.signal);
}

export function enter(secret: string): void {
  api.keepToken(secret);
  start();
}

export function leave(): void {
  api.keepToken(null);
  attempt.abort();
  set({ link: "locked", denied: false, application: null, releases: null, workers: null, history: null, live: null, hours: null, told: [], bundles: null });
}

/** The host refused: without a token, or with another one, nothing goes on. Anything else is for whoever asked. */
export function refused(error: unknown): void {
  if (error instanceof Refused && error.status === 401 && world.link !== "locked") {
    attempt.abort();
    const denied = api.token() !== null;
    api.keepToken(null);
    set({ link: "locked", denied });
  }
}

async function follow(signal: AbortSignal): Promise<void> {
  let pause = 1000;
  const timers = [
    setInterval(() => set({ now: Date.now() }), 1000),
    setInterval(() => {
      void look(signal);
      if (world.bundles === null) void repository(signal);
    }, LOOK),
    setInterval(() => void series(signal), SERIES),
  ];
  signal.addEventListener("abort", () => timers.forEach(clearInterval));
  while (!signal.aborted) {
    try {
      for await (const event of api.events("admin/v1/events", { last, signal, patience: SILENCE })) {
        if (event === "open") {
          pause = 1000;
          await everything(signal, true);
          // Whoever left meanwhile does not come back by what was still on its way.
          if (signal.aborted) return;
          if (last === "0") quiet = performance.now() + REPLAY;
          set({ link: "live", denied: false });
          continue;
        }
        last = event.id ?? last;
        hear(event.kind, event.data as Record<string, unknown>);
      }
    } catch (error) {
      refused(error);
    }
    if (signal.aborted) return;
    if (world.link === "live") set({ link: "lost" });
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, 15_000);
  }
}

/** Several events in a row are one look. */
let due: ReturnType<typeof setTimeout> | undefined;
function soon(): void {
  clearTimeout(due);
  due = setTimeout(() => void everything(attempt.signal), 80);
}

async function everything(signal: AbortSignal, afresh = false): Promise<void> {
  await Promise.all([look(signal, true), repository(signal), series(signal, afresh)]);
}

async function look(signal: AbortSignal, wanted = false): Promise<void> {
  if (document.hidden && !wanted) return;
  try {
    const turn = ++looks;
    const [application, { releases }, { workers }] = await Promise.all([
      api.get<Application>("admin/v1/application", signal),
      api.get<{ releases: Release[] }>("admin/v1/releases", signal),
      api.get<{ workers: Worker[] }>("admin/v1/workers", signal),
    ]);
    if (signal.aborted || turn < shown) return;
    shown = turn;
    set({ application, releases, workers, now: Date.now() });
    if (world.history === null || generations(releases) !== told_of) await history(releases, signal);
  } catch (error) {
    failed(error, signal);
  }
}

/** What was asked under a token that is no longer used says nothing about the one that is. */
function failed(error: unknown, signal: AbortSignal): void {
  if (!signal.aborted) refused(error);
}

function generations(releases: Release[]): string {
  return releases.map((release) => `${release.id} ${release.generation}`).join("\n");
}

async function history(releases: Release[], signal: AbortSignal): Promise<void> {
  const asked = releases.map(async ({ id }) => {
    const { history } = await api.get<{ history: Change[] }>(api.release(id, "/history?limit=50"), signal);
    return history.map((change) => ({ release: id, change }));
  });
  const all = (await Promise.all(asked)).flat();
  all.sort((one, other) => Date.parse(other.change.at) - Date.parse(one.change.at) || other.change.generation - one.change.generation);
  if (signal.aborted) return;
  // Not before it is there: what could not be read is asked for again.
  told_of = generations(releases);
  set({ history: all });
}

async function repository(signal: AbortSignal): Promise<void> {
  try {
    const { bundles } = await api.get<{ bundles: Bundle[] }>("admin/v1/bundles", signal);
    if (!signal.aborted) set({ bundles });
  } catch (error) {
    failed(error, signal);
  }
}

/** `afresh`: it may be another host by now, which counts its steps anew. */
async function series(signal: AbortSignal, afresh = false): Promise<void> {
  if (document.hidden && world.live !== null) return;
  try {
    const [live, hours] = await Promise.all([
      more("live", afresh ? null : world.live, signal),
      more("hours", afresh ? null : world.hours, signal),
    ]);
    if (!signal.aborted) set({ live: merged(world.live, live, 360), hours: merged(world.hours, hours, 720) });
  } catch (error) {
    failed(error, signal);
  }
}

function more(span: string, had: Steps | null, signal: AbortSignal): Promise<Series> {
  return api.get<Series>(`admin/v1/series?span=${span}&after=${had?.samples.at(-1)?.number ?? 0}`, signal);
}

/** What there was, and what is new. Two answers may overlap, and come in any order. */
function merged(had: Steps | null, series: Series, most: number): Steps {
  const all = new Map([...(had?.samples ?? []), ...series.samples].map((sample) => [Date.parse(sample.at), sample]));
  return {
    seconds: series.step_seconds,
    bounds: series.first_token_bounds,
    samples: [...all].sort(([one], [other]) => one - other).map(([, sample]) => sample).slice(-most),
  };
}

function text(data: Record<string, unknown>, key: string): string {
  const value = data[key];
  return typeof value === "string" || typeof value === "number" ? String(value) : "";
}

const BECAME: Record<State, string> = {
  available: "is on disk",
  verifying: "is being verified",
  loading: "is loading",
  warming: "is warming up",
  ready: "is ready",
  draining: "is draining",
  unloading: "is unloading",
  failed: "has failed",
};

function hear(kind: string, data: Record<string, unknown>): void {
  const bundle = text(data, "bundle");
  const why = text(data, "reason");
  if (kind === "progress") {
    const progress = { path: text(data, "path"), done: Number(data["done"]), total: Number(data["total"]) };
    set({ progress: { ...world.progress, [bundle]: progress } });
    return;
  }
  if (kind === "version") {
    const state = text(data, "state") as State;
    if (state !== "verifying") {
      const { [bundle]: _, ...others } = world.progress;
      set({ progress: others });
    }
    seen({ releases: world.releases?.map((release) => entered(release, bundle, state, data)) ?? null });
    tell(data, `${bundle} ${BECAME[state] ?? state}${why && `: ${why}`}`, state === "ready" ? "good" : state === "failed" ? "bad" : "plain");
  } else if (kind === "change") {
    const step = text(data, "step");
    seen({ releases: world.releases?.map((release) => stepped(release, step, data)) ?? null });
    const bad = data["code"] != null;
    tell(data, `Change of ${text(data, "release")}: ${step}${why && `, ${why}`}`, bad ? "bad" : "plain");
  } else if (kind === "release") {
    tell(data, `${text(data, "release")} is in generation ${text(data, "generation")}, by ${text(data, "who")}`, "good");
  } else if (kind === "drain") {
    tell(data, `Drain of ${bundle}: ${text(data, "event")}, ${text(data, "leases")} in flight`, text(data, "event") === "stuck" ? "bad" : "plain");
  } else if (kind === "bundle") {
    tell(data, `${bundle} ${text(data, "event")} in the repository${why && `: ${why}`}`, text(data, "event") === "refused" ? "bad" : "plain");
  } else if (kind === "lagged") {
    tell(data, `${text(data, "missed")} events were missed`, "plain");
  }
  soon();
}

/** What an event says is shown at once; the look that follows has the last word. */
function seen(change: Pick<World, "releases">): void {
  if (change.releases !== null) set(change);
}

/** A version has entered a state, in whatever role. */
function entered(release: Release, bundle: string, state: State, data: Record<string, unknown>): Release {
  const became = { state, since: text(data, "at"), reason: text(data, "reason") || null };
  // Both times are the host's: events that it remembered from before the last look are no news.
  const news = (version: Version) => version.bundle === bundle && Date.parse(became.since) > Date.parse(version.since);
  const one = <V extends Version>(version: V): V => (news(version) ? { ...version, ...became } : version);
  const maybe = <V extends Version>(version: V | null): V | null => version && one(version);
  return {
    ...release,
    stable: one(release.stable),
    candidate: maybe(release.candidate),
    previous: maybe(release.previous),
    shadow: data["class"] === "shadow" ? maybe(release.shadow) : release.shadow,
    pending: release.pending?.bundle === bundle && MOVING.has(state) ? { ...release.pending, step: state } : release.pending,
  };
}

const MOVING = new Set<State>(["verifying", "loading", "warming", "draining"]);
const PENDING = new Set<string>(["accepted", ...MOVING]);

/** A change of a release has come so far. */
function stepped(release: Release, step: string, data: Record<string, unknown>): Release {
  if (release.id !== text(data, "release")) return release;
  if (Date.parse(text(data, "at")) <= Date.parse(release.changed.at)) return release;
  if (!PENDING.has(step)) return { ...release, pending: null };
  const pending = {
    since: release.pending?.since ?? text(data, "at"),
    who: text(data, "who"),
    why: text(data, "why") || null,
    expected_generation: Number(data["expected_generation"]),
    bundle: text(data, "bundle") || release.pending?.bundle || null,
    step,
  };
  return { ...release, pending };
}

function tell(data: Record<string, unknown>, line: string, tone: Told["tone"]): void {
  lines += 1;
  const at = text(data, "at") || new Date().toISOString();
  const told = [{ key: lines, at, text: line, tone }, ...world.told].slice(0, TOLD);
  set({ told, ...(tone !== "plain" && performance.now() > quiet && { spoken: line }) });
}

/** After a change that was made here: what it led to is wanted now. */
export function changed(): void {
  soon();
}
