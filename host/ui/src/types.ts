// What the admin API answers, as far as the console reads it. Its contract is `openapi.json`; times are RFC 3339.

export type State =
  | "available"
  | "verifying"
  | "loading"
  | "warming"
  | "ready"
  | "draining"
  | "unloading"
  | "failed";

export interface Version {
  bundle: string;
  state: State;
  since: string;
  reason: string | null;
  leases: number;
}

export interface Candidate extends Version {
  weight: number;
}

export interface Previous extends Version {
  warm_until: string | null;
}

export interface Draining extends Version {
  deadline: string;
}

export interface Pending {
  since: string;
  who: string;
  why: string | null;
  expected_generation: number;
  bundle: string | null;
  step: string;
}

export interface Failure {
  at: string;
  who: string;
  why: string | null;
  code: string;
  detail: string;
}

export interface Agreement {
  shadow: string;
  samples: number;
  dropped: number;
  failed: number;
  mean_logprob_difference: number | null;
  same_finish: number | null;
  mean_length_ratio: number | null;
}

export interface Changed {
  generation: number;
  at: string;
  who: string;
  why: string | null;
  action: "declared" | "put" | "promote" | "rollback";
}

export interface Release {
  id: string;
  trigger: string;
  graph: string;
  generation: number;
  stable: Version;
  candidate: Candidate | null;
  shadow: Version | null;
  previous: Previous | null;
  draining: Draining[];
  drain_seconds: number;
  keep_warm_seconds: number;
  policy: string;
  sticky: string;
  version_header: boolean;
  changed: Changed;
  pending: Pending | null;
  failure: Failure | null;
  agreement: Agreement | null;
}

export interface Change extends Changed {
  stable: string;
  candidate: { bundle: string; weight: number } | null;
  shadow: string | null;
}

export interface Card {
  languages: string[];
  base_model: string;
  data: string;
  intended_use: string;
  limits: string;
  evaluations: { name: string; value: number; method: string }[];
}

export interface Bundle {
  bundle: string;
  digest: string | null;
  kind: string | null;
  size: number | null;
  licence: string | null;
  card: Card | null;
  state: State;
  since: string | null;
  reason: string | null;
  releases: string[];
}

export interface Route {
  trigger: string;
  kind: "http" | "redis";
  path: string | null;
  component: string | null;
  keys: "none" | "required" | "loopback_open";
}

export interface Application {
  name: string;
  version: string | null;
  host_version: string;
  since: string;
  in_flight: number;
  in_flight_limit: number;
  routes: Route[];
}

export interface Process {
  pid: number | null;
  restarts: number;
  resident_bytes: number | null;
  gpu: { computes: boolean; detail: string } | null;
  cage: { rule: string; holds: boolean; reason: string | null }[];
  sequences: number;
  running: number;
  waiting: number;
  paused: number;
  cells: number;
  cells_reserved: number;
  cells_cached: number;
  steps: number;
  cancelled: number;
}

export interface Worker {
  bundle: string;
  class: "serving" | "shadow";
  state: State;
  since: string;
  reason: string | null;
  leases: number;
  need_bytes: number | null;
  process: Process | null;
  totals: { sessions: number; errors: number; input_tokens: number; cached_tokens: number; output_tokens: number };
}

export interface Counts {
  requests: number;
  failed: number;
  sessions: number;
  errors: number;
  input_tokens: number;
  cached_tokens: number;
  output_tokens: number;
  first_token: number[];
}

export interface Sample {
  number: number;
  at: string;
  in_flight: number;
  versions: Record<string, Counts>;
}

export interface Series {
  step_seconds: number;
  first_token_bounds: number[];
  samples: Sample[];
}

export interface TokenLogprob {
  id: number;
  token: string;
  bytes: number[];
  logprob: number;
  top: { id: number; token: string; logprob: number }[];
}

export interface Metadata {
  input_tokens: number;
  output_tokens: number;
  cached_tokens: number;
  finish_reason: string | null;
  bundle: string;
  logprobs?: TokenLogprob[];
}
