// The search at the top: `/` goes to it, the arrows choose, Enter opens, Escape leaves.

import { ask } from "./api.js";
import { el, update } from "./dom.js";
import { counted } from "./format.js";
import { hashOf, hashOfService, unusualParts } from "./routes.js";
import { nodesOf } from "./state.js";

const SERVICES_MAX = 8;
const NODES_MAX = 4;
const TYPING_MS = 120;
const PAGES = [
  ["Overview", "overview"],
  ["Services", "services"],
  ["Cluster", "cluster"],
  ["Find by IP", "find"],
  ["Settings", "settings"],
];

/** Make an input a search with a list of results. */
export function startSearch(input, list, pulse) {
  new Search(input, list, pulse).listen();
}

class Search {
  #found = [];
  #chosen = -1;
  // Rises with each question, so that a late answer to an earlier one is dropped.
  #question = 0;
  #timer = 0;

  constructor(input, list, pulse) {
    this.input = input;
    this.list = list;
    this.pulse = pulse;
  }

  listen() {
    const keys = {
      ArrowDown: () => this.#step(1),
      ArrowUp: () => this.#step(-1),
      Enter: () => this.#enter(),
      Escape: () => this.input.blur(),
    };
    this.input.addEventListener("input", () => this.#lookSoon());
    this.input.addEventListener("blur", () => this.#close());
    this.input.addEventListener("keydown", (event) => {
      if (!(event.key in keys)) return;
      event.preventDefault();
      keys[event.key]();
    });
    document.addEventListener("keydown", (event) => this.#onAnyKey(event));
  }

  #onAnyKey(event) {
    const isShortcut = event.ctrlKey || event.metaKey || event.altKey;
    if (event.key !== "/" || isShortcut || isTyping(event.target)) return;
    event.preventDefault();
    this.input.focus();
    this.input.select();
  }

  #lookSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), TYPING_MS);
  }

  async #look() {
    this.#timer = 0;
    const words = this.input.value.trim();
    const mine = ++this.#question;
    const results = words === "" ? [] : await resultsOf(words, this.pulse);
    if (mine !== this.#question) return;
    this.#found = results;
    this.#chosen = results.length > 0 ? 0 : -1;
    this.#draw();
  }

  #step(by) {
    const length = this.#found.length;
    if (length > 0) this.#chosen = (this.#chosen + by + length) % length;
    this.#draw();
    document.getElementById(`result-${this.#chosen}`)?.scrollIntoView({ block: "nearest" });
  }

  async #enter() {
    const words = this.input.value.trim();
    if (words === "") return;
    // Enter may come before the results of what was typed.
    if (this.#timer !== 0 || this.#found.length === 0) {
      clearTimeout(this.#timer);
      await this.#look();
    }
    this.#open(this.#found[this.#chosen] ?? listing(words));
  }

  #open(result) {
    this.input.value = "";
    this.input.blur();
    location.hash = result.hash;
  }

  #close() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#question += 1;
    this.#found = [];
    this.#chosen = -1;
    this.#draw();
  }

  #draw() {
    const isOpen = this.#found.length > 0;
    this.list.hidden = !isOpen;
    this.input.setAttribute("aria-expanded", String(isOpen));
    if (isOpen) this.input.setAttribute("aria-activedescendant", `result-${this.#chosen}`);
    else this.input.removeAttribute("aria-activedescendant");
    const open = (result) => this.#open(result);
    update(
      this.list,
      this.#found.map((result, place) => option(result, place, place === this.#chosen, open)),
    );
  }
}

/** Return whether a text looks like an IP address, or the beginning of one. */
export function isAddress(words) {
  return /^\d{1,3}(\.\d{0,3}){1,3}$/.test(words) || /^[0-9a-f]*:[0-9a-f:.]*$/i.test(words);
}

async function resultsOf(words, pulse) {
  const wanted = words.toLowerCase();
  const fits = (text) => text.toLowerCase().includes(wanted);
  const pages = PAGES.filter(([name]) => fits(name));
  const nodes = nodesOf(pulse).filter(({ node_id: id, address }) => fits(id) || fits(address));
  const services = await servicesOf(words);
  return [
    ...(isAddress(words) ? [onHost(words)] : []),
    ...services.map((each) => ({
      kind: "service",
      name: each.data_id,
      more: moreOf(each),
      hash: hashOfService(each),
    })),
    ...(services.length === SERVICES_MAX ? [listing(words)] : []),
    ...nodes.slice(0, NODES_MAX).map((each) => ({
      kind: "node",
      name: each.node_id,
      more: `${each.role}, ${each.status}`,
      hash: hashOf("cluster"),
    })),
    ...pages.map(([name, page]) => ({ kind: "page", name, more: "", hash: hashOf(page) })),
  ];
}

async function servicesOf(words) {
  // `*` and `?` are for patterns of the reader's own; `[` would begin a set.
  const pattern = /[*?[\]]/.test(words) ? words : `*${words}*`;
  try {
    return (await ask("v1/services", { glob: pattern, limit: SERVICES_MAX })).services;
  } catch {
    return []; // The state at the top says that the session does not answer.
  }
}

function onHost(ip) {
  const more = "what is registered there";
  return { kind: "machine", name: ip, more, hash: hashOf("find", [], { ip }) };
}

function moreOf(service) {
  const parts = Object.values(unusualParts(service));
  return [...parts, counted(service.instance_count, "instance")].join(" · ");
}

function listing(words) {
  return {
    kind: "services",
    name: `All services with “${words}”`,
    more: "",
    hash: hashOf("services", [], { filter: words }),
  };
}

function option(result, place, isChosen, open) {
  // The field must keep the focus until the click is done: losing it closes the list.
  const attributes = {
    id: `result-${place}`,
    role: "option",
    "aria-selected": String(isChosen),
    onmousedown: (event) => (event.preventDefault(), open(result)),
  };
  return el(
    "li",
    attributes,
    el("span", { class: "faint kind" }, result.kind),
    el("span", { class: "name" }, result.name),
    el("span", { class: "faint" }, result.more),
  );
}

function isTyping(target) {
  return (
    target instanceof HTMLInputElement ||
    target instanceof HTMLTextAreaElement ||
    target instanceof HTMLSelectElement
  );
}
