// The changes of a service that were seen since its page was opened. Pure.

const ENTRIES_MAX = 200;

/** What a page of instances was at each look, as a list of changes. */
export class Timeline {
  #former = null;
  entries = [];

  /** Take the instances of now; `at` is a Date. The first look only sets the beginning. */
  take(instances, at) {
    const now = new Map(instances.map((each) => [each.publisher_id, each]));
    if (this.#former !== null) this.#compare(this.#former, now, at);
    this.#former = now;
  }

  #compare(former, now, at) {
    for (const [id, instance] of now) {
      const before = former.get(id);
      if (before === undefined) this.#note("added", instance, at);
      else if (wordsOf(before) !== wordsOf(instance)) this.#note("changed", instance, at);
    }
    for (const [id, instance] of former) if (!now.has(id)) this.#note("removed", instance, at);
  }

  #note(kind, instance, at) {
    this.entries.unshift({ kind, instance, at, number: (this.entries[0]?.number ?? 0) + 1 });
    if (this.entries.length > ENTRIES_MAX) this.entries.pop();
  }
}

// What a reader can see of an instance: a replay to another session changes none of it.
function wordsOf({ values, attributes, state, reason, zone, data_center: dataCenter, app }) {
  return JSON.stringify([values, attributes, state, reason, zone, dataCenter, app]);
}
