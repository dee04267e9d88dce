// Numbers, times and words as people read them. Pure.

const NUMBER = new Intl.NumberFormat("en-US");
const COMPACT = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
/** Stands where a figure is not known: a figure that is missing is never shown as 0. */
export const UNKNOWN = "–";

/** Return a count: exact up to 99,999, then `1.2M`. */
export function count(value) {
  if (!Number.isFinite(value)) return UNKNOWN;
  return Math.abs(value) < 100_000 ? NUMBER.format(Math.round(value)) : COMPACT.format(value);
}

/** Return `1 node`, `2 nodes`; the plural of `copy` has to be given. */
export function counted(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** Return a number per second or minute, with one digit behind the point if it is small. */
export function rate(value) {
  if (!Number.isFinite(value)) return UNKNOWN;
  return value > 0 && value < 10 ? value.toFixed(1) : count(value);
}

/** Return a time span in milliseconds: `0.4 ms`, `12 ms`, `1.5 s`. */
export function milliseconds(value) {
  if (!Number.isFinite(value)) return UNKNOWN;
  if (value >= 1000) return span(value / 1000);
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

/** Return a time span with its largest two units: `42 s`, `3 min 5 s`, `2 d 4 h`. */
export function span(seconds) {
  if (!Number.isFinite(seconds)) return UNKNOWN;
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1).replace(/\.0$/, "")} s`;
  const whole = Math.round(seconds);
  if (whole < MINUTE) return `${whole} s`;
  if (whole < HOUR) return units(whole, MINUTE, "min", 1, "s");
  if (whole < DAY) return units(whole, HOUR, "h", MINUTE, "min");
  return units(whole, DAY, "d", HOUR, "h");
}

/** Return how long ago that was, for a time in seconds. */
export function ago(seconds) {
  return seconds < 1 ? "just now" : `${span(Math.floor(seconds))} ago`;
}

/** Return `41.7 %` of a share between 0 and 1. */
export function percent(share) {
  return Number.isFinite(share) ? `${(100 * share).toFixed(1).replace(/\.0$/, "")} %` : UNKNOWN;
}

/** Return the time of day of a date, as this machine writes it: `14:02:07`. */
export function clock(date) {
  return date.toLocaleTimeString("en-GB");
}

/** Return an address without the scheme that all of them have. */
export function bare(address) {
  return (address ?? "").replace(/^tcp:\/\//, "");
}

function units(value, large, largeName, small, smallName) {
  const rest = Math.floor((value % large) / small);
  const first = `${Math.floor(value / large)} ${largeName}`;
  return rest === 0 ? first : `${first} ${rest} ${smallName}`;
}
