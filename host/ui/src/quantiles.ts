// Quantiles from a histogram's buckets, as Prometheus makes them: evenly spread within a bucket.

/** `counts` has one entry for each bound, and one for what is above all of them. */
export function quantile(q: number, bounds: number[], counts: number[]): number | null {
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (all === 0) return null;
  const rank = q * all;
  let below = 0;
  for (const [index, count] of counts.entries()) {
    if (count > 0 && below + count >= rank) {
      const low = index === 0 ? 0 : (bounds[index - 1] ?? 0);
      const high = bounds[index];
      // Above the last bound nothing is known but that it is above it.
      if (high === undefined) return low;
      return low + (high - low) * ((rank - below) / count);
    }
    below += count;
  }
  return bounds.at(-1) ?? null;
}
