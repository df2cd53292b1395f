// A version has one colour everywhere, for as long as the page is open.

const COUNT = 8;
const seen = new Map<string, number>();

/** The place of a version in the palette: those of the style sheet are `--c0` to `--c7`. */
export function place(bundle: string): number {
  let found = seen.get(bundle);
  if (found === undefined) {
    found = seen.size % COUNT;
    seen.set(bundle, found);
  }
  return found;
}

export function colour(bundle: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--c${place(bundle)}`).trim();
}
