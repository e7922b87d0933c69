// The dashboard: takes frames from the feed and shows them. A frame is described in
// internal/admin/dashboard_frame.go, and the status in it in status.go.

import { Chart, History, connectLines, formats, powersOfTwo, throughputLines } from "./charts.js";
import { Table, byID, element, reconcile, setText } from "./dom.js";
import { Feed } from "./feed.js";
import * as f from "./format.js";
import { draw } from "./picture.js";

const history = new History();
let frame = null; // the newest
let paused = false;
let chosen = ""; // link of the charts, empty for all

const exact = (n) => `${f.integer(n)} bytes`;
const total = (c) => c.bytes_in + c.bytes_out;
const age = (since) => (since ? f.span(f.seconds(frame.status.time) - f.seconds(since)) : "");
const stateBadge = (l) => [l.state, l.state, f.marks[l.state]];

const bytesIn = { name: "To backend", number: true, text: (r) => f.bytes(r.bytes_in), title: (r) => exact(r.bytes_in), value: (r) => r.bytes_in };
const bytesOut = { name: "From backend", number: true, text: (r) => f.bytes(r.bytes_out), title: (r) => exact(r.bytes_out), value: (r) => r.bytes_out };
const flow = { name: "Rate", number: true, text: (r) => f.rate(r.rate.in + r.rate.out), title: (r) => `${f.rate(r.rate.in)} to the backend, ${f.rate(r.rate.out)} from it` };
const running = { name: "Streams", number: true, text: (r) => f.integer(r.streams), value: (r) => r.streams };

const tables = {
  links: new Table(byID("links"), "Links", [
    { name: "Link", text: (l) => l.name },
    { name: "State", badge: stateBadge },
    { name: "Why", text: (l) => (l.reason ? f.spoken(l.reason) : "–") },
    { name: "Ports", text: portWords, title: portTitle },
    flow, running,
    { name: "Opened", number: true, text: (l) => f.integer(l.streams_opened), value: (l) => l.streams_opened },
    bytesIn, bytesOut,
    { name: "Dial", number: true, text: dialWords },
  ], "No link yet."),
  peers: new Table(byID("peers"), "Peers", [
    { name: "Peer", text: (p) => f.shortName(p.identity), title: (p) => p.identity },
    { name: "State", badge: (p) => (p.connected ? ["up", "connected", f.marks.up] : p.revoked ? ["down", "revoked", f.marks.down] : ["unknown", "away", "–"]) },
    { name: "Address", text: (p) => (p.addresses || []).join(", ") || "–" },
    { name: "Since", number: true, text: (p) => age(p.since) || "–" },
    { name: "Round trip", number: true, text: (p) => (p.rtt_seconds ? f.milliseconds(p.rtt_seconds * 1000) : "–") },
    running, bytesIn, bytesOut,
    { name: "Links", text: (p) => (p.links || []).map((l) => (l === "*" ? "all" : l)).join(", ") || "–" },
    { name: "Certificate", number: true, text: (p) => (p.certificate_not_after ? left(p.certificate_not_after) : "–"), title: (p) => (p.certificate_not_after ? f.date(p.certificate_not_after) : "") },
    { name: "Version", text: (p) => p.version || "–" },
  ], "No peer yet."),
  streams: new Table(byID("streams"), "Streams", [
    { name: "Stream", text: (s) => s.id },
    { name: "Link", text: (s) => `${s.link}:${s.port}` },
    { name: "Phase", badge: (s) => [s.phase === "open" ? "up" : "degraded", s.phase, ""] },
    { name: "Peer", text: (s) => f.shortName(s.peer) || "–", title: (s) => s.peer || "" },
    { name: "Consumer", text: (s) => s.consumer || "–" },
    { name: "Backend", text: (s) => s.backend || "–" },
    { name: "Age", number: true, text: (s) => age(s.since) },
    flow, bytesIn, bytesOut,
  ], "No stream is open."),
  sessions: new Table(byID("sessions"), "Sessions", [
    { name: "Session", text: (s) => s.id },
    { name: "Peer", text: (s) => f.shortName(s.peer), title: (s) => s.peer },
    { name: "State", badge: (s) => (s.draining ? ["degraded", "draining", "!"] : s.silent_seconds > 20 ? ["degraded", "silent", "!"] : ["up", "up", f.marks.up]) },
    { name: "Address", text: (s) => s.remote },
    { name: "Age", number: true, text: (s) => age(s.since) },
    { name: "Round trip", number: true, text: (s) => (s.rtt_seconds ? f.milliseconds(s.rtt_seconds * 1000) : "–") },
    running, flow, bytesIn, bytesOut,
  ], "No session is up."),
  ended: new Table(byID("ended"), "How streams ended", [
    { name: "Reason", badge: (e) => [e.orderly ? "" : "down", f.spoken(e.reason), e.orderly ? "✓" : "✕"] },
    { name: "15 min", number: true, text: (e) => f.integer(e.lately), value: (e) => e.lately },
    { name: "Since start", number: true, text: (e) => f.integer(e.count), value: (e) => e.count },
  ], "No stream has ended yet."),
  certificates: new Table(byID("certificates"), "Certificates", [
    { name: "Certificate", text: (c) => c.name, title: (c) => c.identity || "" },
    { name: "State", badge: certificateBadge, title: (c) => c.error || "" },
    { name: "Expires in", number: true, text: (c) => left(c.not_after), title: (c) => new Date(c.not_after).toISOString() },
    { name: "Renews", number: true, text: (c) => (c.renews ? f.date(c.renews) : "by hand") },
  ], "It has none."),
};

const charts = {
  throughput: new Chart(byID("throughput"), byID("throughput-legend"), "Throughput", { format: formats.throughput, least: 1024, steps: powersOfTwo }),
  connect: new Chart(byID("connect"), byID("connect-legend"), "Connect latency", { format: formats.connect, least: 1, sparse: true }),
};

function portWords(l) {
  return l.ports.map((p) => {
    const to = p.backend || `port ${p.port}`;
    const from = (p.local || []).join(", ");
    const trouble = l.ports.length > 1 && p.state !== "up" ? ` (${p.state}${p.reason ? `: ${f.spoken(p.reason)}` : ""})` : "";
    return (from ? `${from} → ${to}` : to) + trouble;
  }).join(", ");
}

function portTitle(l) {
  return l.ports.map((p) => `port ${p.port} ${p.state}${p.checked ? `, checked ${age(p.checked)} ago` : ""}`).join("; ");
}

function dialWords(l) {
  const dials = l.ports.filter((p) => p.dial_seconds && p.state === "up").map((p) => p.dial_seconds);
  return dials.length ? f.milliseconds(Math.max(...dials) * 1000) : "–";
}

function left(time) {
  const seconds = f.seconds(time) - f.seconds(frame.status.time);
  return seconds > 0 ? f.span(seconds) : "expired";
}

function certificateBadge(c) {
  const days = (f.seconds(c.not_after) - f.seconds(frame.status.time)) / 86400;
  if (days <= 0) return ["down", "expired", f.marks.down];
  if (c.error) return ["degraded", "not renewed", f.marks.degraded];
  if (days < 7 && (!c.renews || f.seconds(c.renews) < f.seconds(frame.status.time))) return ["degraded", "ends soon", f.marks.degraded];
  return ["up", "good", f.marks.up];
}

// stateOf is the ambassador's as one word, as its links are.
function stateOf(status) {
  if (status.ready) return "up";
  if (status.draining) return "degraded";
  const has = (...states) => status.links.some((l) => states.includes(l.state));
  if (has("up", "degraded")) return "degraded";
  return has("down") || status.links.length === 0 ? "down" : "unknown";
}

function show() {
  const { status } = frame;
  showVerdict(status);
  draw(byID("picture"), frame);
  if (paused) return;
  showFigures(status);
  showCharts();
  tables.links.show(status.links.map((l) => ({ ...l, rate: frame.rates[l.name] || { in: 0, out: 0 } })), (l) => l.name);
  tables.peers.show(status.peers, (p) => p.identity);
  tables.streams.show(frame.streams, (s) => s.id);
  tables.sessions.show(frame.sessions, (s) => s.id);
  tables.ended.show(frame.ended, (e) => e.reason);
  tables.certificates.show(status.certificates, (c) => `${c.name} ${c.identity || ""}`);
  setText(byID("streams-note"), some(frame.streams.length, status.streams));
  setText(byID("sessions-note"), some(frame.sessions.length, status.sessions));
  showEvents();
}

const some = (shown, all) => (all > shown ? `the busiest ${shown} of ${f.integer(all)}` : "");

function showVerdict(status) {
  const state = stateOf(status);
  const name = f.shortName(status.identity) || status.role;
  document.body.dataset.role = status.role;
  byID("verdict").dataset.state = state;
  setText(byID("verdict-mark"), f.marks[state]);
  setText(byID("verdict-text"), status.verdict);
  setText(byID("verdict-aside"), `${status.ready ? "Ready" : "Not ready"} · up for ${age(status.started)} · as of ${f.clock(status.time)}`);
  setText(byID("title"), name);
  setText(byID("subtitle"), name === status.role ? "" : status.role);
  document.title = `${f.marks[state]} ${state} · ${name} · ambassador`;
  reconcile(byID("warnings"), status.warnings, (w) => w.text, () => {
    const li = element("li");
    li.append(element("b"), element("span"));
    return li;
  }, (li, w) => {
    setText(li.children[0], w.text);
    setText(li.children[1], w.fix ? ` ${w.fix}` : "");
  });
  setText(byID("about"), `ambassador ${status.build.version} · ${status.build.platform} · pid ${status.pid}${status.identity ? ` · ${status.identity}` : ""}`);
}

function showFigures(status) {
  const rates = Object.values(frame.rates);
  const soonest = status.certificates.slice().sort((a, b) => f.seconds(a.not_after) - f.seconds(b.not_after))[0];
  const unclean = frame.ended.filter((e) => !e.orderly).reduce((n, e) => n + e.lately, 0);
  const figures = [
    ["To backends", f.rate(rates.reduce((n, r) => n + r.in, 0))],
    ["From backends", f.rate(rates.reduce((n, r) => n + r.out, 0))],
    ["Carried", f.bytes(status.links.reduce((n, l) => n + total(l), 0))],
    ["Streams", f.integer(status.streams)],
    ["Sessions", f.integer(status.sessions)],
    ["Broken in 15 min", f.integer(unclean), unclean > 0 ? "degraded" : ""],
    ["Certificate ends in", soonest ? left(soonest.not_after) : "–", soonest ? certificateBadge(soonest)[0] : ""],
  ].filter(([name]) => status.role !== "forwarder" || (name !== "Sessions" && !name.startsWith("Certificate")));
  reconcile(byID("figures"), figures, ([name]) => name, () => {
    const div = element("div");
    div.append(element("dt"), element("dd"));
    return div;
  }, (div, [name, value, state]) => {
    setText(div.children[0], name);
    setText(div.children[1], value);
    div.dataset.state = state || "";
  });
}

function showCharts() {
  if (history.at.length === 0) return; // it has not come yet: an empty chart would say that nothing flowed
  const select = byID("chart-link");
  reconcile(select, ["", ...history.names], (name) => name, (name) => new Option(name || "all", name), () => {});
  charts.throughput.show(history.at, throughputLines(history, chosen));
  charts.connect.show(history.at, connectLines(history, chosen));
}

function showEvents() {
  const empty = { id: "none", text: "Nothing has happened yet." };
  reconcile(byID("events"), frame.events.length ? frame.events : [empty], (e) => e.id, () => {
    const li = element("li");
    li.append(element("time"), element("i"), element("span"));
    li.children[1].setAttribute("aria-hidden", "true");
    return li;
  }, (li, e) => {
    if (e.time) {
      setText(li.children[0], f.clock(e.time));
      li.children[0].dateTime = e.time;
      li.children[0].title = new Date(e.time).toISOString();
    }
    li.dataset.state = e.problem ? "down" : "";
    setText(li.children[1], e.problem ? "✕" : "·");
    const about = [f.shortName(e.peer), e.reason ? f.spoken(e.reason) : ""].filter(Boolean).join(": ");
    setText(li.children[2], about ? `${e.text} (${about})` : e.text);
  });
}

let fetching = false;

// catchUp asks for all samples: at the start, and after some were missed.
async function catchUp() {
  if (fetching) return;
  fetching = true;
  try {
    const answer = await fetch("history", { cache: "no-store" });
    if (!answer.ok) return;
    const all = await answer.json();
    history.clear();
    history.add(all);
  } catch {
    // The feed finds out what is wrong, and the next gap asks again.
  } finally {
    fetching = false;
  }
}

function take(next) {
  if (frame && next.status.started !== frame.status.started) history.clear(); // another process
  const missing = history.at.length === 0 || history.add(next.history);
  frame = next;
  show();
  if (missing) catchUp().then(show);
}

const feed = new Feed(take, (state) => {
  document.body.dataset.feed = state;
  setText(byID("feed-word"), state);
  if (state !== "disconnected") return;
  byID("verdict").dataset.state = "down";
  setText(byID("verdict-mark"), f.marks.down);
  setText(byID("verdict-text"), frame ? "Lost: the ambassador does not answer. What is below is old." : "The ambassador does not answer.");
  document.title = "✕ lost · ambassador";
});

setInterval(() => {
  if (document.body.dataset.feed === "disconnected") setText(byID("verdict-aside"), `Last heard ${f.span(feed.silence)} ago. Trying again every two seconds.`);
}, 1000);

byID("chart-link").addEventListener("change", (event) => {
  chosen = event.target.value;
  if (frame) showCharts();
});

byID("pause").addEventListener("click", (event) => {
  paused = !paused;
  event.target.setAttribute("aria-pressed", String(paused));
  setText(event.target, paused ? "Resume" : "Pause");
  document.body.classList.toggle("paused", paused);
  if (!paused && frame) show();
});

const themes = ["auto", "light", "dark"];

function setTheme(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  setText(byID("theme"), `Theme: ${theme}`);
  repaint();
}

// repaint draws the charts in the theme's colors: a canvas does not follow CSS.
function repaint() {
  for (const chart of Object.values(charts)) if (chart.plot) chart.build();
}

byID("theme").addEventListener("click", () => {
  const now = document.documentElement.dataset.theme || "auto";
  const next = themes[(themes.indexOf(now) + 1) % themes.length];
  try {
    localStorage.setItem("ambassador-theme", next);
  } catch {
    // It holds until the page is left, then.
  }
  setTheme(next);
});

setTheme(document.documentElement.dataset.theme || "auto");
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
new ResizeObserver(() => frame && draw(byID("picture"), frame)).observe(byID("picture").parentElement);
feed.start();
