// The head of the page: which host this is, whether it is heard, and the way to everything below.

import { useEffect, useState } from "preact/hooks";
import { token } from "../api";
import { ago } from "../format";
import { leave, type World } from "../store";
import * as themes from "../theme";

export const PARTS = [
  ["releases", "Releases"],
  ["traffic", "Traffic"],
  ["playground", "Playground"],
  ["workers", "Workers"],
  ["history", "History"],
  ["bundles", "Bundles"],
] as const;

const LINKS = { starting: "connecting", live: "live", lost: "connection lost, trying again", locked: "locked" } as const;

export function Top({ world }: { world: World }) {
  const { application, link } = world;
  return (
    <header class="top">
      <div class="brand">
        <Spool />
        <h1>
          Bobbin <span class="quiet">{application && `${application.name}${application.version ? ` ${application.version}` : ""}`}</span>
        </h1>
        <p class={`link ${link}`} role="status">
          <span class="dot" aria-hidden="true" />
          {LINKS[link]}
        </p>
        {application && (
          <p class="quiet about">
            <b>{application.in_flight}</b> of {application.in_flight_limit} in flight · up {ago(application.since, world.now).replace(" ago", "")} · host{" "}
            {application.host_version}
          </p>
        )}
        <span class="tools">
          {token() !== null && (
            <button type="button" class="plain small" onClick={leave}>
              Forget token
            </button>
          )}
          <Switch />
        </span>
      </div>
      <Ways />
    </header>
  );
}

function Switch() {
  const [now, show] = useState(themes.theme());
  return (
    <button
      type="button"
      class="plain small"
      aria-label={`Colours: ${now}. Change to ${themes.next(now)}`}
      onClick={() => {
        themes.choose(themes.next(now));
        show(themes.theme());
      }}
    >
      <span aria-hidden="true">{{ system: "◐", light: "○", dark: "●" }[now]}</span> {now}
    </button>
  );
}

/** Which part of the page the reader is in. */
function part(): string {
  const bottom = scrollY > 0 && scrollY + innerHeight >= document.documentElement.scrollHeight - 2;
  const reached = PARTS.filter(([id]) => {
    const top = document.getElementById(id)?.getBoundingClientRect().top;
    return top !== undefined && (bottom || top <= innerHeight / 3);
  });
  return (reached.at(-1) ?? PARTS[0])[0];
}

function useHere(): string {
  const [here, set] = useState<string>(PARTS[0][0]);
  // After each drawing: what the page holds moves its parts.
  useEffect(() => set(part()));
  useEffect(() => {
    const look = () => set(part());
    addEventListener("scroll", look, { passive: true });
    return () => removeEventListener("scroll", look);
  }, []);
  return here;
}

function Ways() {
  const here = useHere();
  return (
    <nav aria-label="Parts of this page">
      <ul>
        {PARTS.map(([id, name]) => (
          <li key={id}>
            <a href={`#${id}`} aria-current={here === id ? "true" : undefined}>
              {name}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

function Spool() {
  return (
    <svg class="spool" viewBox="0 0 32 32" aria-hidden="true">
      <path class="wood" d="M7 4h18v5H7zM7 23h18v5H7z" />
      <path class="thread" d="M10.5 12h11M10.5 16h11M10.5 20h11" />
    </svg>
  );
}
