// Dark, light, or what the system says. The style sheet knows the two only: what the system says is looked up here, so that each
// palette is written once, and charts read colours and no rules for them.

export type Theme = "system" | "light" | "dark";
const KEY = "bobbin-theme";
const ORDER: Theme[] = ["system", "light", "dark"];
const SYSTEM = matchMedia("(prefers-color-scheme: dark)");

export function theme(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : "system";
}

/** Takes what is wanted; whoever watches draws with the new colours. */
export function choose(wanted: Theme): void {
  if (wanted === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, wanted);
  dress();
}

/** Before the first picture; from then on the system's changes are followed. */
export function start(): void {
  SYSTEM.addEventListener("change", dress);
  dress();
}

function dress(): void {
  const wanted = theme();
  const found = wanted === "system" ? (SYSTEM.matches ? "dark" : "light") : wanted;
  document.documentElement.dataset["theme"] = found;
  dispatchEvent(new Event("theme"));
}

export function next(of: Theme): Theme {
  return ORDER[(ORDER.indexOf(of) + 1) % ORDER.length] ?? "system";
}

/** Calls back whenever the colours may have changed, once they have. */
export function watch(callback: () => void): () => void {
  addEventListener("theme", callback);
  return () => removeEventListener("theme", callback);
}
