// The one sentence: is all well, and if not, what is wrong and what to do. Pure.

import { counted, span } from "./format.js";

// With these, programs notice: the others leave everything served.
const SERIOUS = new Set([
  "stuck",
  "no-data-node",
  "data-unreachable",
  "clients-full",
  "not-admitted",
  "waiting",
  "stopping",
]);
// These are about the cluster: every node reports them.
const OF_CLUSTER = new Set(["node-gone", "copies-missing", "meta-quorum-missing"]);
const ADVICE = {
  initial: "It joins and copies what it will own. Nothing has to be done unless this lasts.",
  leaving: "It hands over what it holds, and leaves. Nothing has to be done.",
  departed:
    "Start it again. Its registrations stay until its grace ends, or its clients have moved.",
  gone: "Start it again, or run “zreg nodes dismiss” with its id if it will not come back.",
  silent: "Check whether its process runs and is reachable, and start it again.",
};

/** Return {level, headline, points}; `points` has {level, what, advice} for each thing to look at. */
export function stateOf(pulse) {
  if (pulse.failure !== "") return unanswered(pulse);
  if (pulse.status === null) return { level: "plain", headline: "Connecting …", points: [] };
  const points = [...problemsOf(pulse.status), ...nodePoints(pulse), ...copyPoints(pulse)];
  const level =
    ["bad", "warn"].find((each) => points.some((point) => point.level === each)) ?? "ok";
  return { level, headline: headlineOf(level, points, pulse), points };
}

/** Return the level of a node's status. */
export function levelOfStatus(status) {
  if (status === "working") return "ok";
  return ["initial", "leaving", "unknown"].includes(status) ? "warn" : "bad";
}

/** Return the members, with what meta's leader knows better, and the nodes that were lost. */
export function nodesOf({ nodes, meta }) {
  const lost = (meta?.gone ?? []).map(({ seconds_ago: goneSeconds, ...node }) => ({
    ...node,
    status: "gone",
    gone_seconds: goneSeconds,
  }));
  const isLost = new Set(lost.map(lifeOf));
  const silent = new Set([
    ...(meta?.nodes ?? [])
      .filter(({ is_silent: isSilent }) => isSilent)
      .map(({ node_id: id }) => id),
    ...(meta?.silent ?? []),
  ]);
  const members = (nodes?.nodes ?? [])
    .filter((node) => !isLost.has(lifeOf(node)))
    .map((node) => (silent.has(node.node_id) ? { ...node, status: "silent" } : node));
  return [...lost, ...members];
}

// A lost session stays a member for its grace: an id and its epoch tell one life of a node.
function lifeOf({ node_id: nodeId, joined_epoch: epoch }) {
  return `${nodeId}@${epoch}`;
}

function unanswered(pulse) {
  const what =
    pulse.status === null ? "This session has not answered yet." : "This session does not answer.";
  return {
    level: "bad",
    headline: what,
    points: [{ level: "bad", what: pulse.failure, advice: "" }],
  };
}

function problemsOf(status) {
  return status.problems.map(({ code, detail }) => ({
    level: SERIOUS.has(code) || !status.ready ? "bad" : "warn",
    what: sentence(OF_CLUSTER.has(code) ? detail : `${status.node_id}: ${detail}`),
    advice: "",
    code,
  }));
}

// The session itself tells of lost nodes in one problem, with what still works and what to do.
function nodePoints(pulse) {
  const isTold = pulse.status.problems.some(({ code }) => code === "node-gone");
  return nodesOf(pulse)
    // What the leader of meta would know is unknown without one, which is told by itself.
    .filter(({ status }) => !["working", "unknown"].includes(status))
    .filter(({ status }) => !(status === "gone" && isTold))
    .map((node) => ({
      level: levelOfStatus(node.status),
      what: sentence(`The ${node.role} node ${node.node_id} is ${wordsOf(node)}`),
      advice: ADVICE[node.status] ?? "",
    }));
}

function copyPoints(pulse) {
  return (pulse.meta?.copying ?? [])
    .filter(({ kept_buckets: kept, equal_buckets: equal }) => kept === null || equal < kept)
    .map(({ node_id: nodeId, kept_buckets: kept, equal_buckets: equal }) => ({
      level: "warn",
      what:
        kept === null
          ? `${nodeId} has not told yet how many copies it has to make.`
          : `${nodeId} makes copies: ${equal} of ${kept} are equal.`,
      advice: "Nothing has to be done unless this lasts.",
    }));
}

function wordsOf({ status, gone_seconds: seconds, reason }) {
  const since = Number.isFinite(seconds) ? ` since ${span(Math.floor(seconds))}` : "";
  return `${status}${since}${reason ? ` (${reason})` : ""}`;
}

function headlineOf(level, points, pulse) {
  if (level !== "ok") {
    return points.length === 1 ? points[0].what : `${counted(points.length, "thing")} to look at.`;
  }
  const working = nodesOf(pulse).filter(({ status }) => status === "working");
  const roles = ["session", "data", "meta"]
    .map((role) => [role, working.filter((node) => node.role === role).length])
    .filter(([, number]) => number > 0)
    .map(([role, number]) => `${number} ${role}`);
  const nodes =
    roles.length === 0
      ? "this session serves"
      : `${listed(roles)} ${working.length === 1 ? "node works" : "nodes work"}`;
  return `All is well: ${nodes}.`;
}

function listed(words) {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

function sentence(words) {
  return /[.!?]$/.test(words) ? words : `${words}.`;
}
