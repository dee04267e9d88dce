// Hints of the session, over server-sent events, that what a page shows has changed.
//
// A page that can not be seen holds no connection: a browser has only six to one server, and a few
// open tabs would take them all.

// Hints of a burst of changes are answered by one question.
const GATHER_MS = 150;
const KINDS = ["service", "changed", "missed"];

/** The hints of one path such as `v1/watch?data_id=pay`, until the signal; without a path none. */
export class Hints {
  #path;
  #source = null;
  #isTold = false;
  #wake = () => {};
  #timer = 0;

  constructor(path, signal) {
    this.#path = path;
    if (path === null) return;
    const follow = () => (document.hidden ? this.#close() : this.#open());
    document.addEventListener("visibilitychange", follow, { signal });
    signal.addEventListener("abort", () => this.#close(), { once: true });
    follow();
  }

  /** Forget the hints until now: the page is about to ask. */
  take() {
    this.#isTold = false;
  }

  /** Resolve when there is a hint since `take`. */
  told() {
    return this.#isTold ? Promise.resolve() : new Promise((resolve) => (this.#wake = resolve));
  }

  #open() {
    if (this.#source !== null) return;
    this.#source = new EventSource(this.#path);
    for (const kind of KINDS) this.#source.addEventListener(kind, () => this.#hint());
  }

  #close() {
    this.#source?.close();
    this.#source = null;
    clearTimeout(this.#timer);
    this.#timer = 0;
  }

  #hint() {
    if (this.#timer !== 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      this.#isTold = true;
      this.#wake();
    }, GATHER_MS);
  }
}
