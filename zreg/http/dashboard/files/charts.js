// Small pictures: a line of the last minutes, and the ring. Each also says in words what it shows.

import { svg } from "./dom.js";

const WIDTH = 120;
const HEIGHT = 32;

/** Return a line through the values, the newest at the right; null values leave a gap. */
export function sparkline(values, label) {
  const known = values.filter((value) => value !== null);
  const top = Math.max(1e-9, ...known) * 1.25;
  const step = WIDTH / Math.max(1, values.length - 1);
  const points = values.map((value, place) =>
    value === null ? null : [place * step, HEIGHT - 2 - (value / top) * (HEIGHT - 5)],
  );
  return svg(
    "svg",
    {
      class: "sparkline",
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
      preserveAspectRatio: "none",
      role: "img",
      "aria-label": label,
    },
    known.length < 2 ? null : svg("path", { class: "area", d: areaOf(points) }),
    known.length < 2 ? null : svg("path", { class: "line", d: lineOf(points) }),
  );
}

/** Return a ring with one arc for each share; `shares` has {name, share, hue} with shares up to 1. */
export function ring(shares, label, middle) {
  let from = 0;
  const arcs = shares.map(({ name, share, hue }) => {
    const arc = svg("path", { class: `arc hue-${hue}`, d: arcOf(from, from + share) });
    arc.append(svg("title", {}, name));
    from += share;
    return arc;
  });
  return svg(
    "svg",
    { class: "ring", viewBox: "-100 -100 200 200", role: "img", "aria-label": label },
    arcs,
    svg("text", { class: "ring-number", y: "2" }, middle[0]),
    svg("text", { class: "ring-words", y: "24" }, middle[1]),
  );
}

function lineOf(points) {
  let isDrawing = false;
  return points
    .map((point) => {
      const command = point === null ? "" : `${isDrawing ? "L" : "M"}${at(point)}`;
      isDrawing = point !== null;
      return command;
    })
    .join("");
}

function areaOf(points) {
  const known = points.filter((point) => point !== null);
  const [first, last] = [known[0], known[known.length - 1]];
  return `M${at([first[0], HEIGHT])}${known.map((point) => `L${at(point)}`).join("")}L${at([last[0], HEIGHT])}Z`;
}

function at([x, y]) {
  return `${x.toFixed(1)} ${y.toFixed(1)}`;
}

// The outline of a part of the ring, between two shares of the whole turn.
function arcOf(from, to) {
  // A whole turn would begin and end at one point, and draw nothing. The gap sets arcs apart.
  const gap = Math.min(0.004, (to - from) / 3);
  const [start, end] = [from + gap / 2, Math.min(to, from + 0.9999) - gap / 2];
  const isLong = end - start > 0.5 ? 1 : 0;
  const outer = [point(92, start), point(92, end)];
  const inner = [point(62, end), point(62, start)];
  return `M${outer[0]}A92 92 0 ${isLong} 1 ${outer[1]}L${inner[0]}A62 62 0 ${isLong} 0 ${inner[1]}Z`;
}

function point(radius, turn) {
  const angle = 2 * Math.PI * (turn - 0.25);
  return `${(radius * Math.cos(angle)).toFixed(2)} ${(radius * Math.sin(angle)).toFixed(2)}`;
}
