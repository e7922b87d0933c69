// The pair as a picture: consumers, the two ambassadors, the links' backends, and
// what joins them. Side by side where there is room, else from top to bottom.

import { shape } from "./dom.js";
import { marks, milliseconds, plural, rate, shortName, spoken } from "./format.js";

const wide = 820; // least width for side by side
const mostBoxes = 6; // of one kind; the tables have them all
const boxHeight = 60;
const rowHeight = 72;
const indent = 30; // of what hangs on an ambassador, from top to bottom

// draw replaces the picture in a box.
export function draw(box, frame) {
  const pair = describe(frame);
  const width = Math.max(280, Math.floor(box.clientWidth));
  const svg = width >= wide ? beside(pair, width) : below(pair, width);
  svg.setAttribute("aria-hidden", "true");
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", pair.words);
  box.replaceChildren(svg);
}

// describe turns a frame into what there is to draw: four columns of boxes, where
// forward has no provider.
function describe({ status, rates, peers }) {
  const links = few(status.links.map((l) => linkBox(l, rates[l.name])), status.links.length);
  const here = { here: true, state: status.ready ? "up" : "", title: shortName(status.identity) || "this ambassador", line: status.listen.join(", ") };
  const through = (kind) => status.links.slice(0, links.length).map((l) => consumerBox(l, kind));
  let pair;
  switch (status.role) {
    case "provider": {
      const clients = few(status.peers.slice().sort((a, b) => b.connected - a.connected).map(clientBox), peers);
      if (clients.length === 0) clients.push({ kind: "client", title: "no client yet", line: "“ambassador invite NAME” lets one in", state: "unknown", word: "none" });
      pair = {
        consumers: clients.map((c) => ({ kind: "consumers", title: c.streams === undefined ? "consumers" : plural(c.streams, "stream"), line: "of this client", state: "" })),
        clients,
        provider: { ...here, kind: "provider, this one" },
        links,
        each: true,
      };
      break;
    }
    case "client": {
      const up = status.sessions > 0;
      const rtt = status.peers.find((p) => p.connected && p.rtt_seconds)?.rtt_seconds;
      pair = {
        consumers: through("consumers"),
        clients: [{ ...here, kind: "client, this one", line: plural(status.streams, "stream") }],
        provider: { kind: "provider", title: status.provider, line: up && rtt ? `round trip ${milliseconds(rtt * 1000)}` : "", state: up ? "up" : "down", word: up ? "connected" : "no session" },
        links,
        tunnel: up ? "up" : "down",
      };
      break;
    }
    default:
      pair = { consumers: through("consumers"), clients: [{ ...here, kind: "forwarder, in the clear", title: "this ambassador" }], links };
  }
  pair.words = inWords(status, peers);
  return pair;
}

function few(boxes, all) {
  if (all <= mostBoxes) return boxes;
  return [...boxes.slice(0, mostBoxes - 1), { kind: "", title: `and ${all - mostBoxes + 1} more`, line: "see the tables below", state: "", more: true }];
}

function linkBox(l, flow) {
  const backends = l.ports.map((p) => p.backend || `port ${p.port}`);
  const total = flow ? flow.in + flow.out : 0;
  return { kind: "link", title: l.name, line: l.state === "up" || !l.reason ? backends.join(", ") : spoken(l.reason), state: l.state, word: l.state, flow: total > 0 ? rate(total) : "idle", busy: total > 0 };
}

function consumerBox(l) {
  const local = l.ports.flatMap((p) => p.local || []);
  return { kind: "consumers", title: local[0] || "no local port", line: [local.length > 1 ? `and ${local.length - 1} more` : "", plural(l.streams, "stream")].filter(Boolean).join(" · "), state: "" };
}

function clientBox(p) {
  const state = p.connected ? "up" : p.revoked ? "down" : "unknown";
  return {
    kind: "client", title: shortName(p.identity), state, streams: p.streams,
    word: p.connected ? "connected" : p.revoked ? "revoked" : "away",
    line: [p.addresses?.[0], p.rtt_seconds ? milliseconds(p.rtt_seconds * 1000) : ""].filter(Boolean).join(" · ") || "not connected",
  };
}

function inWords(status, peers) {
  const links = status.links.map((l) => `${l.name} ${l.state}${l.reason ? ` (${spoken(l.reason)})` : ""}`).join(", ") || "no link";
  switch (status.role) {
    case "provider": return `${plural(peers, "client")}, of which ${status.peers.filter((p) => p.connected).length} connected, come to this provider, which leads to: ${links}.`;
    case "client": return `Consumers come to this client, which has ${status.sessions > 0 ? "a" : "no"} session with the provider ${status.provider}, which leads to: ${links}.`;
  }
  return `Consumers come to this forwarder, which leads to: ${links}.`;
}

// beside draws the columns from left to right.
function beside(pair, width) {
  const columns = [pair.consumers, pair.clients, pair.provider ? [pair.provider] : null, pair.links].filter(Boolean);
  const boxWidth = Math.min(236, Math.floor((width - 76 * (columns.length - 1)) / columns.length));
  const gap = (width - boxWidth * columns.length) / (columns.length - 1);
  const height = Math.max(...columns.map((c) => c.length)) * rowHeight - (rowHeight - boxHeight) + 2;
  columns.forEach((boxes, c) => {
    const top = (height - (boxes.length * rowHeight - (rowHeight - boxHeight))) / 2;
    boxes.forEach((b, i) => Object.assign(b, { x: c * (boxWidth + gap), y: top + i * rowHeight, width: boxWidth }));
  });
  const svg = canvas(width, height);
  const curve = (from, to) => {
    const x1 = from.x + from.width, x2 = to.x, y1 = from.y + boxHeight / 2, y2 = to.y + boxHeight / 2, m = (x1 + x2) / 2;
    return { d: `M${x1} ${y1}C${m} ${y1} ${m} ${y2} ${x2} ${y2}`, x: m, y: (y1 + y2) / 2 - 7, end: { x: x2 - 8, y: y2 - 7 } };
  };
  joints(pair, (from, to, look) => {
    const { d, x, y, end } = curve(from, to);
    edge(svg, d, look);
    if (!look.text) return;
    // A link's rate stands at the link: in the middle lines of others run through it.
    const place = look.tunnel ? { x, y, "text-anchor": "middle" } : { ...end, "text-anchor": "end" };
    svg.append(shape("text", { ...place, class: "edge-text" }, look.text));
  });
  for (const b of columns.flat()) drawBox(svg, b);
  return svg;
}

// below draws the ambassadors from top to bottom, with what hangs on each beside a
// line.
function below(pair, width) {
  let y = 1;
  const place = (boxes, inset, space) => {
    for (const b of boxes) {
      Object.assign(b, { x: inset, y, width: width - inset - 1 });
      y += boxHeight + 8;
    }
    y += space;
  };
  if (pair.each) {
    pair.consumers = []; // the clients' boxes say it
    place(pair.clients, indent, 10);
  } else {
    place(pair.consumers, indent, 10);
    place(pair.clients, 1, 26);
  }
  if (pair.provider) place([pair.provider], 1, 10);
  place(pair.links, indent, 0);
  const svg = canvas(width, y - 7);
  const rail = 14;
  joints(pair, (from, to, look) => {
    const leaf = from.x === indent ? from : to;
    const node = leaf === from ? to : from;
    if (leaf.x !== indent) {
      edge(svg, `M${rail} ${from.y + boxHeight}V${to.y}`, look);
      return;
    }
    const end = leaf.y < node.y ? node.y : node.y + boxHeight;
    edge(svg, `M${leaf.x} ${leaf.y + boxHeight / 2}H${rail}V${end}`, look);
  });
  for (const b of [...pair.consumers, ...pair.clients, pair.provider, ...pair.links].filter(Boolean)) {
    if (b.flow && !b.more) b.line = `${b.line} · ${b.flow}`;
    drawBox(svg, b);
  }
  return svg;
}

// joints calls join for each line of the picture.
function joints(pair, join) {
  const plain = { state: "" };
  pair.consumers.forEach((c, i) => join(c, pair.each ? pair.clients[i] : pair.clients[0], plain));
  if (pair.provider) {
    for (const c of pair.clients) join(c, pair.provider, { tunnel: true, state: pair.tunnel || c.state, text: pair.each || !pair.tunnel ? "" : "TLS" });
  }
  // What is down last, for it shows on top where lines run together.
  const order = { up: 0, unknown: 1, degraded: 2, down: 3 };
  for (const l of pair.links.slice().sort((a, b) => (order[a.state] ?? 0) - (order[b.state] ?? 0))) {
    join(pair.provider || pair.clients[0], l, { state: l.state, text: l.busy ? l.flow : "" });
  }
}

const canvas = (width, height) => shape("svg", { width, height, viewBox: `0 0 ${width} ${height}` });

// edge draws a line, the tunnel as two that run side by side.
function edge(svg, d, { state, tunnel }) {
  svg.append(shape("path", { d, class: `edge${tunnel ? " tunnel" : ""}`, "data-state": state }));
  if (tunnel) svg.append(shape("path", { d, class: "bore" }));
}

function drawBox(svg, b) {
  const g = shape("g", { class: `box${b.here ? " here" : ""}${b.more ? " more" : ""}`, "data-state": b.state });
  g.append(shape("title", {}, [b.kind, b.title, b.word, b.line].filter(Boolean).join(", ")));
  g.append(shape("rect", { x: b.x, y: b.y, width: b.width, height: boxHeight, rx: 8 }));
  const word = b.word ? `${marks[b.state] || ""} ${b.word}` : "";
  g.append(shape("text", { x: b.x + 12, y: b.y + 17, class: "kind" }, b.kind));
  g.append(shape("text", { x: b.x + b.width - 12, y: b.y + 17, class: "word", "text-anchor": "end" }, word));
  g.append(shape("text", { x: b.x + 12, y: b.y + 35, class: "name" }, clip(b.title, (b.width - 20) / 8.3)));
  g.append(shape("text", { x: b.x + 12, y: b.y + 51, class: "line" }, clip(b.line || "", (b.width - 20) / 6.9)));
  svg.append(g);
}

function clip(text, most) {
  most = Math.floor(most);
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
