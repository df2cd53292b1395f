// A prompt, tried out on one version or on two side by side.

import { useEffect, useRef, useState } from "preact/hooks";
import { place } from "../colours";
import { number, percent, seconds } from "../format";
import { refused, type World } from "../store";
import { answer, mean, surprise, type Answer, type Token } from "../stream";
import type { Release } from "../types";
import { Swatch } from "./chart";
import { named } from "./releases";

/** What answers in a release: stable, the candidate, and the previous version while it is kept warm. */
function live(release: Release): { bundle: string; role: string }[] {
  const all = [{ bundle: release.stable.bundle, role: "stable" }];
  if (release.candidate !== null) all.push({ bundle: release.candidate.bundle, role: "candidate" });
  if (release.previous !== null && release.previous.warm_until !== null) all.push({ bundle: release.previous.bundle, role: "previous" });
  return all.filter(({ bundle }, index) => all.findIndex((one) => one.bundle === bundle) === index);
}

export function Playground({ world }: { world: World }) {
  const kinds = new Map(world.bundles?.map(({ bundle, kind }) => [bundle, kind]));
  const known = world.releases !== null && world.bundles !== null;
  const releases = world.releases?.filter(({ stable }) => kinds.get(stable.bundle) !== "embed") ?? [];
  const [id, choose] = useState("");
  const release = releases.find((one) => one.id === id) ?? releases[0];
  return (
    <section id="playground" aria-labelledby="playground-title">
      <header class="head">
        <h2 id="playground-title">Playground</h2>
        {known && releases.length > 1 && (
          <label class="inline">
            <span>Release</span>
            <select value={release?.id ?? ""} onChange={(event) => choose(event.currentTarget.value)}>
              {releases.map((one) => (
                <option key={one.id} value={one.id}>
                  {named(one, world.application?.routes ?? [])}
                </option>
              ))}
            </select>
          </label>
        )}
      </header>
      {/* Not before it is known what each of them does: another desk would take what was typed away. */}
      {!known ? (
        <p class="quiet">Reading the releases …</p>
      ) : release === undefined ? (
        <p class="quiet">No release writes text.</p>
      ) : (
        <Desk key={release.id} release={release} />
      )}
    </section>
  );
}

function Desk({ release }: { release: Release }) {
  const versions = live(release);
  const [prompt, write] = useState("Once upon a time");
  const [most, setMost] = useState(120);
  const [temperature, setTemperature] = useState(0.8);
  const [seed, setSeed] = useState("7");
  const [more, setMore] = useState("");
  const [wrong, complain] = useState<string | null>(null);
  const [shaded, shade] = useState(true);
  const [left, setLeft] = useState("");
  const [right, setRight] = useState<string | null>(null);
  const [answers, put] = useState<Record<number, Answer>>({});
  const [running, run] = useState(false);
  const abort = useRef(new AbortController());
  useEffect(() => () => abort.current.abort(), []);

  const known = (bundle: string) => versions.some((one) => one.bundle === bundle);
  const first = known(left) ? left : release.stable.bundle;
  // Where there are two versions, they are compared unless the operator says otherwise.
  const other = versions.find(({ bundle }) => bundle !== first)?.bundle ?? "";
  const second = right === null ? other : right !== "" && known(right) && right !== first ? right : "";
  const columns = second === "" ? [first] : [first, second];

  const ask = async (event: Event) => {
    event.preventDefault();
    if (running) return;
    const others = read(more);
    complain(typeof others === "string" ? others : null);
    if (typeof others === "string") return;
    abort.current = new AbortController();
    const { signal } = abort.current;
    const options: Record<string, unknown> = { max_tokens: most, temperature, logprobs: true, top_logprobs: 3 };
    if (seed.trim() !== "") options["seed"] = Number(seed);
    Object.assign(options, others);
    put({});
    run(true);
    const one = (bundle: string, column: number) =>
      answer({ release: release.id, bundle, prompt, options }, signal, (told) => put((all) => ({ ...all, [column]: told })));
    await Promise.all(columns.map(one)).catch(refused);
    run(false);
  };

  return (
    <form class="desk" onSubmit={(event) => void ask(event)}>
      <label class="field prompt">
        <span>Prompt</span>
        <textarea
          rows={2}
          required
          value={prompt}
          onInput={(event) => write(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) event.currentTarget.form?.requestSubmit();
          }}
        />
      </label>
      <div class="knobs">
        <label class="field">
          <span>Version</span>
          <select value={first} onChange={(event) => setLeft(event.currentTarget.value)}>
            {versions.map(({ bundle, role }) => (
              <option key={bundle} value={bundle}>
                {bundle} ({role})
              </option>
            ))}
          </select>
        </label>
        <label class="field">
          <span>Beside it</span>
          <select value={second} onChange={(event) => setRight(event.currentTarget.value)}>
            <option value="">nothing</option>
            {versions
              .filter(({ bundle }) => bundle !== first)
              .map(({ bundle, role }) => (
                <option key={bundle} value={bundle}>
                  {bundle} ({role})
                </option>
              ))}
          </select>
        </label>
        <label class="field narrow">
          <span>Tokens at most</span>
          <input type="number" min={1} max={4096} step={1} required value={most} onInput={(event) => setMost(event.currentTarget.valueAsNumber)} />
        </label>
        <label class="field narrow">
          <span>Temperature</span>
          <input type="number" min={0} max={10} step={0.1} required value={temperature} onInput={(event) => setTemperature(event.currentTarget.valueAsNumber)} />
        </label>
        <label class="field narrow">
          <span>Seed</span>
          <input type="number" min={0} max={4294967295} step={1} value={seed} placeholder="random" onInput={(event) => setSeed(event.currentTarget.value)} />
        </label>
        <label class="check">
          <input type="checkbox" checked={shaded} onChange={(event) => shade(event.currentTarget.checked)} />
          <span>Shade by log-probability</span>
        </label>
        <div class="actions">
          {running ? (
            <button type="button" onClick={() => abort.current.abort()}>
              Stop
            </button>
          ) : (
            <button type="submit" class="main">
              Run
            </button>
          )}
        </div>
      </div>
      <details class="more">
        <summary>More options</summary>
        <label class="field">
          <span>As wasi-nn has them, in JSON: stop, top_p, grammar, json_schema and the like</span>
          <textarea rows={2} class="json" spellcheck={false} value={more} placeholder='{"stop": ["."]}' onInput={(event) => setMore(event.currentTarget.value)} />
        </label>
      </details>
      <div role="alert">{wrong !== null && <p class="notice bad">{wrong}</p>}</div>
      <div class={columns.length > 1 ? "answers two" : "answers"}>
        {columns.map((bundle, column) => (
          <Text key={column} bundle={bundle} answer={answers[column]?.bundle === bundle ? answers[column] : undefined} shaded={shaded} />
        ))}
      </div>
      {shaded && <Scale />}
    </form>
  );
}

/** What somebody wrote as further options, or what is wrong with it. */
function read(text: string): object | string {
  if (text.trim() === "") return {};
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value;
    return "The further options are no JSON object; write {\"stop\": [\".\"]}, for example.";
  } catch (error) {
    return `The further options are no JSON: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function Text({ bundle, answer, shaded }: { bundle: string; answer: Answer | undefined; shaded: boolean }) {
  return (
    <article class={`answer b${place(bundle)}`} aria-label={`Answer of ${bundle}`} aria-busy={answer?.status === "writing" || answer?.status === "waiting"}>
      <header>
        <h3>
          <Swatch bundle={bundle} />
          <span class="bundle">{answer?.metadata?.bundle ?? bundle}</span>
        </h3>
        <span class="quiet">{answer && numbers(answer)}</span>
      </header>
      {/* Text that a model wrote: text nodes, whatever it looks like. */}
      <p class="text" data-status={answer?.status ?? "idle"} data-tokens={answer?.tokens.length ?? 0}>
        {answer?.tokens.map((token, index) => (
          <Piece key={index} token={token} shaded={shaded} />
        ))}
        {answer === undefined && <span class="quiet">Nothing was asked yet.</span>}
      </p>
      {answer?.error != null && <p class="notice bad">{answer.error}</p>}
      <p class="quiet last" role="status">
        {answer && ended(answer)}
      </p>
    </article>
  );
}

function Piece({ token, shaded }: { token: Token; shaded: boolean }) {
  if (!shaded || token.logprob === null) return <>{token.text}</>;
  const others = token.top.map(({ text, logprob }) => `${JSON.stringify(text)} ${percent(Math.exp(logprob) * 100)}`);
  const title = `${percent(Math.exp(token.logprob) * 100)}, log-probability ${token.logprob.toFixed(2)}\n${others.join("\n")}`;
  return (
    <span class={`s${surprise(token.logprob)}`} title={title}>
      {token.text}
    </span>
  );
}

function numbers({ status, metadata, first, took }: Answer): string {
  if (metadata === null) return status === "waiting" ? "waiting" : "no answer";
  const rate = first === null || took <= first ? null : (metadata.output_tokens - 1) / ((took - first) / 1000);
  const parts = [`${metadata.output_tokens} tokens`];
  if (rate !== null && rate > 0) parts.push(`${number(rate)}/s`);
  if (first !== null) parts.push(`first after ${seconds(first / 1000)}`);
  return parts.join(" · ");
}

const ENDS: Record<string, string> = { stop: "it came to its end", length: "it reached its bound", tool_calls: "it calls tools" };

function ended({ status, metadata, tokens }: Answer): string {
  if (status === "stopped") return "Stopped.";
  if (status !== "whole" || metadata === null) return "";
  const average = mean(tokens);
  const why = ENDS[metadata.finish_reason ?? ""] ?? metadata.finish_reason ?? "";
  const cached = metadata.cached_tokens > 0 ? `, ${metadata.cached_tokens} of ${metadata.input_tokens} prompt tokens cached` : "";
  return `Whole: ${why}${cached}${average === null ? "" : `, ${average.toFixed(2)} nats per token on average`}.`;
}

function Scale() {
  return (
    <p class="scale quiet" aria-label="Shading: from tokens that the model was sure of to those that were a surprise">
      <span>certain</span>
      {[0, 1, 2, 3, 4, 5].map((step) => (
        <span class={`step s${step}`} aria-hidden="true" />
      ))}
      <span>a surprise</span>
    </p>
  );
}
