// The settings of the cluster, to read: `zreg settings set` changes them.

import { ask } from "./api.js";
import { el } from "./dom.js";
import { empty, pager, table } from "./parts.js";
import { hashOf } from "./routes.js";

const LINES_MAX = 50;
// By cursor, the cursor of the page before.
const former = new Map();

export function title() {
  return "Settings";
}

export async function load({ query }, signal) {
  const { cursor = "" } = query;
  const listed = await ask("v1/settings", { limit: LINES_MAX, cursor }, signal);
  if (listed.next_cursor !== null) former.set(listed.next_cursor, cursor);
  return listed;
}

export function view(listed, { query }) {
  return [
    el("h1", {}, "Settings"),
    el(
      "p",
      { class: "faint" },
      "Small versioned values for your programs; nodes do not read them. Change one with ",
      el("code", {}, "zreg settings set NAME VALUE"),
      ".",
    ),
    listed.settings.length === 0
      ? empty("No setting is set.")
      : el("section", { class: "card flush" }, settingTable(listed.settings)),
    pages(listed, query.cursor ?? ""),
  ];
}

function settingTable(settings) {
  const columns = [
    { name: "Name", cell: (each) => el("b", { class: "name" }, each.name) },
    { name: "Value", cell: (each) => el("pre", { class: "value" }, each.value) },
    { name: "Version", isNumber: true, cell: (each) => each.version },
  ];
  return table("Settings", columns, settings, (each) => each.name);
}

function pages(listed, cursor) {
  if (cursor === "" && listed.next_cursor === null) return null;
  const to = (next) => hashOf("settings", [], { cursor: next });
  const next = listed.next_cursor === null ? null : to(listed.next_cursor);
  return pager(
    cursor === "" ? null : to(former.get(cursor) ?? ""),
    next,
    `${listed.settings.length} on this page`,
  );
}
