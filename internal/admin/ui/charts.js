// Throughput and connect latency of the last fifteen minutes.

import { element, reconcile, setText } from "./dom.js";
import { clock, milliseconds, rate } from "./format.js";

const keep = 900; // samples, one a second
const mostLines = 8; // that one can tell apart
const leastSpan = 120; // seconds that a chart spans at least
const holeAfter = 20; // seconds without a dial that a latency's line bridges

// History is what the charts show, gathered from frames.
export class History {
  constructor() {
    this.clear();
  }

  clear() {
    this.at = [];
    this.links = new Map();
  }

  // add takes samples that are newer than those it has, and says whether there is
  // something missing between the two.
  add(doc) {
    const last = this.at.length ? this.at[this.at.length - 1] : -Infinity;
    let first = doc.at.findIndex((at) => at > last);
    if (first < 0) return false;
    const missing = this.at.length > 0 && first === 0 && doc.at[0] - last > 1500;
    for (const link of doc.links) {
      if (!this.links.has(link.name)) {
        const none = () => new Array(this.at.length).fill(null);
        this.links.set(link.name, { in: none(), out: none(), connect: none() });
      }
    }
    const byName = new Map(doc.links.map((l) => [l.name, l]));
    for (; first < doc.at.length; first++) {
      this.at.push(doc.at[first]);
      for (const [name, kept] of this.links) {
        for (const what of ["in", "out", "connect"]) kept[what].push(byName.get(name)?.[what][first] ?? null);
      }
    }
    const over = this.at.length - keep;
    if (over > 0) {
      this.at.splice(0, over);
      for (const kept of this.links.values()) for (const what of ["in", "out", "connect"]) kept[what].splice(0, over);
    }
    return missing;
  }

  get names() {
    return [...this.links.keys()];
  }
}

const sum = (a, b) => a.map((x, i) => (x === null ? null : x + (b[i] ?? 0)));

// lines are those of the throughput, in and out apart when one link is chosen.
export function throughputLines(history, chosen) {
  const link = history.links.get(chosen);
  if (link) {
    return [{ name: "to the backend", values: link.in }, { name: "from the backend", values: link.out }];
  }
  return history.names.slice(0, mostLines).map((name) => {
    const l = history.links.get(name);
    return { name, values: sum(l.in, l.out) };
  });
}

export function connectLines(history, chosen) {
  const names = history.links.has(chosen) ? [chosen] : history.names.slice(0, mostLines);
  return names.map((name) => ({ name, values: history.links.get(name).connect }));
}

// Chart is one chart with its legend, which has the values under the pointer, or
// else the newest.
export class Chart {
  constructor(box, legend, label, { format, least, sparse, steps }) {
    Object.assign(this, { box, legend, label, format, least, sparse, steps, at: [], lines: [] });
    new ResizeObserver(() => this.resize()).observe(box);
  }

  show(at, lines) {
    this.at = at.map((ms) => ms / 1000);
    this.lines = lines;
    const shape = lines.map((l) => l.name).join("\n");
    if (!this.plot || this.shape !== shape) {
      this.shape = shape;
      this.build();
    } else {
      this.plot.setData(this.data());
    }
    this.tell();
  }

  data() {
    return [this.at, ...this.lines.map((l) => l.values)];
  }

  // build makes the chart anew: with other lines, or in other colors.
  build() {
    this.plot?.destroy();
    const style = getComputedStyle(this.box);
    const ink = style.color, grid = style.borderTopColor;
    reconcile(this.legend, this.lines, (l) => l.name, makeEntry, (e, l) => {
      e.firstElementChild.dataset.line = String(this.lines.indexOf(l) + 1);
      setText(e.children[1], l.name);
    });
    const axis = { stroke: ink, font: "11px system-ui, sans-serif", grid: { stroke: grid, width: 1 }, ticks: { show: false } };
    this.plot = new uPlot({
      width: Math.max(200, this.box.clientWidth), height: this.height(),
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: "ambassador" } },
      scales: {
        x: { range: () => this.span() },
        y: { range: (_, min, max) => [0, Math.max(this.least, (max || 0) * 1.12)] },
      },
      axes: [
        { ...axis, size: 26, gap: 6, space: 70, incrs: [30, 60, 120, 180, 300], values: (_, times) => times.map((t) => clock(t * 1000).slice(0, t % 60 ? 8 : 5)) },
        { ...axis, size: 68, space: 36, ...(this.steps && { incrs: this.steps }), values: (_, values) => values.map((v) => (v === 0 ? "0" : this.format(v))) },
      ],
      series: [{}, ...this.lines.map((l, i) => this.line(l, getComputedStyle(this.legend.children[i].firstElementChild).color))],
      hooks: { setCursor: [() => this.tell()] },
    }, this.data(), this.box);
  }

  line(l, color) {
    const series = { label: l.name, stroke: color, width: 1.75, points: { show: false } };
    if (this.lines.length === 1) series.fill = color.replace("rgb(", "rgba(").replace(")", ", .12)");
    if (this.sparse) {
      // A dial now and then is a line all the same; a long silence is not, and one dial
      // alone is a point.
      series.points = { show: true, size: 4, fill: color, filter: (u, i) => alone(u.data[i]) };
      series.gaps = (u, _, from, to, gaps) => {
        const least = (holeAfter / (u.scales.x.max - u.scales.x.min)) * u.bbox.width;
        return gaps.filter(([a, b]) => b - a > least);
      };
    }
    return series;
  }

  // span is what the chart shows: fifteen minutes, less while there are not so many.
  span() {
    const to = this.at.length ? this.at[this.at.length - 1] : Date.now() / 1000;
    const from = Math.max(to - keep, Math.min(this.at[0] ?? to, to - leastSpan));
    return [from, to];
  }

  height() {
    return this.box.clientWidth < 420 ? 160 : 200;
  }

  resize() {
    if (this.plot && this.box.clientWidth > 0) this.plot.setSize({ width: this.box.clientWidth, height: this.height() });
  }

  tell() {
    const pointed = this.plot?.cursor.idx ?? null;
    const words = [];
    this.lines.forEach((l, i) => {
      const value = pointed === null ? newest(l.values, this.sparse ? holeAfter : 3) : (l.values[pointed] ?? null);
      const text = value === null ? "–" : this.format(value);
      const entry = this.legend.children[i];
      if (entry) setText(entry.children[2], text);
      words.push(`${l.name} ${text}`);
    });
    if (pointed === null) this.box.setAttribute("aria-label", `${this.label}, now: ${words.join(", ") || "no link yet"}`);
  }
}

function makeEntry() {
  const li = element("li");
  li.append(element("i", "swatch"), element("span"), element("b"));
  return li;
}

// alone are the places of values without a neighbour.
function alone(values) {
  const none = (i) => values[i] === null || values[i] === undefined;
  return values.flatMap((_, i) => (!none(i) && none(i - 1) && none(i + 1) ? [i] : []));
}

// newest is the last value of not too long ago.
function newest(values, within) {
  for (let i = values.length - 1; i >= Math.max(0, values.length - within); i--) {
    if (values[i] !== null) return values[i];
  }
  return null;
}

// powersOfTwo are round distances on an axis of bytes.
export const powersOfTwo = Array.from({ length: 50 }, (_, i) => 2 ** i);

export const formats = { throughput: rate, connect: milliseconds };
