// What every page shows at its top, and the last minutes of this session's counters.
//
// The pulse asks the session every two seconds, while the page is visible. Rates are differences of
// counters, so the first ones are there after the second answer.

import { ask, reasonOf } from "./api.js";

const SAMPLES_MAX = 150;

/** The answers of the last pulse, and the samples of the last five minutes. */
export class Pulse {
  constructor() {
    this.status = null;
    this.nodes = null;
    this.ring = null;
    this.meta = null;
    this.metaFailure = "";
    this.failure = "";
    this.answeredAt = null;
    this.samples = [];
  }

  /** Ask once. What is not answered keeps its last value, and `failure` says why. */
  async beat() {
    const [status, nodes, ring, meta] = await Promise.allSettled([
      ask("v1/status"),
      ask("v1/nodes", { limit: 1000 }),
      ask("v1/ring"),
      ask("v1/meta"),
    ]);
    this.failure = status.status === "rejected" ? reasonOf(status.reason) : "";
    this.nodes = valueOf(nodes, this.nodes);
    this.ring = valueOf(ring, this.ring);
    // Without a leader nothing is known of its nodes: what was known is not true any more.
    this.meta = valueOf(meta, null);
    this.metaFailure = meta.status === "rejected" ? reasonOf(meta.reason) : "";
    if (status.status === "fulfilled") this.#take(status.value);
  }

  /** Return a counter's growth per second between one sample and the next, the oldest first. */
  rates(name) {
    return this.samples
      .slice(1)
      .map((sample, place) => rateBetween(this.samples[place], sample, name));
  }

  /** Return the last values of a counter or size, the oldest first. */
  values(name) {
    return this.samples.map(({ statistics }) => statistics[name] ?? null);
  }

  /** Return how much a counter has grown within the last minute, or less if it is known for less. */
  growthInLastMinute(name) {
    const last = this.samples.at(-1);
    const first = this.samples.find(({ at }) => last.at - at <= 60_000);
    if (first === undefined || first === last) return NaN;
    return (rateBetween(first, last, name) ?? NaN) * 60;
  }

  #take(status) {
    const former = this.status;
    this.status = status;
    this.answeredAt = performance.now();
    // The counters of another process, or of a restarted one, do not continue the former ones.
    const isOther =
      former !== null &&
      (former.node_id !== status.node_id || status.uptime_seconds < former.uptime_seconds);
    if (isOther) this.samples = [];
    this.samples.push({ at: this.answeredAt, statistics: status.statistics });
    if (this.samples.length > SAMPLES_MAX) this.samples.shift();
  }
}

function valueOf(settled, former) {
  return settled.status === "fulfilled" ? settled.value : former;
}

function rateBetween(before, after, name) {
  const [from, to] = [before.statistics[name], after.statistics[name]];
  if (!Number.isFinite(from) || !Number.isFinite(to) || to < from) return null;
  return ((to - from) * 1000) / (after.at - before.at);
}
