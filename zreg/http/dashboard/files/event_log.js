// What happened lately at the nodes of the cluster, merged: each node keeps its own events, and the
// session that serves this page asks the others for theirs.

import { ask } from "./api.js";

const EVENTS_MAX = 100;
const NODES_MAX = 12;
const PAGES_MAX = 5;
const SECONDS = 3600;

/** The events of the last hour, the newest first. */
export class EventLog {
  events = [];
  #cursors = new Map();
  #turn = 0;

  /** Ask nodes for what happened since they were asked before; a node that is away is left out. */
  async look(nodeIds, signal) {
    const asked = this.#turnOf(nodeIds);
    const found = await Promise.all(asked.map((nodeId) => this.#eventsOf(nodeId, signal)));
    const known = new Map(this.events.map((event) => [keyOf(event), event]));
    for (const event of found.flat()) known.set(keyOf(event), event);
    const newest = [...known.values()].sort((left, right) => (left.at < right.at ? 1 : -1));
    this.events = newest.slice(0, EVENTS_MAX);
  }

  // In a large cluster a few nodes are asked at each look, so that all of them have their turn.
  #turnOf(nodeIds) {
    if (nodeIds.length <= NODES_MAX) return nodeIds;
    const from = (this.#turn++ * NODES_MAX) % nodeIds.length;
    return [...nodeIds, ...nodeIds].slice(from, from + NODES_MAX);
  }

  async #eventsOf(nodeId, signal) {
    const found = [];
    for (let page = 0; page < PAGES_MAX; page++) {
      const answer = await this.#pageOf(nodeId, signal);
      if (answer === null) break;
      this.#cursors.set(nodeId, answer.next_cursor);
      found.push(...answer.events.map((event) => ({ ...event, node_id: nodeId })));
      if (answer.is_complete) break;
    }
    return found;
  }

  async #pageOf(nodeId, signal) {
    const cursor = this.#cursors.get(nodeId) ?? "";
    try {
      return await ask("v1/events", { node: nodeId, seconds: SECONDS, cursor }, signal);
    } catch {
      return null; // The list of nodes says that it is away.
    }
  }
}

function keyOf({ node_id: nodeId, number, at }) {
  return `${nodeId} ${number} ${at}`;
}
