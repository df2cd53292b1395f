// From the host's steps to the lines of the charts.

import { quantile } from "./quantiles";
import type { Steps } from "./store";
import type { Counts } from "./types";

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
}

/** Steps that a rate or a quantile looks back over, so that single requests do not make combs of the lines. */
const WINDOW = 6;
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

/** Sums over a sliding window, for each step. */
function sums(steps: Steps, bundle: string, window: number): { counts: Counts; steps: number }[] {
  const buckets = steps.bounds.length + 1;
  return steps.samples.map((_, index) => {
    const from = Math.max(0, index + 1 - window);
    const counts = zero(buckets);
    for (let at = from; at <= index; at += 1) {
      const one = steps.samples[at]?.versions[bundle];
      if (one === undefined) continue;
      counts.requests += one.requests;
      counts.failed += one.failed;
      counts.errors += one.errors;
      counts.sessions += one.sessions;
      counts.output_tokens += one.output_tokens;
      one.first_token.forEach((count, bucket) => (counts.first_token[bucket] = (counts.first_token[bucket] ?? 0) + count));
    }
    return { counts, steps: index + 1 - from };
  });
}

type Kind = "requests" | "tokens" | "first" | "errors";

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
        return [one("", rate((counts) => counts.requests))];
      case "tokens":
        return bundle === NO_MODEL ? [] : [one("", rate((counts) => counts.output_tokens))];
      case "errors":
        return [one("", rate((counts) => Math.max(counts.failed, counts.errors), 60))];
      case "first":
        if (bundle === NO_MODEL) return [];
        return [
          one("p50", over.map(({ counts }) => quantile(0.5, steps.bounds, counts.first_token))),
          one("p99", over.map(({ counts }) => quantile(0.99, steps.bounds, counts.first_token)), true),
        ];
    }
  });
  return { times, lines: lines.filter((line) => kind === "requests" || line.values.some((value) => value !== null)) };
}
