// The overview: one sentence of state, the figures of this session, lost nodes, recent events.

import { sparkline } from "./charts.js";
import { el } from "./dom.js";
import { EventLog } from "./event_log.js";
import { ago, clock, count, counted, milliseconds, rate, span } from "./format.js";
import { badge, banner, card, empty, figure, table } from "./parts.js";
import { levelOfStatus, nodesOf, stateOf } from "./state.js";

const EVENTS_SHOWN = 20;
const LEVELS = { warning: "warn", error: "bad", critical: "bad" };
const log = new EventLog();

export function title() {
  return "Overview";
}

/** The pulse has all figures of this page; the events are asked for here. */
export async function load(_route, signal, pulse) {
  // A node that is gone cannot answer.
  const working = nodesOf(pulse).filter(({ status }) => levelOfStatus(status) !== "bad");
  const nodeIds = working.map(({ node_id: nodeId }) => nodeId);
  await log.look(nodeIds, signal);
  return log.events;
}

export function view(events, _route, pulse) {
  const state = stateOf(pulse);
  if (pulse.status === null) return banner(state.level, state.headline, pointsOf(state));
  return [
    el("h1", { class: "unseen" }, "Overview"),
    banner(state.level, state.headline, pointsOf(state), factsOf(pulse)),
    el("div", { class: "figures" }, figuresOf(pulse)),
    el("div", { class: "halves" }, nodeCard(pulse), eventCard(events)),
  ];
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
    "push_lag_p50_seconds" in now ? lagFigure(now) : null,
    "withdrawals" in now ? churnFigure(pulse) : null,
  ];
}

function lagFigure(now) {
  const value = milliseconds(1000 * now.push_lag_p50_seconds);
  const hint =
    "From a push until its subscriber has acknowledged it: half of those that were timed were faster";
  const [number, unit = ""] = value.split(" ");
  return figure(
    "Push lag",
    number,
    unit,
    hint,
    el("span", { class: "faint" }, `p99 ${milliseconds(1000 * now.push_lag_p99_seconds)}`),
  );
}

function churnFigure(pulse) {
  const names = ["publishes", "withdrawals"];
  const perMinute = names.map((name) => pulse.growthInLastMinute(name)).reduce(sum);
  const [made, ended] = names.map((name) => pulse.rates(name));
  const each = made.map((value, place) => (value === null ? null : value + ended[place]));
  const hint = "Registrations and withdrawals at this session, within the last minute";
  return figure("Churn", rate(perMinute), "/min", hint, line(each, "changes per second"));
}

function sum(left, right) {
  return left + right;
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
  if (events.length === 0)
    return card("Recent events", empty("Nothing has happened within the last hour."));
  return card(
    "Recent events",
    el("ol", { class: "events" }, events.slice(0, EVENTS_SHOWN).map(eventLine)),
  );
}

function eventLine(event) {
  return el(
    "li",
    { key: `${event.node_id}/${event.number}/${event.at}` },
    el("time", { class: "faint", datetime: event.at }, clock(new Date(event.at))),
    el(
      "div",
      {},
      el(
        "div",
        {},
        badge(LEVELS[event.level] ?? "plain", event.kind),
        ` ${event.subject} `,
        el("span", { class: "faint" }, `at ${event.node_id}`),
      ),
      event.detail === "" ? null : el("div", { class: "reason" }, event.detail),
    ),
  );
}
