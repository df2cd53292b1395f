// From the host's steps to the lines of the charts.

import { quantile } from "./quantiles";
import type { Steps } from "./store";
import type { Counts, Sample } from "./types";

export interface Line {
  bundle: string;
  /** What the line is, where a version has several. */
  label: string;
  dashed: boolean;
  values: (number | null)[];
}

export interface Figure {
  /** Seconds since 1970. */
  times: number[];
  lines: Line[];
  /** The same steps as a table, the newest row first. */
  rows: Row[];
}

/** What happened in an interval of the clock, or in as much of it as is over and remembered. */
export interface Row {
  /** Seconds since 1970. */
  from: number;
  to: number;
  /** All of the interval is there. */
  whole: boolean;
  /** One for each line: sums of its steps, or quantiles over all of them. */
  values: (number | null)[];
}

/** Steps that a rate or a quantile looks back over, so that single requests do not make combs of the lines. */
const WINDOW = 6;
/** Seconds of a row of the table: half an hour and twelve hours are a dozen rows, or a few more. */
export function interval(steps: Pick<Steps, "seconds">): number {
  return steps.seconds < 30 ? 120 : 3600;
}

/** Not versions: what used no model. */
export const NO_MODEL = "none";

function zero(buckets: number): Counts {
  return {
    requests: 0,
    failed: 0,
    sessions: 0,
    errors: 0,
    input_tokens: 0,
    cached_tokens: 0,
    output_tokens: 0,
    first_token: Array<number>(buckets).fill(0),
  };
}

/** The versions of the steps: those with models by name, then what used none. */
export function versions(steps: Steps): string[] {
  const all = new Set(steps.samples.flatMap((sample) => Object.keys(sample.versions)));
  const named = [...all].filter((bundle) => bundle !== NO_MODEL).sort();
  return all.has(NO_MODEL) ? [...named, NO_MODEL] : named;
}

/** What a version did in some steps. */
function sum(samples: Sample[], bundle: string, buckets: number): Counts {
  const counts = zero(buckets);
  for (const { versions } of samples) {
    const one = versions[bundle];
    if (one === undefined) continue;
    counts.requests += one.requests;
    counts.failed += one.failed;
    counts.errors += one.errors;
    counts.sessions += one.sessions;
    counts.output_tokens += one.output_tokens;
    one.first_token.forEach((count, bucket) => (counts.first_token[bucket] = (counts.first_token[bucket] ?? 0) + count));
  }
  return counts;
}

/** Sums over a sliding window, for each step. */
function sums(steps: Steps, bundle: string, window: number): { counts: Counts; steps: number }[] {
  return steps.samples.map((_, index) => {
    const from = Math.max(0, index + 1 - window);
    const counts = sum(steps.samples.slice(from, index + 1), bundle, steps.bounds.length + 1);
    return { counts, steps: index + 1 - from };
  });
}

type Kind = "requests" | "tokens" | "first" | "errors";

const OF: Record<Exclude<Kind, "first">, (counts: Counts) => number> = {
  requests: (counts) => counts.requests,
  tokens: (counts) => counts.output_tokens,
  errors: (counts) => Math.max(counts.failed, counts.errors),
};

/** Every step is in one row, and which one depends on the clock alone: whoever looks again finds the same rows. */
function rows(kind: Kind, steps: Steps, lines: Line[]): Row[] {
  const length = interval(steps);
  const end = (sample: Sample) => Date.parse(sample.at) / 1000;
  const half = steps.seconds / 2;
  const groups = new Map<number, Sample[]>();
  for (const sample of steps.samples) {
    // By its middle: a step ends a little late, and one that ends on the hour belongs to the hour before.
    const place = Math.floor((end(sample) - half) / length);
    groups.set(place, [...(groups.get(place) ?? []), sample]);
  }
  return [...groups].reverse().map(([place, samples]): Row => {
    const [begin, over] = [place * length, (place + 1) * length];
    const had = Math.min(...samples.map(end)) - steps.seconds;
    const till = Math.max(...samples.map(end));
    // Whole where the step before, or the one after, is another row's.
    const from = groups.has(place - 1) || had - half < begin ? begin : had;
    const to = groups.has(place + 1) || till + half >= over ? over : till;
    const values = lines.map(({ bundle, label }) => {
      const counts = sum(samples, bundle, steps.bounds.length + 1);
      return kind === "first" ? quantile(label === "p50" ? 0.5 : 0.99, steps.bounds, counts.first_token) : OF[kind](counts);
    });
    return { from, to, whole: from === begin && to === over, values };
  });
}

export function figure(kind: Kind, steps: Steps, bundles: string[]): Figure {
  const window = steps.seconds < 30 ? WINDOW : 1;
  const times = steps.samples.map((sample) => Date.parse(sample.at) / 1000);
  const lines = bundles.flatMap((bundle): Line[] => {
    const over = sums(steps, bundle, window);
    const rate = (of: (counts: Counts) => number, per = 1) =>
      over.map(({ counts, steps: count }) => (of(counts) / (count * steps.seconds)) * per);
    const one = (label: string, values: (number | null)[], dashed = false) => ({ bundle, label, values, dashed });
    switch (kind) {
      case "requests":
        return [one("", rate(OF.requests))];
      case "tokens":
        return bundle === NO_MODEL ? [] : [one("", rate(OF.tokens))];
      case "errors":
        return [one("", rate(OF.errors, 60))];
      case "first":
        if (bundle === NO_MODEL) return [];
        return [
          one("p50", over.map(({ counts }) => quantile(0.5, steps.bounds, counts.first_token))),
          one("p99", over.map(({ counts }) => quantile(0.99, steps.bounds, counts.first_token)), true),
        ];
    }
  });
  const drawn = lines.filter((line) => kind === "requests" || line.values.some((value) => value !== null));
  return { times, lines: drawn, rows: rows(kind, steps, drawn) };
}
