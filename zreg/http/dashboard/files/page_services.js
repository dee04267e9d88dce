// The services, a page of names at a time, filtered by a part of their names.

import { ask } from "./api.js";
import { el } from "./dom.js";
import { count, counted } from "./format.js";
import { banner, empty, pager, table } from "./parts.js";
import { hashOf, hashOfService, unusualParts } from "./routes.js";

const LINES_MAX = 50;
// By cursor, the cursor of the page before: the session knows only the way forward.
const former = new Map();

export function title() {
  return "Services";
}

export async function load({ query }, signal) {
  const { filter = "", group = "", cursor = "" } = query;
  const listed = await ask(
    "v1/services",
    { glob: globOf(filter), group, limit: LINES_MAX, cursor },
    signal,
  );
  if (listed.next_cursor !== null) former.set(listed.next_cursor, cursor);
  return listed;
}

export function view(listed, { query }) {
  return [
    el("h1", {}, "Services"),
    filterForm(query),
    listed.is_complete
      ? null
      : banner(
          "warn",
          "There may be more services.",
          el("p", {}, "A data node has just begun to serve some of them. Nothing has to be done."),
        ),
    listed.services.length === 0 ? nothing(query) : serviceTable(listed.services),
    pages(listed, query),
  ];
}

/** Return the pattern for a part of a name; a reader who writes `*` has written a pattern. */
export function globOf(filter) {
  if (filter === "") return "";
  return /[*?[\]]/.test(filter) ? filter : `*${filter}*`;
}

function filterForm(query) {
  const oninput = ({ target }) => {
    const next = hashOf("services", [], { ...query, cursor: "", filter: target.value.trim() });
    // No entry in the history for each letter.
    history.replaceState(null, "", next);
    dispatchEvent(new HashChangeEvent("hashchange"));
  };
  return el(
    "form",
    { class: "filter", onsubmit: (event) => event.preventDefault() },
    el("label", { for: "filter" }, "Filter by name"),
    el("input", {
      id: "filter",
      type: "search",
      maxlength: 256,
      autocomplete: "off",
      spellcheck: "false",
      placeholder: "part of a name, or a pattern: pay.*",
      value: query.filter ?? "",
      oninput,
    }),
  );
}

function serviceTable(services) {
  const has = (part) => services.some((each) => part in unusualParts(each));
  const columns = [
    {
      name: "Service",
      cell: (each) => el("a", { href: hashOfService(each), class: "name" }, each.data_id),
    },
    // Nearly all names have the usual parts only: a column of them would say nothing.
    ...(has("group") ? [{ name: "Group", cell: (each) => partOf(each, "group") }] : []),
    ...(has("instance_id")
      ? [{ name: "Instance id", cell: (each) => partOf(each, "instance_id") }]
      : []),
    { name: "Instances", isNumber: true, cell: (each) => count(each.instance_count) },
    { name: "Version", isNumber: true, cell: (each) => each.version },
  ];
  const keyOf = (each) => `${each.data_id} ${each.instance_id} ${each.group}`;
  return el("section", { class: "card flush" }, table("Services", columns, services, keyOf));
}

function partOf(service, part) {
  return unusualParts(service)[part] ?? el("span", { class: "faint" }, "default");
}

function nothing({ filter = "" }) {
  if (filter !== "")
    return empty(
      `No service has “${filter}” in its name. A pattern such as pay.* has to fit the whole name.`,
    );
  return empty(
    "Nothing is published yet. Try ",
    el("code", {}, "zreg publish hello world --hold"),
    ".",
  );
}

function pages(listed, query) {
  const cursor = query.cursor ?? "";
  if (cursor === "" && listed.next_cursor === null) return null;
  const to = (next) => hashOf("services", [], { ...query, cursor: next });
  const previous = cursor === "" ? null : to(former.get(cursor) ?? "");
  const next = listed.next_cursor === null ? null : to(listed.next_cursor);
  return pager(previous, next, counted(listed.services.length, "service") + " on this page");
}
