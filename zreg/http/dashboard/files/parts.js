// Parts that several pages use: tables, badges, figures, code to copy.

import { el, svg } from "./dom.js";

// Texts up to this length stay on one line; longer ones may be broken anywhere.
const WORD_MAX = 18;

/**
 * Return a table. `columns` has {name, cell, isNumber, isOptional}; `cell(row)` returns text or
 * nodes. A column that is optional is left out if all its cells are empty. On a phone each row
 * becomes a card, so every cell also carries the name of its column.
 */
export function table(caption, allColumns, rows, keyOf) {
  const columns = allColumns.filter(
    ({ cell, isOptional }) => !isOptional || rows.some((row) => shownOf(cell(row)).length > 0),
  );
  const head = columns.map(({ name, isNumber }) =>
    el("th", { scope: "col", role: "columnheader", class: isNumber ? "number" : null }, name),
  );
  const body = rows.map((row) =>
    el(
      "tr",
      { role: "row", key: keyOf(row) },
      columns.map((column) => cellOf(column, row)),
    ),
  );
  return el(
    "table",
    { role: "table" },
    el("caption", { class: "unseen" }, caption),
    el("thead", { role: "rowgroup" }, el("tr", { role: "row" }, head)),
    el("tbody", { role: "rowgroup" }, body),
  );
}

/** Return a short coloured word; `level` is ok, warn, bad or plain. */
export function badge(level, text) {
  const isShort = text.length <= WORD_MAX;
  return el("span", { class: `badge ${level}${isShort ? " word" : ""}` }, text);
}

/** Return a card with a heading. */
export function card(heading, ...content) {
  return el("section", { class: "card" }, el("h2", {}, heading), content);
}

/** Return a figure with its name, and a picture below it. */
export function figure(name, value, unit, hint, picture = null) {
  return el(
    "div",
    { class: "figure", title: hint },
    el("span", { class: "figure-name" }, name),
    el("span", { class: "figure-value" }, value, unit === "" ? null : el("small", {}, ` ${unit}`)),
    picture,
  );
}

/** Return a sentence where there is nothing to show: it says why, and what to do. */
export function empty(...words) {
  return el("p", { class: "empty" }, words);
}

/** Return a coloured sentence with a sign before it; `level` is ok, warn or bad. */
export function banner(level, headline, ...more) {
  return el(
    "section",
    { class: `banner ${level}`, role: "status" },
    sign(level),
    el("div", {}, el("h2", { class: "headline" }, headline), more),
  );
}

/** Return a bar that is filled as far as `share`, between 0 and 1. */
export function bar(share, label) {
  const filled = Math.max(0, Math.min(1, share)) * 100;
  return svg(
    "svg",
    {
      class: "bar",
      viewBox: "0 0 100 6",
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": label,
    },
    svg("rect", { class: "bar-whole", width: 100, height: 6, rx: 3 }),
    svg("rect", { class: "bar-part", width: filled.toFixed(1), height: 6, rx: 3 }),
  );
}

/** Return code with a button that copies it. */
export function code(title, text) {
  return el(
    "div",
    { class: "code" },
    el("div", { class: "code-head" }, el("span", {}, title), copyButton(text, title)),
    el("pre", { tabindex: 0, "aria-label": title }, el("code", {}, text)),
  );
}

/** Return links to the previous and the next page, where there are such pages. */
export function pager(previous, next, words) {
  const link = (href, text) =>
    href === null
      ? el("span", { class: "button off" }, text)
      : el("a", { class: "button", href }, text);
  return el(
    "div",
    { class: "pager" },
    link(previous, "‹ Previous"),
    el("span", { class: "faint" }, words),
    link(next, "Next ›"),
  );
}

function cellOf({ name, cell, isNumber }, row) {
  const shown = shownOf(cell(row));
  // On a phone the name of the column stands beside the content, which has to be one thing there.
  const content = shown.length > 1 ? el("div", {}, shown) : shown;
  const td = el("td", { role: "cell", "data-label": name }, content);
  if (isNumber) td.classList.add("number");
  // Breaking all words would make the columns of short ones narrow.
  const longest = Math.max(...td.textContent.split(/\s/).map((word) => word.length));
  if (longest > WORD_MAX) td.classList.add("long");
  else if (td.textContent.length <= WORD_MAX) td.classList.add("word");
  return td;
}

function shownOf(content) {
  return [content].flat(Infinity).filter((part) => part !== null && part !== "");
}

function sign(level) {
  const path = level === "ok" ? "M7 12.5l3.5 3.5L17.5 9" : "M12 6.5v7M12 17v.5";
  return svg(
    "svg",
    { class: "sign", viewBox: "0 0 24 24", "aria-hidden": "true" },
    svg("circle", { cx: 12, cy: 12, r: 10.5 }),
    svg("path", { d: path }),
  );
}

function copyButton(text, title) {
  const onclick = async ({ currentTarget: button }) => {
    button.textContent = (await copied(text)) ? "Copied" : "Press Ctrl-C";
    setTimeout(() => (button.textContent = "Copy"), 1500);
  };
  return el(
    "button",
    { class: "quiet small", type: "button", "aria-label": `Copy: ${title}`, onclick },
    "Copy",
  );
}

// The clipboard API exists on https and on loopback only; elsewhere a selection does the same.
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = el("textarea", { class: "unseen", readonly: true });
    field.value = text;
    document.body.append(field);
    field.select();
    const isDone = document.execCommand("copy");
    field.remove();
    return isDone;
  }
}
