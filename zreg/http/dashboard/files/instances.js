// Instances of services as tables show them: what they published, their state and why.

import { el } from "./dom.js";
import { clock, count } from "./format.js";
import { badge, table } from "./parts.js";

const LEVELS = { up: "ok", unhealthy: "warn", unreadable: "bad" };

/** Return a table of instances; `before` has columns that come first. */
export function instanceTable(instances, before = []) {
  const columns = [
    ...before,
    { name: "Published", cell: (each) => el("div", { class: "values" }, valuesOf(each)) },
    {
      name: "State",
      cell: (each) => [
        badge(LEVELS[each.state] ?? "warn", each.state),
        each.reason === "" ? null : el("div", { class: "reason" }, each.reason),
      ],
    },
    {
      name: "Zone",
      isOptional: true,
      cell: (each) => [each.data_center, each.zone].filter(Boolean).join(" / "),
    },
    { name: "App", isOptional: true, cell: (each) => each.app },
    { name: "Attributes", isOptional: true, cell: attributesOf },
    { name: "Session", cell: (each) => each.session.node_id },
    { name: "Registered", cell: (each) => timeOf(each.registered_at) },
  ];
  return table("Instances", columns, instances, (each) => each.publisher_id);
}

function valuesOf({ values, state }) {
  if (state === "unreadable") return el("span", { class: "faint" }, "cannot be unpacked");
  if (values.length === 0) return el("span", { class: "faint" }, "no value");
  return values.map((value) => el("div", {}, valueOf(value)));
}

function valueOf({ kind, text, base64, endpoint }) {
  if (kind === "text") return el("code", {}, text);
  if (kind === "bytes")
    return el(
      "span",
      { class: "faint" },
      `${count(Math.floor((base64.replaceAll("=", "").length * 3) / 4))} bytes`,
    );
  const facts = [
    endpoint.weight === 100 ? "" : `weight ${endpoint.weight}`,
    endpoint.version === "" ? "" : `version ${endpoint.version}`,
    ...endpoint.tags,
  ];
  const metadata = Object.entries(endpoint.metadata).map(([name, value]) => `${name}=${value}`);
  const shown = [...facts, ...metadata].filter(Boolean).map((fact) => badge("plain", fact));
  return [
    el("code", {}, endpoint.address),
    shown.length === 0 ? null : el("span", { class: "tags" }, shown),
  ];
}

// The reason of a state stands beside the state.
function attributesOf({ attributes, reason }) {
  const shown = Object.entries(attributes)
    .filter(([, value]) => value !== reason || reason === "")
    .map(([name, value]) => badge("plain", `${name}=${value}`));
  return shown.length === 0 ? null : el("div", { class: "tags" }, shown);
}

function timeOf(text) {
  if (text === null) return "";
  const moment = new Date(text);
  return el(
    "time",
    { datetime: text, title: moment.toString() },
    isToday(moment) ? clock(moment) : moment.toLocaleDateString("en-CA"),
  );
}

function isToday(moment) {
  return moment.toDateString() === new Date().toDateString();
}

/** Return what a reader knows an instance by: its first value. */
export function nameOfInstance({ values, publisher_id: id }) {
  const [first] = values;
  return first?.text ?? first?.endpoint?.address ?? id.slice(0, 8);
}
