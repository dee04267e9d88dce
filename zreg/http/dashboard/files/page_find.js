// Everything on one machine: the instances that programs on this address have registered.

import { ask } from "./api.js";
import { el } from "./dom.js";
import { counted } from "./format.js";
import { instanceTable } from "./instances.js";
import { empty } from "./parts.js";
import { hashOf, hashOfService, unusualParts } from "./routes.js";

const LINES_MAX = 200;

export function title() {
  return "Find by IP";
}

export async function load({ query }, signal) {
  const { ip = "" } = query;
  return { found: ip === "" ? null : await ask("v1/find", { ip, limit: LINES_MAX }, signal) };
}

export function view({ found }, { query }, pulse) {
  return [el("h1", {}, "Find by IP"), form(query), found === null ? hint() : results(found, pulse)];
}

function form({ ip = "" }) {
  const onsubmit = (event) => {
    event.preventDefault();
    const typed = new FormData(event.target).get("ip").trim();
    location.hash = hashOf("find", [], { ip: typed });
  };
  const field = {
    // What was typed before stays in a field: another address needs another one.
    key: ip,
    id: "ip",
    name: "ip",
    type: "search",
    maxlength: 253,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: "10.0.0.7",
    value: ip,
  };
  return el(
    "form",
    { class: "filter", onsubmit },
    el("label", { for: "ip" }, "IP address or host name"),
    el("input", field),
    el("button", { class: "button primary", type: "submit" }, "Find"),
  );
}

function hint() {
  return empty("Type the address of a machine to see what would be gone without it.");
}

function results({ host, instances, is_cut: isCut }, pulse) {
  const session = pulse.status?.node_id ?? "this session";
  const others = `Each instance is registered by one session: other sessions than ${session} may have more.`;
  if (instances.length === 0)
    return empty(`Nothing on ${host} is registered by ${session}. ${others}`);
  const rows = instances.map(({ instance, ...name }) => ({ ...instance, name }));
  const count = counted(rows.length, "instance");
  const words = isCut
    ? `The first ${count} on ${host}. ${others}`
    : `${count} on ${host}. ${others}`;
  return [
    el("p", { class: "faint" }, words),
    el("section", { class: "card flush" }, instanceTable(rows, serviceColumn())),
  ];
}

function serviceColumn() {
  const cell = ({ name }) => [
    el("a", { class: "name", href: hashOfService(name) }, name.data_id),
    ...Object.values(unusualParts(name)).map((part) => el("span", { class: "faint" }, ` ${part}`)),
  ];
  return [{ name: "Service", cell }];
}
