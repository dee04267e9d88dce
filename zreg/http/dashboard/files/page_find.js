// Everything on one machine: the instances with this address, and the clients that come from it.

import { ask } from "./api.js";
import { el } from "./dom.js";
import { counted } from "./format.js";
import { instanceTable } from "./instances.js";
import { badge, banner, empty, table } from "./parts.js";
import { hashOf, hashOfService, unusualParts } from "./routes.js";

const LINES_MAX = 200;

export function title() {
  return "Find by IP";
}

export async function load({ query }, signal) {
  const { ip = "" } = query;
  return { found: ip === "" ? null : await ask("v1/find", { ip, limit: LINES_MAX }, signal) };
}

export function view({ found }, { query }) {
  return [el("h1", {}, "Find by IP"), form(query), found === null ? hint() : results(found)];
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

function results({ host, instances, clients, is_cut: isCut, silent }) {
  const missing = silent.map(({ node_id: node, reason }) =>
    banner("bad", `What ${node} has is missing.`, el("p", {}, reason)),
  );
  if (instances.length === 0 && clients.length === 0)
    return [...missing, empty(`Nothing on ${host}, as far as the nodes that answered know.`)];
  const what = `${counted(instances.length, "instance")} and ${counted(clients.length, "client")}`;
  const words = isCut ? `The first ${what} on ${host}; there are more.` : `${what} on ${host}.`;
  return [...missing, el("p", { class: "faint" }, words), shownInstances(instances), shownClients(clients)];
}

function shownInstances(instances) {
  if (instances.length === 0) return null;
  const rows = instances.map(({ instance, ...name }) => ({ ...instance, name }));
  return el("section", { class: "card flush" }, instanceTable(rows, serviceColumn()));
}

function shownClients(clients) {
  if (clients.length === 0) return null;
  const columns = [
    { name: "Client", cell: ({ client_id: id }) => el("code", {}, id.slice(0, 8)) },
    { name: "App", isOptional: true, cell: ({ app }) => app },
    {
      name: "Zone",
      isOptional: true,
      cell: (each) => [each.data_center, each.zone].filter(Boolean).join(" / "),
    },
    { name: "Session", cell: ({ session }) => session },
    {
      name: "State",
      cell: ({ is_connected: isConnected }) =>
        isConnected ? badge("ok", "connected") : badge("warn", "not connected"),
    },
    { name: "Subscribes to", cell: ({ subscriptions }) => subscribed(subscriptions) },
  ];
  const keyOf = ({ client_id: id, session }) => `${id} ${session}`;
  return el("section", { class: "card flush" }, table("Clients", columns, clients, keyOf));
}

function subscribed(names) {
  if (names.length === 0) return el("span", { class: "faint" }, "nothing");
  return names.map((name) => el("div", {}, serviceLink(name)));
}

function serviceColumn() {
  return [{ name: "Service", cell: ({ name }) => serviceLink(name) }];
}

function serviceLink(name) {
  return [
    el("a", { class: "name", href: hashOfService(name) }, name.data_id),
    ...Object.values(unusualParts(name)).map((part) => el("span", { class: "faint" }, ` ${part}`)),
  ];
}
