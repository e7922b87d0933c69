// Numbers, times and names as a person reads them.

// All as "ambassador status" writes it: cmd/ambassador/units.go.

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

// bytes are in powers of 1024, with three digits.
export function bytes(n) {
  let unit = n < 1023.5 ? 0 : 1;
  n /= 1024 ** unit;
  while (unit > 0 && n >= 999.5 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  const digits = unit === 0 || n >= 99.95 ? 0 : n >= 9.995 ? 1 : 2;
  return `${n.toFixed(digits)} ${units[unit]}`;
}

export const rate = (n) => `${bytes(n)}/s`;

export const integer = (n) => Math.round(n).toLocaleString("en");

export function milliseconds(ms) {
  if (ms >= 10000) return `${(ms / 1000).toFixed(0)} s`;
  return `${ms.toFixed(ms >= 10 ? 0 : 2)} ms`;
}

// span is a duration in its two largest units.
export function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  const two = (n) => String(n).padStart(2, "0");
  if (d) return `${d}d${h}h`;
  if (h) return `${h}h${two(m)}m`;
  if (m) return `${m}m${two(s % 60)}s`;
  return `${s}s`;
}

export const seconds = (time) => Date.parse(time) / 1000;

export function clock(time) {
  return new Date(time).toLocaleTimeString("en-GB");
}

export function date(time) {
  return new Date(time).toLocaleDateString("en-GB", { day: "numeric", month: "short", year: "numeric" });
}

// shortName is the last part of an identity, which is what people call a peer.
export function shortName(identity) {
  return identity ? identity.slice(identity.lastIndexOf("/") + 1) : "";
}

export const spoken = (word) => (word || "").replaceAll("-", " ");

export const plural = (n, word) => `${integer(n)} ${word}${n === 1 ? "" : "s"}`;

// The marks that stand beside a state's word: color alone says nothing to many.
export const marks = { up: "✓", degraded: "!", down: "✕", unknown: "?" };
