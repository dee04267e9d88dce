// The overview: one sentence of state, the figures of this session, lost nodes, recent events.

import { sparkline } from "./charts.js";
import { el } from "./dom.js";
import { ago, count, counted, milliseconds, rate, span } from "./format.js";
import { badge, banner, card, empty, figure, table } from "./parts.js";
import { levelOfStatus, nodesOf, stateOf } from "./state.js";

const EVENTS_SHOWN = 20;
// Levels of Python's `logging`.
const [WARNING, ERROR] = [30, 40];

export function title() {
  return "Overview";
}

/** The pulse has all that this page shows. */
export async function load() {
  return {};
}

export function view(_data, _route, pulse) {
  const state = stateOf(pulse);
  if (pulse.status === null) return banner(state.level, state.headline, pointsOf(state));
  return [
    el("h1", { class: "unseen" }, "Overview"),
    banner(state.level, state.headline, pointsOf(state), factsOf(pulse)),
    el("div", { class: "figures" }, figuresOf(pulse)),
    el("div", { class: "halves" }, nodeCard(pulse), eventCard(pulse.events)),
  ];
}

/** Return the recent events as a list, the newest first. */
export function eventList(events) {
  const newest = [...events]
    .sort((left, right) => left.seconds_ago - right.seconds_ago)
    .slice(0, EVENTS_SHOWN);
  return el("ol", { class: "events" }, newest.map(eventLine));
}

// A single thing to look at is the headline itself: only its advice is left.
function pointsOf({ headline, points }) {
  const lines = points.map(({ what, advice }) =>
    [what === headline ? "" : what, advice].filter(Boolean).join(" "),
  );
  const shown = lines.filter((line) => line !== "");
  if (shown.length === 0) return null;
  return shown.length === 1
    ? el("p", {}, shown[0])
    : el(
        "ul",
        {},
        shown.map((line) => el("li", {}, line)),
      );
}

function factsOf({ status }) {
  const facts = [
    `cluster ${status.cluster}`,
    `session ${status.node_id}`,
    `epoch ${status.epoch}`,
    `version ${status.version}`,
    `up for ${span(status.uptime_seconds)}`,
  ];
  return el(
    "p",
    { class: "facts" },
    facts.map((fact) => el("span", {}, fact)),
  );
}

function figuresOf(pulse) {
  const now = pulse.status.statistics;
  const pushes = pulse.rates("pushes");
  return [
    figure(
      "Clients",
      count(now.clients),
      "",
      "Programs that are connected to this session",
      line(pulse.values("clients"), "clients"),
    ),
    figure(
      "Registrations",
      count(now.publishers),
      "",
      "What the clients of this session publish",
      line(pulse.values("publishers"), "registrations"),
    ),
    figure(
      "Subscriptions",
      count(now.subscribers),
      "",
      `Subscriptions of this session's clients, to ${counted(now.interests, "id")}`,
      line(pulse.values("subscribers"), "subscriptions"),
    ),
    figure(
      "Pushes",
      rate(pushes.at(-1) ?? NaN),
      "/s",
      "Changes that this session sends to its subscribers",
      line(pushes, "pushes per second"),
    ),
    // A session of another version may not have these counters.
    "push_lag_p50_ms" in now ? lagFigure(now) : null,
    "changes" in now ? churnFigure(pulse) : null,
  ];
}

function lagFigure(now) {
  const value = milliseconds(now.push_lag_p50_ms ?? NaN);
  const hint =
    "From a push until its subscriber has acknowledged it: half of the last pushes were faster";
  const [number, unit = ""] = value.split(" ");
  return figure(
    "Push lag",
    number,
    unit,
    hint,
    el("span", { class: "faint" }, `99 % within ${milliseconds(now.push_lag_p99_ms ?? NaN)}`),
  );
}

function churnFigure(pulse) {
  const value = rate(pulse.growthInLastMinute("changes"));
  return figure(
    "Churn",
    value,
    "/min",
    "Changes of what is published and followed here, within the last minute",
    line(pulse.rates("changes"), "changes per second"),
  );
}

function line(values, name) {
  const last = values.at(-1);
  return sparkline(values, `${name} in the last five minutes, now ${rate(last ?? NaN)}`);
}

function nodeCard(pulse) {
  const nodes = nodesOf(pulse);
  const lost = nodes.filter(({ status }) => levelOfStatus(status) === "bad");
  return card(
    "Nodes",
    el(
      "div",
      { class: "roles" },
      ["session", "data", "meta"].map((role) => roleLine(role, nodes)),
    ),
    lost.length === 0 ? el("p", { class: "faint" }, "No node is lost.") : lostTable(lost),
    el("p", {}, el("a", { href: "#/cluster" }, "All nodes and the ring")),
  );
}

function roleLine(role, nodes) {
  const own = nodes.filter((node) => node.role === role);
  const working = own.filter(({ status }) => status === "working").length;
  const level = working === own.length ? "ok" : working === 0 ? "bad" : "warn";
  const words =
    working === own.length ? `${working} working` : `${working} of ${own.length} working`;
  return el(
    "div",
    {},
    el("span", {}, role),
    badge(own.length === 0 ? "plain" : level, own.length === 0 ? "unknown" : words),
  );
}

function lostTable(lost) {
  const columns = [
    { name: "Lost node", cell: (node) => node.node_id },
    { name: "Role", cell: (node) => node.role },
    { name: "Status", cell: (node) => badge("bad", node.status) },
    {
      name: "Since",
      cell: (node) => (Number.isFinite(node.gone_seconds) ? ago(node.gone_seconds) : ""),
    },
    { name: "Why", cell: (node) => node.reason ?? "" },
  ];
  return table("Lost nodes", columns, lost, (node) => `${node.node_id}@${node.joined_epoch}`);
}

function eventCard(events) {
  const content =
    events.length === 0 ? empty("Nothing has happened yet that nodes note.") : eventList(events);
  return card("Recent events", content);
}

function eventLine(event) {
  const level = event.level >= ERROR ? "bad" : event.level >= WARNING ? "warn" : "plain";
  return el(
    "li",
    { key: `${event.node_id}/${event.life ?? ""}/${event.number}` },
    el("time", { class: "faint" }, ago(event.seconds_ago)),
    badge(level, event.kind),
    el(
      "span",
      { class: "event-words" },
      el("b", {}, event.node_id),
      ` ${event.subject} `,
      el("span", { class: "faint" }, event.detail),
    ),
  );
}
