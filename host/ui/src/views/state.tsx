// Where a version is, in a word, a colour and, while files are hashed, a bar.

import { bytes, percent } from "../format";
import type { Progress } from "../store";
import type { State } from "../types";

export function Badge({ state }: { state: State }) {
  return (
    <span class={`badge ${state}`}>
      <span class="dot" aria-hidden="true" />
      {state}
    </span>
  );
}

const UNDER_WAY: State[] = ["verifying", "loading", "warming", "unloading"];

/** How far a version is, where that is known; that it moves, where it is not. */
export function Moving({ bundle, state, progress }: { bundle: string; state: State; progress: Progress | undefined }) {
  if (!UNDER_WAY.includes(state)) return null;
  if (state === "verifying" && progress !== undefined && progress.total > 0) {
    const share = (progress.done / progress.total) * 100;
    return (
      <span class="moving">
        <progress max={100} value={share} aria-label={`${bundle} is being verified`} />
        <span class="quiet">
          {percent(Math.floor(share))} of {progress.path} ({bytes(progress.total)})
        </span>
      </span>
    );
  }
  return (
    <span class="moving">
      <progress aria-label={`${bundle} is ${state}`} />
    </span>
  );
}
