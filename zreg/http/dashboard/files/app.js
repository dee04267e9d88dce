// Starts the page: shows what the address names, and keeps it up to date.
//
// A page has `load(route, signal, pulse)`, which asks the session, and `view(data, route, pulse)`, which
// returns what to show. It is loaded again every two seconds, and at once when the session hints that
// something has changed: `watched(route)` names the path of these hints.

import { reasonOf } from "./api.js";
import { el, update } from "./dom.js";
import { Hints } from "./hints.js";
import { banner } from "./parts.js";
import { Pulse } from "./pulse.js";
import { parseHash } from "./routes.js";
import { startSearch } from "./search.js";
import { stateOf } from "./state.js";
import { startThemeSwitch } from "./theme_switch.js";
import * as cluster from "./page_cluster.js";
import * as find from "./page_find.js";
import * as overview from "./page_overview.js";
import * as service from "./page_service.js";
import * as services from "./page_services.js";
import * as settings from "./page_settings.js";

const PAGES = { overview, services, service, cluster, find, settings };
// The entry of the menu that a page belongs to, where it is not its own.
const MENU = { service: "services" };
const REFRESH_MS = 2000;

const main = document.getElementById("main");
const pulse = new Pulse();
let leave = new AbortController();
// What is shown: a pulse draws it again with its figures.
let shown = null;

/** Show the page that the address names, until the address changes. */
async function show() {
  leave.abort();
  shown = null;
  leave = new AbortController();
  const { signal } = leave;
  const route = parseHash(location.hash);
  const page = PAGES[route.page];
  markMenu(route.page);
  if (page === undefined) return showUnknown(route);
  document.title = `${page.title(route)} · zreg`;
  const hints = new Hints(page.watched?.(route) ?? null, signal);
  let data = null;
  for (let isFirst = true; !signal.aborted; isFirst = false) {
    hints.take();
    const { loaded, failure } = await load(page, route, signal);
    if (signal.aborted) return;
    data = loaded ?? data;
    shown = { page, data, route, failure };
    draw();
    if (isFirst) scrollTo(0, 0);
    await Promise.race([nextRefresh(signal), hints.told()]);
  }
}

async function load(page, route, signal) {
  try {
    await firstBeat;
    const loaded = await page.load(route, signal, pulse);
    return { loaded, failure: "" };
  } catch (error) {
    return { loaded: null, failure: reasonOf(error) };
  }
}

// A page that could not be loaded again keeps its last figures, under a warning.
function draw() {
  const { page, data, route, failure } = shown;
  const warning =
    failure === ""
      ? null
      : banner("bad", "These figures are not up to date.", el("p", {}, failure));
  const isStale = failure !== "" && data !== null;
  main.classList.toggle("stale", isStale);
  update(main, warning, data === null ? null : page.view(data, route, pulse));
}

function showUnknown(route) {
  document.title = "Not found · zreg";
  update(
    main,
    banner(
      "warn",
      "There is no such page.",
      el(
        "p",
        {},
        `Nothing is called “${route.page}” here. `,
        el("a", { href: "#/" }, "Go to the overview"),
        ".",
      ),
    ),
  );
}

function markMenu(page) {
  for (const link of document.querySelectorAll("nav a")) {
    const isHere = link.dataset.page === (MENU[page] ?? page);
    if (isHere) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

// Resolves after two seconds in which the page can be seen: a hidden page asks nothing.
function nextRefresh(signal) {
  return new Promise((resolve) => {
    const done = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", done);
      resolve();
    };
    setTimeout(() => {
      document.addEventListener("visibilitychange", done);
      done();
    }, REFRESH_MS);
    signal.addEventListener("abort", resolve, { once: true });
  });
}

async function keepPulse() {
  for (;;) {
    await nextRefresh(new AbortController().signal);
    await pulse.beat();
    showState();
    if (shown !== null) draw();
  }
}

function showState() {
  const { level, headline, points } = stateOf(pulse);
  const state = document.getElementById("state");
  const words =
    { ok: "All is well", plain: "Connecting …" }[level] ??
    (points.length > 1 ? `${points.length} to look at` : "1 to look at");
  state.className = `state ${level}`;
  state.title = headline;
  if (state.textContent !== words) state.textContent = words;
  state.dataset.node = pulse.status?.node_id ?? "";
}

document.getElementById("skip").addEventListener("click", (event) => {
  // The address after `#` names a page here, so the browser's own jump would leave the page.
  event.preventDefault();
  main.focus();
});
startThemeSwitch(document.getElementById("theme"));
startSearch(document.getElementById("search"), document.getElementById("results"), pulse);
addEventListener("hashchange", show);
const firstBeat = pulse.beat().then(showState);
keepPulse();
show();
