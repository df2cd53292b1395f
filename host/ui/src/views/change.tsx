// One change of a release, with everything that it changes before it is made.
//
// It is made for the generation that the operator saw: if the release moves on meanwhile, the host refuses, and the
// dialog shows what it is now and asks again.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import * as api from "../api";
import { Refused } from "../api";
import { name, percent } from "../format";
import { changed, refused } from "../store";
import type { Bundle, Release, Worker } from "../types";
import { aftermath } from "./releases";

export type Step = "start" | "step" | "promote" | "end" | "rollback" | "swap" | "cancel";

interface Props {
  step: Step;
  release: Release;
  /** What people call the release. */
  route: string;
  /** `null` while they are being read. */
  bundles: Bundle[] | null;
  /** What is loaded, for whatever release. */
  warm: Set<string>;
  close: () => void;
}

/** What is asked of the host. */
interface Plan {
  title: string;
  button: string;
  effect: string;
  /** What, what it was, what it will be. */
  differences: [string, string, string][];
  send: (said: { expected_generation: number; reason: string | null }, who: string) => Promise<unknown>;
}

const WEIGHTS = [1, 5, 10, 25, 50, 100];

/** A share as it was typed: a number that the host takes, or what is wrong with it. The host takes tenths and rounds nothing. */
function share_of(typed: string, now: number | undefined): number | string {
  const weight = Number(typed);
  if (typed.trim() === "" || !Number.isFinite(weight)) return "Write a share: a number from 0 to 100.";
  if (weight < 0 || weight > 100) return `A share is from 0 to 100 %, not ${typed} %.`;
  if (Math.abs(weight * 10 - Math.round(weight * 10)) > 1e-6) return `A share has one digit after the point at most, such as 12.5 %; ${typed} % has more.`;
  if (weight === now) return `The candidate has ${percent(weight)} already.`;
  return weight;
}

/** The usual share after this one. */
function next(weight: number): number {
  return WEIGHTS.find((preset) => preset > weight) ?? 100;
}

export function Change({ step, release, route, bundles, warm, close }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const offered = choices(bundles, release);
  const [chosen, choose] = useState("");
  // What there is to choose from may change while the dialog is open.
  const bundle = (offered.find((one) => one.bundle === chosen) ?? offered[0])?.bundle ?? "";
  const [typed, type] = useState(String(step === "step" ? next(release.candidate?.weight ?? 0) : 10));
  const [who, name] = useState(api.actor());
  const [why, explain] = useState("");
  const [error, fail] = useState<string | null>(null);
  const [sending, send] = useState(false);
  // What is confirmed is what was seen: the generation of the dialog follows only when the operator has been told so.
  const [seen, see] = useState(release);
  // While it is being sent, the generation moves by what is sent.
  const moved = !sending && release.generation !== seen.generation;
  const choosing = step === "start" || step === "swap";
  const weighing = step === "start" || step === "step";
  const weight = share_of(typed, seen.candidate?.weight);
  const wrong = weighing && typeof weight === "string" ? weight : null;
  const plan = choosing && bundle === "" ? null : planned(step, seen, bundle, typeof weight === "number" ? weight : null, warm);
  // One of them at least says why, where it cannot be sent.
  const cannot = moved ? "change-moved" : plan === null ? "change-title" : wrong !== null ? "change-wrong" : null;

  useLayoutEffect(() => {
    dialog.current?.showModal();
  }, []);
  // The browser closes it, gives the focus back, and says so: then it leaves the page, and not before.
  const leave = () => dialog.current?.close();

  const confirm = async (event: Event) => {
    event.preventDefault();
    if (plan === null || cannot !== null || sending) return;
    send(true);
    fail(null);
    api.keepActor(who.trim());
    try {
      await plan.send({ expected_generation: seen.generation, reason: why.trim() || null }, who);
      changed();
      leave();
    } catch (problem) {
      refused(problem);
      fail(problem instanceof Error ? problem.message : String(problem));
      if (problem instanceof Refused && problem.status === 409) changed();
    } finally {
      send(false);
    }
  };

  return (
    <dialog ref={dialog} class="change" aria-labelledby="change-title" onClose={close}>
      <form noValidate onSubmit={(event) => void confirm(event)}>
        <h2 id="change-title">{plan?.title ?? "This can no longer be done"}</h2>
        <p class="quiet">
          <code>{route}</code>
        </p>
        {choosing && (
          <label class="field">
            <span>Version</span>
            <select value={bundle} onChange={(event) => choose(event.currentTarget.value)}>
              {offered.map((choice) => (
                <option key={choice.bundle} value={choice.bundle}>
                  {choice.bundle}
                </option>
              ))}
            </select>
          </label>
        )}
        {choosing && offered.length === 0 && <p class="notice bad">{lonely(release)}.</p>}
        {weighing && <Weight typed={typed} wrong={wrong} type={type} />}
        {plan !== null && (
          <>
            <p>{plan.effect}</p>
            <table class="differences">
              <caption class="sr">What changes</caption>
              <thead>
                <tr>
                  <th scope="col">What changes</th>
                  <th scope="col">from</th>
                  <th scope="col">to</th>
                </tr>
              </thead>
              <tbody>
                {plan.differences.map(([what, from, to]) => (
                  <tr key={what}>
                    <th scope="row">{what}</th>
                    <td>{from}</td>
                    <td>{to}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </>
        )}
        {step !== "cancel" && (
          <label class="field">
            <span>Why</span>
            <input type="text" maxLength={1000} value={why} placeholder="for the history" onInput={(event) => explain(event.currentTarget.value)} />
          </label>
        )}
        <label class="field">
          <span>Who</span>
          <input type="text" maxLength={100} value={who} autocomplete="name" placeholder="your name, for the history" onInput={(event) => name(event.currentTarget.value)} />
        </label>
        <div role="alert">
          {error !== null && <p class="notice bad">{error}</p>}
          {moved && (
            <p class="notice">
              <span id="change-moved">
                The release has moved on: it is in generation {release.generation} now, set by {release.changed.who}.
              </span>
              <button
                type="button"
                class="small"
                onClick={() => {
                  see(release);
                  fail(null);
                }}
              >
                Look again
              </button>
            </p>
          )}
        </div>
        <div class="actions end">
          <button type="button" class="plain" onClick={leave}>
            Leave as it is
          </button>
          <button type="submit" class="main" aria-disabled={cannot !== null || sending} aria-describedby={cannot ?? undefined}>
            {sending ? "Sending …" : (plan?.button ?? "–")}
          </button>
        </div>
      </form>
    </dialog>
  );
}

interface WeightProps {
  typed: string;
  wrong: string | null;
  type: (typed: string) => void;
}

function Weight({ typed, wrong, type }: WeightProps) {
  // The slider stays where it was while the field holds what is no share.
  const last = useRef(0);
  const weight = typed.trim() === "" ? NaN : Number(typed);
  if (weight >= 0 && weight <= 100) last.current = weight;
  return (
    <fieldset class="field weight">
      <legend>Share of the requests, in percent</legend>
      <input type="range" min={0} max={100} step={1} value={last.current} aria-label="Share, in whole percent" onInput={(event) => type(event.currentTarget.value)} />
      <input
        type="number"
        min={0}
        max={100}
        step={0.1}
        value={typed}
        required
        aria-label="Share, in percent"
        aria-invalid={wrong !== null}
        aria-describedby={wrong === null ? undefined : "change-wrong"}
        onInput={(event) => type(event.currentTarget.value)}
      />
      <span class="presets" role="group" aria-label="Usual shares">
        {WEIGHTS.map((preset) => (
          <button type="button" class="small" aria-pressed={weight === preset} onClick={() => type(String(preset))}>
            {preset}
          </button>
        ))}
      </span>
      <span role="status" class="wrong">
        {wrong !== null && <span id="change-wrong">{wrong}</span>}
      </span>
    </fieldset>
  );
}

/** Versions that could serve: those of the same kind, the ones of the same name first. */
export function choices(bundles: Bundle[] | null, release: Release): Bundle[] {
  const kind = bundles?.find(({ bundle }) => bundle === release.stable.bundle)?.kind;
  const could = bundles?.filter((one) => one.bundle !== release.stable.bundle && one.kind === kind && one.state !== "failed") ?? [];
  const same = (one: Bundle) => Number(name(one.bundle) === name(release.stable.bundle));
  return could.sort((one, other) => same(other) - same(one) || other.bundle.localeCompare(one.bundle, undefined, { numeric: true }));
}

/** That there are no choices. */
export function lonely(release: Release): string {
  return `The repository has no other version of ${name(release.stable.bundle)}`;
}

/** The versions that need not be loaded to serve. */
export function warm(workers: Worker[] | null): Set<string> {
  return new Set(workers?.filter((one) => one.class === "serving" && one.state === "ready").map(({ bundle }) => bundle));
}

/** `weight` is `null` while what was typed is no share. */
function planned(step: Step, release: Release, bundle: string, weight: number | null, warm: Set<string>): Plan | null {
  const { id, generation, stable, candidate, previous, pending } = release;
  const put = (edit: object): Plan["send"] => (said, who) => api.send("PUT", api.release(id), { ...said, ...edit }, who);
  const post = (what: string): Plan["send"] => (said, who) => api.send("POST", api.release(id, what), said, who);
  const next: [string, string, string] = ["Generation", String(generation), String(generation + 1)];
  const shown = candidate === null ? "none" : `${candidate.bundle} at ${percent(candidate.weight)}`;
  const share = weight === null ? "–" : percent(weight);
  const part = weight === null ? "its share" : share;
  const rest = weight === null ? "–" : percent(100 - weight);
  const first = warm.has(bundle) ? `${bundle} is loaded already: at once` : `${bundle} is verified, loaded and proven; then`;
  switch (step) {
    case "start":
      return {
        title: "Start a canary",
        button: weight === null ? "Start canary" : `Start canary at ${share}`,
        effect: `${first} it answers ${part} of the requests. ${stable.bundle} answers the others.`,
        differences: [["Candidate", shown, `${bundle} at ${share}`], ["Stable's share", percent(100 - (candidate?.weight ?? 0)), rest], next],
        send: put({ candidate: { bundle, weight } }),
      };
    case "step":
      return (
        candidate && {
          title: "Step the canary",
          button: weight === null ? "Step" : `Step to ${share}`,
          effect: `${candidate.bundle} answers ${part} of the requests from now on, instead of ${percent(candidate.weight)}.`,
          differences: [["Candidate's share", percent(candidate.weight), share], ["Stable's share", percent(100 - candidate.weight), rest], next],
          send: put({ candidate: { bundle: candidate.bundle, weight } }),
        }
      );
    case "promote":
      return (
        candidate && {
          title: "Promote the canary",
          button: `Promote ${candidate.bundle}`,
          effect: `${candidate.bundle} answers every request from now on. ${stable.bundle} ${aftermath(release)}.`,
          differences: [["Stable", stable.bundle, candidate.bundle], ["Candidate", shown, "none"], next],
          send: post("/promote"),
        }
      );
    case "end":
      return (
        candidate && {
          title: "End the canary",
          button: `End the canary of ${candidate.bundle}`,
          effect: `${stable.bundle} answers every request from now on. ${candidate.bundle} finishes what it began.`,
          differences: [["Candidate", shown, "none"], next],
          send: put({ candidate: null }),
        }
      );
    case "rollback":
      return (
        previous && {
          title: "Roll back",
          button: `Roll back to ${previous.bundle}`,
          effect: `${previous.bundle} answers every request again${previous.warm_until === null ? ", once it is loaded" : ", at once: it is still loaded"}. ${stable.bundle} ${aftermath(release)}.`,
          differences: [["Stable", stable.bundle, previous.bundle], ...(candidate ? [["Candidate", shown, "none"] as [string, string, string]] : []), next],
          send: post("/rollback"),
        }
      );
    case "swap":
      return {
        title: "Swap the stable version",
        button: `Swap to ${bundle}`,
        effect: `${first} it answers every request that stable would. ${stable.bundle} ${aftermath(release)}.`,
        differences: [["Stable", stable.bundle, bundle], ...(candidate?.bundle === bundle ? [["Candidate", shown, "none"] as [string, string, string]] : []), next],
        send: put({ stable: bundle }),
      };
    case "cancel":
      return (
        pending && {
          title: "Give up the change that is under way",
          button: "Give it up",
          effect: `The change by ${pending.who} is not made. What serves now goes on.`,
          differences: [["Change under way", `${pending.bundle ?? "settings"}, ${pending.step}`, "none"]],
          send: (_, who) => api.send("DELETE", api.release(id, "/pending"), null, who),
        }
      );
  }
}
