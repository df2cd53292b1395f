// One change of a release, with everything that it changes before it is made.
//
// It is made for the generation that the operator saw: if the release moves on meanwhile, the host refuses, and the
// dialog shows what it is now and asks again.

import { useLayoutEffect, useRef, useState } from "preact/hooks";
import * as api from "../api";
import { Refused } from "../api";
import { name, percent } from "../format";
import { changed, refused } from "../store";
import type { Bundle, Release } from "../types";
import { aftermath } from "./releases";

export type Step = "start" | "step" | "promote" | "end" | "rollback" | "swap" | "cancel";

interface Props {
  step: Step;
  release: Release;
  /** What people call the release. */
  route: string;
  bundles: Bundle[];
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

/** The usual share after this one. */
function next(weight: number): number {
  return WEIGHTS.find((preset) => preset > weight) ?? 100;
}

export function Change({ step, release, route, bundles, close }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const choices = eligible(bundles, release);
  const [bundle, choose] = useState(choices[0]?.bundle ?? "");
  const [weight, weigh] = useState(step === "step" ? next(release.candidate?.weight ?? 0) : 10);
  const [who, name] = useState(api.actor());
  const [why, explain] = useState("");
  const [error, fail] = useState<string | null>(null);
  const [sending, send] = useState(false);
  // What is confirmed is what was seen: the generation of the dialog follows only when the operator has been told so.
  const [seen, see] = useState(release);
  // While it is being sent, the generation moves by what is sent.
  const moved = !sending && release.generation !== seen.generation;
  const plan = planned(step, seen, bundle, weight);
  const choosing = step === "start" || step === "swap";
  const weighing = step === "start" || step === "step";
  const ready = plan !== null && (!choosing || bundle !== "") && (!weighing || (weight >= 0 && weight <= 100 && weight !== seen.candidate?.weight));

  useLayoutEffect(() => {
    dialog.current?.showModal();
  }, []);
  // The browser closes it, gives the focus back, and says so: then it leaves the page, and not before.
  const leave = () => dialog.current?.close();

  const confirm = async (event: Event) => {
    event.preventDefault();
    if (plan === null || !ready || sending) return;
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
      <form onSubmit={(event) => void confirm(event)}>
        <h2 id="change-title">{plan?.title ?? "This can no longer be done"}</h2>
        <p class="quiet">
          <code>{route}</code>
        </p>
        {choosing && (
          <label class="field">
            <span>Version</span>
            <select value={bundle} onChange={(event) => choose(event.currentTarget.value)}>
              {choices.map((choice) => (
                <option key={choice.bundle} value={choice.bundle}>
                  {choice.bundle}
                </option>
              ))}
            </select>
          </label>
        )}
        {choosing && choices.length === 0 && <p class="notice bad">The repository has no other version of {name_of(release)}.</p>}
        {weighing && <Weight weight={weight} weigh={weigh} />}
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
              <span>
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
          <button type="submit" class="main" disabled={!ready || sending || moved}>
            {sending ? "Sending …" : (plan?.button ?? "–")}
          </button>
        </div>
      </form>
    </dialog>
  );
}

function Weight({ weight, weigh }: { weight: number; weigh: (weight: number) => void }) {
  return (
    <fieldset class="field weight">
      <legend>Share of the requests, in percent</legend>
      <input type="range" min={0} max={100} step={1} value={weight} aria-label="Share, in whole percent" onInput={(event) => weigh(event.currentTarget.valueAsNumber)} />
      <input
        type="number"
        min={0}
        max={100}
        step={0.1}
        value={weight}
        required
        aria-label="Share, in percent"
        onInput={(event) => weigh(event.currentTarget.valueAsNumber)}
      />
      <span class="presets" role="group" aria-label="Usual shares">
        {WEIGHTS.map((preset) => (
          <button type="button" class="small" aria-pressed={weight === preset} onClick={() => weigh(preset)}>
            {preset}
          </button>
        ))}
      </span>
    </fieldset>
  );
}

function name_of(release: Release): string {
  return name(release.stable.bundle);
}

/** Versions that could serve: those of the same kind, the ones of the same name first. */
function eligible(bundles: Bundle[], release: Release): Bundle[] {
  const kind = bundles.find(({ bundle }) => bundle === release.stable.bundle)?.kind;
  const could = bundles.filter((one) => one.bundle !== release.stable.bundle && one.kind === kind && one.state !== "failed");
  const same = (one: Bundle) => Number(name(one.bundle) === name_of(release));
  return could.sort((one, other) => same(other) - same(one) || other.bundle.localeCompare(one.bundle, undefined, { numeric: true }));
}

function planned(step: Step, release: Release, bundle: string, weight: number): Plan | null {
  const { id, generation, stable, candidate, previous, pending } = release;
  const put = (edit: object): Plan["send"] => (said, who) => api.send("PUT", api.release(id), { ...said, ...edit }, who);
  const post = (what: string): Plan["send"] => (said, who) => api.send("POST", api.release(id, what), said, who);
  const next: [string, string, string] = ["Generation", String(generation), String(generation + 1)];
  const shown = candidate === null ? "none" : `${candidate.bundle} at ${percent(candidate.weight)}`;
  const share = Number.isFinite(weight) ? percent(weight) : "–";
  switch (step) {
    case "start":
      return {
        title: "Start a canary",
        button: `Start canary at ${share}`,
        effect: `${bundle} is verified, loaded and proven; then it answers ${share} of the requests. ${stable.bundle} answers the others.`,
        differences: [["Candidate", shown, `${bundle} at ${share}`], ["Stable's share", percent(100 - (candidate?.weight ?? 0)), percent(100 - weight || 0)], next],
        send: put({ candidate: { bundle, weight } }),
      };
    case "step":
      return (
        candidate && {
          title: "Step the canary",
          button: `Step to ${share}`,
          effect: `${candidate.bundle} answers ${share} of the requests from now on, instead of ${percent(candidate.weight)}.`,
          differences: [["Candidate's share", percent(candidate.weight), share], ["Stable's share", percent(100 - candidate.weight), percent(100 - weight || 0)], next],
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
        effect: `${bundle} is verified, loaded and proven; then it answers every request that stable would. ${stable.bundle} ${aftermath(release)}.`,
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
