// The cluster: its nodes, the ring as a picture, copies, and the nodes of meta.

import { ring } from "./charts.js";
import { el } from "./dom.js";
import { ago, bare, count, counted, percent } from "./format.js";
import { badge, bar, card, empty, table } from "./parts.js";
import { levelOfStatus, nodesOf } from "./state.js";

const HUES = 8;

export function title() {
  return "Cluster";
}

/** The pulse has all that this page shows. */
export async function load() {
  return {};
}

export function view(_data, _route, pulse) {
  const nodes = nodesOf(pulse);
  return [
    el("h1", {}, "Cluster"),
    factsOf(pulse),
    el(
      "section",
      { class: "card flush" },
      el("h2", {}, "Nodes"),
      nodes.length === 0 ? empty("The membership is not known yet.") : nodeTable(nodes, pulse),
    ),
    el("div", { class: "halves" }, ringCard(pulse), copyCard(pulse)),
    metaCard(pulse),
  ];
}

function factsOf({ nodes }) {
  if (nodes === null) return null;
  const facts = [
    `epoch ${nodes.epoch}`,
    `ring epoch ${nodes.ring_epoch}`,
    `${counted(nodes.replica_count, "copy", "copies")} of each datum`,
    `cluster id ${nodes.cluster_id.slice(0, 8)}`,
  ];
  return el(
    "p",
    { class: "facts" },
    facts.map((fact) => el("span", {}, fact)),
  );
}

function nodeTable(nodes, pulse) {
  const loads = new Map(
    (pulse.meta?.sessions ?? []).map((each) => [each.node_id, each.client_count]),
  );
  const columns = [
    {
      name: "Node",
      cell: (node) => [
        el("b", {}, node.node_id),
        node.node_id === pulse.status?.node_id
          ? el("span", { class: "faint" }, " this session")
          : null,
      ],
    },
    { name: "Role", cell: (node) => node.role },
    { name: "Status", cell: (node) => badge(levelOfStatus(node.status), node.status) },
    {
      name: "Since",
      cell: (node) =>
        Number.isFinite(node.gone_seconds) ? ago(node.gone_seconds) : `epoch ${node.joined_epoch}`,
    },
    { name: "Why", isOptional: true, cell: (node) => node.reason ?? "" },
    { name: "Address", cell: (node) => el("code", {}, bare(node.address)) },
    {
      name: "Zone",
      isOptional: true,
      cell: (node) => [node.data_center, node.zone].filter(Boolean).join(" / "),
    },
    {
      name: "Clients",
      isNumber: true,
      cell: (node) => (node.role === "session" ? count(loads.get(node.node_id) ?? NaN) : ""),
    },
  ];
  return table(
    "Nodes",
    columns,
    nodes,
    (node) => `${node.role} ${node.node_id}@${node.joined_epoch}`,
  );
}

function ringCard({ ring: placed }) {
  const shares = placed?.nodes ?? [];
  if (shares.length === 0)
    return card("Ring", empty("No data node is on the ring: what programs publish waits."));
  const total = placed.bucket_count;
  const arcs = shares.map((node, place) => ({
    name: `${node.node_id}: ${percent(node.primary_buckets / total)}`,
    share: node.primary_buckets / total,
    hue: place % HUES,
  }));
  const words = `Shares of the ring: ${arcs.map(({ name }) => name).join(", ")}`;
  return card(
    "Ring",
    el(
      "div",
      { class: "ring-card" },
      ring(arcs, words, [count(total), "buckets"]),
      el(
        "ul",
        { class: "legend" },
        shares.map((node, place) => legendLine(node, place, total)),
      ),
    ),
    el(
      "p",
      { class: "faint" },
      "A data node takes the writes of its share, and keeps copies of others.",
    ),
  );
}

function legendLine(node, place, total) {
  return el(
    "li",
    { key: node.node_id },
    el("span", { class: `dot hue-${place % HUES}` }),
    el("b", {}, node.node_id),
    el("span", {}, percent(node.primary_buckets / total)),
    el("span", { class: "faint" }, `holds ${counted(node.held_buckets, "bucket")}`),
  );
}

function copyCard({ meta, ring: placed }) {
  if (meta === null)
    return card(
      "Copies",
      empty("The leader of meta tells how far copies are; it is not reached now."),
    );
  const copying = meta.copying.filter(({ kept_buckets: kept }) => kept !== 0);
  if (copying.length === 0) return card("Copies", copySentence(placed));
  return card("Copies", el("ul", { class: "copies" }, copying.map(copyLine)));
}

function copySentence(placed) {
  const working = (placed?.nodes ?? []).filter(({ status }) => status === "working").length;
  const wanted = placed?.replica_count ?? 0;
  const onEach = counted(wanted, "data node");
  if (working >= wanted) {
    return el("p", {}, badge("ok", "in sync"), ` Each datum is on ${onEach}.`);
  }
  const words = ` Each datum should be on ${onEach}, but only ${working} ${working === 1 ? "works" : "work"}.`;
  return el("p", {}, badge("plain", `${working} of ${wanted}`), words);
}

function copyLine({ node_id: nodeId, equal_buckets: equal, kept_buckets: kept }) {
  const isDone = equal === kept;
  const words =
    kept === null
      ? "has not told yet"
      : isDone
        ? `all ${count(kept)} equal`
        : `${count(equal)} of ${count(kept)} equal`;
  return el(
    "li",
    { key: nodeId },
    el("div", {}, el("b", {}, nodeId), badge(isDone ? "ok" : "warn", words)),
    bar(kept === null || kept === 0 ? 0 : equal / kept, `${nodeId}: ${words}`),
  );
}

function lagOf(entries) {
  return entries === 0 ? "up to date" : counted(entries, "entry", "entries");
}

function metaCard({ meta, metaFailure, nodes }) {
  if (meta === null)
    return card(
      "Meta",
      empty(nodes?.meta_outage || metaFailure || "The leader of meta is not reached now."),
    );
  const leader = meta.nodes.find(({ state }) => state === "leader")?.node_id ?? "none";
  const columns = [
    { name: "Node", cell: (node) => el("b", {}, node.node_id) },
    {
      name: "State",
      cell: (node) =>
        badge(node.is_silent ? "bad" : "ok", node.is_silent ? `${node.state}, silent` : node.state),
    },
    { name: "Raft address", cell: (node) => el("code", {}, bare(node.address)) },
    {
      name: "Behind",
      isNumber: true,
      cell: (node) => lagOf(Math.max(0, meta.last_index - node.match_index)),
    },
    {
      name: "Last heard",
      isNumber: true,
      cell: (node) => (node.state === "leader" ? "" : ago(node.silent_seconds)),
    },
    { name: "Why", isOptional: true, cell: (node) => node.trouble },
  ];
  const facts = [`leader ${leader}`, `term ${meta.term}`, `log index ${count(meta.last_index)}`];
  return card(
    "Meta",
    el(
      "p",
      { class: "facts" },
      facts.map((fact) => el("span", {}, fact)),
    ),
    table("Nodes of meta", columns, meta.nodes, (node) => node.node_id),
  );
}
