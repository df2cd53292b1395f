// Numbers and times as people read them.

export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (count >= 1024 && unit < units.length - 1) {
    count /= 1024;
    unit += 1;
  }
  return `${count >= 100 || unit === 0 ? Math.round(count) : count.toFixed(1)} ${units[unit]}`;
}

/** Three figures at most, and never more decimals than mean something. */
export function number(value: number): string {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 10_000) return `${(value / 1000).toFixed(size >= 100_000 ? 0 : 1)}k`;
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1).replace(/\.0$/, "");
  return value.toFixed(2).replace(/\.?0+$/, "");
}

export function percent(value: number): string {
  return `${value.toFixed(1).replace(/\.0$/, "")} %`;
}

export function seconds(value: number): string {
  if (value === 0) return "0";
  if (value < 0.9995) return `${value < 0.01 ? (value * 1000).toFixed(1) : Math.round(value * 1000)} ms`;
  if (value < 10) return `${value.toFixed(1)} s`;
  return span(value);
}

export function span(value: number): string {
  const whole = Math.max(0, Math.round(value));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min${whole % 60 && whole < 600 ? ` ${whole % 60} s` : ""}`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)} h${whole % 3600 < 60 ? "" : ` ${Math.floor((whole % 3600) / 60)} min`}`;
  return `${Math.floor(whole / 86_400)} d ${Math.floor((whole % 86_400) / 3600)} h`;
}

export function ago(time: string, now: number): string {
  const gone = (now - Date.parse(time)) / 1000;
  return gone < 5 ? "just now" : `${span(gone)} ago`;
}

export function until(time: string, now: number): string {
  return span((Date.parse(time) - now) / 1000);
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function clock(time: string | number): string {
  return CLOCK.format(new Date(time));
}

/** An interval of the clock, in seconds since 1970; with seconds where it does not begin and end on a minute. */
export function between(from: number, to: number): string {
  const long = from % 60 === 0 && to % 60 === 0 ? 5 : 8;
  return `${clock(from * 1000).slice(0, long)}–${clock(to * 1000).slice(0, long)}`;
}

export function moment(time: string): string {
  return DAY.format(new Date(time));
}

/** The version of `name@version`. */
export function version(bundle: string): string {
  return bundle.slice(bundle.indexOf("@") + 1);
}

export function name(bundle: string): string {
  const at = bundle.indexOf("@");
  return at < 0 ? bundle : bundle.slice(0, at);
}
