// The way to the admin API: JSON in and out, and server-sent events read by fetch, so that a token can go along.
//
// The token stays in this tab: in sessionStorage, which other tabs and other sites cannot read, and which ends with the
// tab. It travels as a header that no other site can make a browser send.

const TOKEN = "bobbin-token";
const ACTOR = "bobbin-actor";

/** A refusal, in the words of the API. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly generation: number | null,
  ) {
    super(detail);
  }
}

export interface ServerEvent {
  id: string | null;
  kind: string;
  data: unknown;
}

export function token(): string | null {
  return sessionStorage.getItem(TOKEN);
}

export function keepToken(value: string | null): void {
  if (value === null) sessionStorage.removeItem(TOKEN);
  else sessionStorage.setItem(TOKEN, value);
}

export function actor(): string {
  return localStorage.getItem(ACTOR) ?? "";
}

export function keepActor(name: string): void {
  localStorage.setItem(ACTOR, name);
}

/** Headers are bytes: what is not ASCII goes as UTF-8, which the host reads it as. */
function bytes(text: string): string {
  return Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join("");
}

function headers(more: Record<string, string> = {}): Headers {
  const all = new Headers({ accept: "application/json", ...more });
  const secret = token();
  if (secret !== null) all.set("authorization", `Bearer ${bytes(secret)}`);
  return all;
}

async function refusal(response: Response): Promise<Refused> {
  const problem = (await response.json().catch(() => null)) as {
    code?: string;
    detail?: string;
    current_generation?: number | null;
  } | null;
  const detail = problem?.detail ?? `the host answered ${response.status}`;
  return new Refused(response.status, problem?.code ?? "unknown", detail, problem?.current_generation ?? null);
}

export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  const response = await fetch(path, { headers: headers(), cache: "no-store", ...(signal && { signal }) });
  if (!response.ok) throw await refusal(response);
  return (await response.json()) as T;
}

export async function send<T>(method: "PUT" | "POST" | "DELETE", path: string, body: unknown, who = ""): Promise<T> {
  const more: Record<string, string> = { "content-type": "application/json" };
  if (who.trim() !== "") more["bobbin-actor"] = bytes(who.trim());
  const response = await fetch(path, {
    method,
    headers: headers(more),
    ...(method !== "DELETE" && { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw await refusal(response);
  return (await response.json()) as T;
}

/** The path of a release, or of something below it. */
export function release(id: string, below = ""): string {
  return `admin/v1/releases/${encodeURIComponent(id)}${below}`;
}

/** Follows a stream of events to its end. Silence for longer than `patience` milliseconds ends it. */
export async function* events(
  path: string,
  init: { method?: string; body?: string; last?: string | null; signal: AbortSignal; patience: number },
): AsyncGenerator<ServerEvent | "open"> {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), init.patience);
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), init.patience);
  };
  const more: Record<string, string> = { accept: "text/event-stream" };
  if (init.last != null) more["last-event-id"] = init.last;
  if (init.body !== undefined) more["content-type"] = "application/json";
  try {
    const response = await fetch(path, {
      method: init.method ?? "GET",
      headers: headers(more),
      cache: "no-store",
      signal: AbortSignal.any([init.signal, silence.signal]),
      ...(init.body !== undefined && { body: init.body }),
    });
    if (!response.ok || response.body === null) throw await refusal(response);
    yield "open";
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    let pending = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      pending += decoder.decode(value, { stream: true });
      let end: number;
      while ((end = pending.indexOf("\n\n")) >= 0) {
        const event = parse(pending.slice(0, end));
        pending = pending.slice(end + 2);
        if (event !== null) yield event;
      }
    }
  } finally {
    clearTimeout(timer);
  }
}

function parse(frame: string): ServerEvent | null {
  let id: string | null = null;
  let kind = "message";
  let data = "";
  for (const line of frame.split("\n")) {
    if (line.startsWith("id: ")) id = line.slice(4);
    else if (line.startsWith("event: ")) kind = line.slice(7);
    else if (line.startsWith("data: ")) data += line.slice(6);
  }
  return data === "" ? null : { id, kind, data: JSON.parse(data) as unknown };
}
