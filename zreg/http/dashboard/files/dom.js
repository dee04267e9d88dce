// Builds elements and brings the page up to date with them.
//
// Text only ever becomes a text node or an attribute, so nothing that users publish is read as
// markup. Pages build what they want to show; `update` changes only what differs, so the focus, a
// selection and an open part of the page survive the next figures.

const SVG = "http://www.w3.org/2000/svg";
const HANDLERS = ["onclick", "oninput", "onkeydown", "onmousedown", "onsubmit"];

/** Return an HTML element. Attributes that are null or false are left out. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Return an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** Make the children of `parent` those given: numbers and strings become text. */
export function update(parent, ...children) {
  const keyed = new Map();
  for (const child of parent.children) {
    if (child.dataset.key !== undefined) keyed.set(child.dataset.key, child);
  }
  let place = parent.firstChild;
  for (const fresh of nodesOf(children)) {
    const old = counterpart(place, fresh, keyed);
    if (old === null) {
      parent.insertBefore(fresh, place);
      continue;
    }
    if (old === place) place = place.nextSibling;
    else parent.insertBefore(old, place);
    morph(old, fresh);
  }
  while (place !== null) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (HANDLERS.includes(name)) node[name] = value;
    else if (name === "key") node.dataset.key = value;
    else if (value !== null && value !== undefined && value !== false) {
      node.setAttribute(name, value === true ? "" : String(value));
    }
  }
  node.append(...nodesOf(children));
  return node;
}

function nodesOf(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : document.createTextNode(String(child))));
}

// The node on the page that stands for the same thing as `fresh`, or null.
function counterpart(place, fresh, keyed) {
  const key = fresh.dataset?.key;
  const old = key === undefined ? place : (keyed.get(key) ?? null);
  if (old === null || old.nodeName !== fresh.nodeName) return null;
  return old.dataset?.key === key ? old : null;
}

function morph(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    // The browser sets `open` when a reader opens a part: it stays open.
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const handler of HANDLERS) old[handler] = fresh[handler];
  update(old, ...fresh.childNodes);
}
