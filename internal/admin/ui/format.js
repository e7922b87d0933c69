// Numbers, times and names as a person reads them.

const units = ["B", "kB", "MB", "GB", "TB", "PB"];

// bytes are in powers of 1000, as network speeds are.
export function bytes(n) {
  let unit = 0;
  while (Math.abs(n) >= 999.5 && unit < units.length - 1) {
    n /= 1000;
    unit++;
  }
  const digits = unit === 0 || Math.abs(n) >= 100 ? 0 : Math.abs(n) >= 10 ? 1 : 2;
  return `${n.toFixed(digits)} ${units[unit]}`;
}

export const rate = (n) => `${bytes(n)}/s`;

export const integer = (n) => Math.round(n).toLocaleString("en");

export function milliseconds(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(ms >= 10000 ? 0 : 1)} s`;
  if (ms >= 100) return `${ms.toFixed(0)} ms`;
  return `${ms.toFixed(ms >= 10 ? 1 : 2)} ms`;
}

// span is a duration in its two largest units.
export function span(seconds) {
  const s = Math.max(0, Math.floor(seconds));
  const d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
  if (d >= 10) return `${d} d`;
  if (d) return h ? `${d} d ${h} h` : `${d} d`;
  if (h) return m ? `${h} h ${m} min` : `${h} h`;
  if (m >= 10) return `${m} min`;
  if (m) return s % 60 ? `${m} min ${s % 60} s` : `${m} min`;
  return `${s} s`;
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
