// Dark, light, or what the system says.

export type Theme = "system" | "light" | "dark";
const KEY = "bobbin-theme";
const ORDER: Theme[] = ["system", "light", "dark"];

export function theme(): Theme {
  const kept = localStorage.getItem(KEY);
  return kept === "light" || kept === "dark" ? kept : "system";
}

export function apply(wanted: Theme): void {
  if (wanted === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, wanted);
  document.documentElement.dataset["theme"] = wanted;
  dispatchEvent(new Event("theme"));
}

export function next(of: Theme): Theme {
  return ORDER[(ORDER.indexOf(of) + 1) % ORDER.length] ?? "system";
}

/** Calls back whenever the colours may have changed. */
export function watch(callback: () => void): () => void {
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", callback);
  addEventListener("theme", callback);
  return () => {
    media.removeEventListener("change", callback);
    removeEventListener("theme", callback);
  };
}
