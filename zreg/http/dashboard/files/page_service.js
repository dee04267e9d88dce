// One service: its instances and why one is not up, its subscribers and how far behind each is,
// the changes since the page was opened, and code that uses it.

import { ask, queryOf, servicePath } from "./api.js";
import { el } from "./dom.js";
import { clock, count, counted } from "./format.js";
import { instanceTable, nameOfInstance } from "./instances.js";
import { badge, banner, card, code, empty, pager, table } from "./parts.js";
import { hashOf, unusualParts } from "./routes.js";
import { snippetsOf } from "./snippets.js";
import { Timeline } from "./timeline.js";

const LINES_MAX = 100;
const SIGNS = { added: "+", removed: "−", changed: "~" };
const KINDS = { added: "ok", removed: "bad", changed: "plain" };
// By cursor, the cursor of the page before.
const former = new Map();
// Of the page that is open: it begins anew when another service or another part of it is shown.
let [timeline, timelineOf] = [new Timeline(), ""];

export function title({ parts }) {
  return parts[0] ?? "Service";
}

/** The session tells when this service changes. */
export function watched(route) {
  return `v1/watch${queryOf({ data_id: nameOf(route).data_id, ...unusualParts(nameOf(route)) })}`;
}

export async function load(route, signal) {
  const name = nameOf(route);
  const { cursor = "" } = route.query;
  const parts = unusualParts(name);
  const [service, subscribers] = await Promise.all([
    ask(servicePath(name.data_id), { ...parts, limit: LINES_MAX, cursor }, signal),
    ask(servicePath(name.data_id, "/subscribers"), { ...parts, limit: LINES_MAX }, signal),
  ]);
  if (service.next_cursor !== null) former.set(service.next_cursor, cursor);
  noteChanges(service, location.hash);
  return { service, subscribers };
}

export function view({ service, subscribers }, route, pulse) {
  return [
    heading(service),
    service.is_complete
      ? null
      : banner(
          "warn",
          "There may be more instances.",
          el(
            "p",
            {},
            "The data node has just begun to serve this service. Nothing has to be done.",
          ),
        ),
    instanceCard(service, route),
    el("div", { class: "halves" }, subscriberCard(subscribers, service, pulse), timelineCard()),
    snippetCard(service, pulse),
  ];
}

/** Return how far a subscriber is behind the service, in words and as a level. */
export function behind({ version, is_behind: isBehind }, newest) {
  if (version === null) return { level: "warn", words: "has nothing yet" };
  if (isBehind) return { level: "warn", words: distance(version, newest) };
  return { level: "ok", words: "up to date" };
}

// Counters of one epoch can be compared; a version of a former epoch says only that it is older.
function distance(version, newest) {
  const [[epoch, counter], [newEpoch, newCounter]] = [version.split("."), newest.split(".")];
  const isSame = epoch === newEpoch;
  return isSame ? `${counted(newCounter - counter, "change")} behind` : "behind, at a former epoch";
}

function nameOf({ parts, query }) {
  return {
    data_id: parts[0] ?? "",
    group: query.group ?? "DEFAULT_GROUP",
    instance_id: query.instance_id ?? "DEFAULT_INSTANCE_ID",
  };
}

function noteChanges(service, hash) {
  if (timelineOf !== hash) [timeline, timelineOf] = [new Timeline(), hash];
  timeline.take(service.instances, new Date());
}

function heading(service) {
  const parts = Object.entries(unusualParts(service)).map(([name, value]) =>
    badge("plain", `${name.replace("_", " ")} ${value}`),
  );
  return el(
    "div",
    { class: "heading" },
    el("p", { class: "faint" }, el("a", { href: "#/services" }, "Services"), " ›"),
    el("h1", { class: "name" }, service.data_id),
    el(
      "p",
      { class: "facts" },
      el("span", {}, counted(service.instance_count, "instance")),
      el("span", {}, `version ${service.version}`),
      parts,
    ),
  );
}

function instanceCard(service, { parts, query }) {
  if (service.instances.length === 0)
    return card("Instances", empty("No program publishes under this name now."));
  const to = (cursor) => hashOf("service", parts, { ...query, cursor });
  const cursor = query.cursor ?? "";
  const isPaged = cursor !== "" || service.next_cursor !== null;
  const pages = isPaged
    ? pager(
        cursor === "" ? null : to(former.get(cursor) ?? ""),
        service.next_cursor === null ? null : to(service.next_cursor),
        `${service.instances.length} of ${count(service.instance_count)}`,
      )
    : null;
  return el(
    "section",
    { class: "card flush" },
    el("h2", {}, "Instances"),
    instanceTable(service.instances),
    pages,
  );
}

function subscriberCard({ subscribers, next_cursor: next }, service, pulse) {
  const where = `subscribe at ${pulse.status?.node_id ?? "this session"}`;
  if (subscribers.length === 0)
    return card("Subscribers", empty(`No clients ${where}. Other sessions may have some.`));
  const columns = [
    { name: "App", cell: (each) => each.app || el("span", { class: "faint" }, "no name") },
    {
      name: "Client",
      cell: (each) => el("code", { title: each.client_id }, each.client_id.slice(0, 8)),
    },
    { name: "Zone", isOptional: true, cell: (each) => each.zone },
    {
      name: "Scope",
      cell: (each) => each.scopes.map((scope) => scope.replace("_", " ")).join(", "),
    },
    { name: "State", cell: (each) => lagBadge(each, service.version) },
  ];
  const more = next === null ? "" : `The first ${subscribers.length} are shown. `;
  return card(
    "Subscribers",
    table("Subscribers", columns, subscribers, (each) => each.client_id),
    el("p", { class: "faint" }, `${more}These clients ${where}.`),
  );
}

function lagBadge(subscriber, version) {
  const { level, words } = behind(subscriber, version);
  const waiting = subscriber.pushes_in_flight;
  // Clients gather acknowledgements, so a push that waits for one is no sign of a slow client.
  const more =
    waiting === 0 ? null : el("div", { class: "reason" }, `${count(waiting)} to confirm`);
  return [badge(level, words), more];
}

function timelineCard() {
  const { entries } = timeline;
  const content =
    entries.length === 0
      ? empty("No instance has changed since this page was opened.")
      : el("ol", { class: "events" }, entries.map(entryLine));
  return card("Changes seen here", content);
}

function entryLine({ kind, instance, at, number }) {
  return el(
    "li",
    { key: number },
    el("time", { class: "faint", datetime: at.toISOString() }, clock(at)),
    el(
      "div",
      {},
      badge(KINDS[kind], `${SIGNS[kind]} ${kind}`),
      ` ${nameOfInstance(instance)}`,
      instance.reason === "" ? null : el("div", { class: "reason" }, instance.reason),
    ),
  );
}

function snippetCard(service, pulse) {
  const address = pulse.status?.address ?? "";
  const origin = location.origin + location.pathname.replace(/\/$/, "");
  const snippets = address === "" ? [] : snippetsOf(service, address, origin);
  return card(
    "Use this service",
    el(
      "div",
      { class: "snippets" },
      snippets.map((each) => code(each.title, each.text)),
    ),
  );
}
